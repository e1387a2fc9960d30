package fault_test

import (
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// The exit codes are stable: docs/reference/exit-codes.md lists them.
func TestExitCodes(t *testing.T) {
	for reason, want := range map[fault.Reason]int{
		fault.Usage: 2, fault.ServiceNotFound: 3, fault.Conflict: 5, fault.StoreUnavailable: 6, fault.CoreUnreachable: 6, fault.NoRunner: 6,
		fault.PrepareFailed: 5, fault.PrepareUnavailable: 6, fault.LaneLimit: 7,
		fault.UploadTooLarge: 7, fault.SchemaLimit: 7, fault.InputInvalid: 8, fault.Malformed: 8, fault.GuestError: 10, fault.GuestExit: 10, fault.GuestTrap: 11,
		fault.GuestTimeout: 12, fault.GuestMemory: 12, fault.Canceled: 130, fault.Internal: 1, "SOMETHING_NEW": 1,
	} {
		if got := reason.ExitCode(); got != want {
			t.Errorf("%s ends with %d, want %d", reason, got, want)
		}
	}
}
