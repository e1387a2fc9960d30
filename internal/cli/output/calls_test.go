package output_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
)

func TestCallsAreShownOnALineEach(t *testing.T) {
	var out, rest bytes.Buffer
	log := slog.New(output.CallLines(slog.NewTextHandler(&rest, nil), &out)).With("a", 1)
	log.Info("executed call", "service", "greet", "call_id", "01K", "duration", 1234*time.Microsecond, "outcome", "ok", "runner", "dev-1")
	log.Info("guest", "service", "greet", "call_id", "01K", "line", "INFO hello\x1b[2J")
	log.Info("guest", "service", "greet", "lines_omitted", 3)
	log.Warn("something else", "service", "greet")
	for _, line := range []string{
		" greet        ok in 1.23ms on dev-1, call 01K\n",
		` greet        | INFO hello\x1b[2J` + "\n",
		" greet        | ... 3 lines are not shown: see ruedo logs greet\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is missing in\n%s", line, &out)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 3 || !strings.Contains(rest.String(), "something else") {
		t.Errorf("%d lines, and\n%s", n, &rest)
	}
}
