package session

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/settings"
)

// writes has what each write wrote.
type writes struct {
	mu  sync.Mutex
	all []string
}

func (w *writes) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(b))
	return len(b), nil
}

// take returns what was written since the last take, when nobody writes any more.
func (w *writes) take() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}

// Lines about calls that succeeded wait for each other, but not for long, and any
// other line is written immediately, after those that came before it.
func TestLinesOfCallsAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		l := newLines(&w)
		say := func(to io.Writer, line string) {
			t.Helper()
			if n, err := to.Write([]byte(line)); n != len(line) || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}
		wrote := func(want ...string) {
			t.Helper()
			if got := w.take(); !slices.Equal(got, want) {
				t.Errorf("wrote %q, want %q", got, want)
			}
		}
		say(held{l}, "one\n")
		say(held{l}, "two\n")
		wrote()
		time.Sleep(holdTime)
		wrote("one\ntwo\n")

		say(held{l}, "three\n")
		say(l, "a warning\n")
		wrote("three\n", "a warning\n")

		half := strings.Repeat("x", holdBytes/2)
		for range 3 {
			say(held{l}, half)
		}
		wrote(half + half)
		long := strings.Repeat("y", holdBytes+1)
		say(held{l}, long)
		wrote(half, long)

		say(held{l}, "last\n")
		l.close()
		wrote("last\n")
		say(held{l}, "later\n")
		wrote("later\n")
		time.Sleep(2 * holdTime)
		wrote()
	})
}

// Nothing is lost when the program ends, and nothing waits from the first interrupt
// on: the second one ends the program immediately.
func TestHeldLinesAreWrittenAtTheEnd(t *testing.T) {
	set, err := settings.Resolve(settings.Input{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		for how, end := range map[string]func(s *Session, interrupt func()){
			"close":     func(s *Session, _ func()) { _ = s.Close() },
			"interrupt": func(_ *Session, interrupt func()) { interrupt() },
		} {
			var w writes
			ctx, interrupt := context.WithCancel(t.Context())
			s := &Session{Ctx: ctx, Err: &w, Settings: set}
			log, calls := s.Loggers()
			log.Info("begin")
			calls.Info("executed call")
			if got := w.take(); len(got) != 1 || !strings.Contains(got[0], "begin") {
				t.Errorf("%s: wrote %q", how, got)
			}
			end(s, interrupt)
			if got := w.take(); len(got) != 1 || !strings.Contains(got[0], "executed call") {
				t.Errorf("%s: wrote %q", how, got)
			}
			_ = s.Close()
		}
	})
}
