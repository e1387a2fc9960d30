package logs_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/runner/logs"
)

// The line of a call that succeeded goes to a logger of its own, whose lines may
// wait. One that failed says why, but not in the words of the guest unless these are
// wanted.
func TestEachCallHasItsLine(t *testing.T) {
	for _, successes := range []bool{false, true} {
		var all, succeeded testkit.Log
		c := logs.New(logs.Config{Runner: "edge-1", Logger: all.Logger(), Calls: succeeded.Logger(), Successes: successes}).Calls("service", "greet", "revision", 7)
		write := func(id string, failed *fault.Error) {
			c.Executed(t.Context(), id, time.Millisecond, time.Microsecond, slog.Attr{}, failed)
		}
		write("fine", nil)
		write("slow", fault.New(fault.GuestTimeout, "it was too slow"))
		write("bad", fault.New(fault.GuestError, "secret"))

		const about = `level=INFO msg="executed call" service=greet revision=7 runner=edge-1 `
		const took = ` duration=1ms cpu=1µs outcome=`
		secret := ""
		if successes {
			secret = " error=secret"
		}
		for _, want := range []struct {
			log   *testkit.Log
			lines []string
		}{
			{&succeeded, []string{about + "call_id=fine" + took + "ok\n"}},
			{&all, []string{about + "call_id=slow" + took + `GUEST_TIMEOUT error="it was too slow"` + "\n", about + "call_id=bad" + took + "GUEST_ERROR" + secret + "\n"}},
		} {
			n := 0
			for line := range strings.Lines(want.log.String()) {
				if n >= len(want.lines) || !strings.HasSuffix(line, want.lines[n]) {
					t.Errorf("line %d is %q, want %q", n, line, want.lines)
				}
				n++
			}
			if n != len(want.lines) {
				t.Errorf("%d lines, want %d", n, len(want.lines))
			}
		}
	}
}
