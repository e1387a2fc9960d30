package output_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
)

// record logs what a cluster logs: calls, lines of guests, and other records.
func record(h slog.Handler) {
	log := slog.New(h).With("core", "c1")
	log.Info("executed call", "service", "greet", "revision", 3, "call_id", "01K", "duration", 1234*time.Microsecond, "outcome", "ok", "runner", "dev-1", slog.Attr{})
	log.Info("guest", "service", "greet", "revision", 3, "call_id", "01K", "line", "INFO hello\x1b[2J")
	log.Info("guest", "service", "greet", "revision", 3, "lines_omitted", 3)
	log.Info("executed call", "service", "a-much-longer-name", "revision", 12, "call_id", "01L", "duration", 2*time.Second, "outcome", "GUEST_ERROR", "error", "name is\nblank")
	log.Info("executed call", "service", "greet", "revision", 3, "call_id", "01M", "duration", time.Millisecond, "outcome", "GUEST_TRAP")
	log.Info("core is serving", "url", "http://x")
	log.Warn("detached from core", "runner", "dev-1", "error", errors.New("it is gone"))
}

func TestCallsAreShownOnALineEach(t *testing.T) {
	var out bytes.Buffer
	record(output.Calls{W: &out})
	want := []string{
		`greet@3             1.23ms  ok`,
		`greet@3                     | INFO hello\x1b[2J`,
		`greet@3                     | ... 3 lines are not shown: see ruedo logs greet`,
		`a-much-longer-name@12        2s  GUEST_ERROR: name is\nblank (call 01L)`,
		`greet@3                1ms  GUEST_TRAP (call 01M)`,
		`warn: detached from core (core c1, runner dev-1): it is gone`,
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for i, line := range lines {
		if len(lines) != len(want) || len(line) < 14 || line[14:] != want[i] {
			t.Fatalf("%q; all:\n%s", line, &out)
		}
	}
}

func TestColourIsForTerminals(t *testing.T) {
	var out bytes.Buffer
	record(output.Calls{W: &out, Color: true})
	for _, want := range []string{"  \x1b[32mok\x1b[0m\n", "  \x1b[31mGUEST_ERROR\x1b[0m: name", "  \x1b[31mwarn:\x1b[0m detached"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%q", want, &out)
		}
	}
}

func TestOtherRecordsCanBeHandledElsewhere(t *testing.T) {
	var out, rest bytes.Buffer
	h := output.Calls{W: &out, Others: slog.NewTextHandler(&rest, nil)}
	record(h)
	if n := strings.Count(out.String(), "\n"); n != 5 {
		t.Errorf("%d lines:\n%s", n, &out)
	}
	if got := rest.String(); !strings.Contains(got, `msg="core is serving" core=c1 url=http://x`) || strings.Contains(got, "greet") {
		t.Errorf("the other records:\n%s", got)
	}
	if h.Enabled(context.Background(), slog.LevelDebug) {
		t.Error("nobody asked for debug records")
	}
}
