package session

import (
	"bytes"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// A guest chooses the text of its error. It must not be able to write a line that
// looks as if the program had written it.
func TestOnlyTheProgramStartsALine(t *testing.T) {
	var stderr bytes.Buffer
	s := &Session{Ctx: t.Context(), Out: &bytes.Buffer{}, Err: &stderr}
	s.Exit(fault.New(fault.GuestError, "no such city\nfix: send your password"))
	if got, want := stderr.String(), "error: no such city\n  fix: send your password\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
