package assemble

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// A store that does not answer is given up after store.start_timeout, not after
// the attempt that was in flight then.
func TestStartTimeoutIsTheWholeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Assembler{Settings: &settings.Resolved{}}
		a.Settings.Store.StartTimeout = 3 * time.Second
		attempts := 0
		began := time.Now()
		err := a.patiently(t.Context(), slog.New(slog.DiscardHandler), func(ctx context.Context) error {
			attempts++
			select {
			case <-time.After(2 * time.Second):
				return fault.New(fault.StoreUnavailable, "it does not speak TLS")
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if !errors.Is(err, fault.StoreUnavailable) || !strings.Contains(err.Error(), "it does not speak TLS (gave up after 3s)") {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took != 3*time.Second || attempts != 2 {
			t.Errorf("%d attempts in %v", attempts, took)
		}
	})
}
