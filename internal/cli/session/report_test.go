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

// What an error is about is said once.
func TestAnObjectThatTheErrorNamesIsNotNamedAgain(t *testing.T) {
	for object, want := range map[string]string{
		"member 10.0.0.3:7834": "error: no member \"10.0.0.3:7834\"\n",
		"member 10.0.0.3:7":    "error: no member \"10.0.0.3:7834\" (member 10.0.0.3:7)\n",
		"member core-3":        "error: no member \"10.0.0.3:7834\" (member core-3)\n",
	} {
		var stderr bytes.Buffer
		s := &Session{Ctx: t.Context(), Out: &bytes.Buffer{}, Err: &stderr}
		s.Exit(About(fault.New(fault.MemberBusy, "no member %q", "10.0.0.3:7834"), "%s", object))
		if got := stderr.String(); got != want {
			t.Errorf("%s: got %q, want %q", object, got, want)
		}
	}
}
