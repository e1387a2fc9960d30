//go:build linux

package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/answer"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/resource"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// onTerminal returns a session whose three streams are one terminal. until
// returns what was written to the terminal, up to a text.
func onTerminal(t *testing.T) (s *session.Session, near *os.File, until func(string) string) {
	t.Helper()
	near, far := openPTY(t)
	s = &session.Session{Ctx: t.Context(), In: far, Out: session.Pipe(far), Err: far}
	var seen bytes.Buffer
	return s, near, func(text string) string {
		buf := make([]byte, 4096)
		for !strings.Contains(seen.String(), text) {
			n, err := near.Read(buf)
			if err != nil {
				t.Fatalf("read: %v; so far %q", err, seen.String())
			}
			seen.Write(buf[:n])
		}
		return seen.String()
	}
}

func TestConfirmAsks(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "n\n": false, "\n": false} {
		s, near, until := onTerminal(t)
		got := make(chan error, 1)
		go func() { got <- s.Confirm(false, "Delete it?") }()
		until("Delete it? [y/N] ")
		if _, err := near.WriteString(answer); err != nil {
			t.Fatal(err)
		}
		if err := <-got; (err == nil) != want {
			t.Errorf("answer %q: %v", answer, err)
		}
	}
}

func TestConfirmInterrupted(t *testing.T) {
	s, _, until := onTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.Ctx = ctx
	got := make(chan error, 1)
	go func() { got <- s.Confirm(false, "Delete it?") }()
	until("[y/N]")
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	if code := s.Exit(context.Canceled); code != fault.ExitInterrupted {
		t.Errorf("exit code %d", code)
	}
}

// What a guest says must not steer the terminal.
func TestGuestsCannotSteerTheTerminal(t *testing.T) {
	s, _, until := onTerminal(t)
	answer.Said(s, &ruedov1.CallInfo{Logs: []byte("log \x1b[2J\n")}, false, false)
	if err := answer.Print(s, &client.Response{Output: []byte("out \x1b]0;title\x07")}); err != nil {
		t.Fatal(err)
	}
	if err := answer.Print(s, &client.Response{Output: []byte{0xff, 0xd8}, ContentType: "image/jpeg"}); err != nil {
		t.Fatal(err)
	}
	s.Print = output.Printer{W: s.Out, Format: output.JSON}
	if err := answer.Print(s, &client.Response{Output: []byte("{\"json\":\"\u009b31m\"}"), ContentType: "application/json"}); err != nil {
		t.Fatal(err)
	}
	s.Print.Format = output.Table
	code := s.Exit(session.About(fault.New(fault.GuestError, "bad \x1b[31m"), "service greet"))
	text := until("(service greet)")
	for _, want := range []string{`log \x1b[2J`, `out \x1b]0;title\x07`, "2 bytes of image/jpeg: not shown", `bad \x1b[31m`, `"json": "\u009b31m"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if code != fault.ExitGuestError {
		t.Errorf("exit code %d", code)
	}
	// Ours is coloured.
	if !strings.Contains(text, "\x1b[31merror:\x1b[0m") {
		t.Errorf("no colour in %q", text)
	}
	s.Env = []string{"NO_COLOR=1"}
	s.Exit(fault.New(fault.GuestError, "second"))
	if text := until("second"); strings.Count(text, "\x1b[31merror") != 1 {
		t.Errorf("colour in spite of NO_COLOR: %q", text)
	}
}

func TestProgress(t *testing.T) {
	s, _, until := onTerminal(t)
	synctest.Test(t, func(*testing.T) {
		step, done := s.Progress("uploading")
		step(10, 100) // too soon to be worth a bar
		time.Sleep(400 * time.Millisecond)
		step(50, 100)
		done()
	})
	text := until("50%")
	if !strings.Contains(text, "uploading") || strings.Contains(text, "10%") {
		t.Errorf("wrote %q", text)
	}
}

// What is typed as a secret is not seen.
func TestSecretsAreNotEchoed(t *testing.T) {
	s, near, until := onTerminal(t)
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := s.Secret("Password of ada")
		got <- answer{text, err}
	}()
	until("Password of ada: ")
	if _, err := near.WriteString("hunter2hunter2\n"); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.text != "hunter2hunter2" || a.err != nil {
		t.Errorf("%q, %v", a.text, a.err)
	}
	s.Infof("the end")
	if seen := until("the end"); strings.Contains(seen, "hunter2") {
		t.Errorf("the terminal shows %q", seen)
	}
}

// Whoever interrupts a question for a secret has a terminal that echoes.
func TestSecretInterrupted(t *testing.T) {
	for name, interrupt := range map[string]func(stop func(), near *os.File) error{
		"by a signal": func(stop func(), _ *os.File) error { stop(); return nil },
		"by Ctrl-C":   func(_ func(), near *os.File) error { _, err := near.WriteString("hunter2\x03"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			s, near, until := onTerminal(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s.Ctx = ctx
			code := make(chan int, 1)
			go func() {
				_, err := s.Secret("Password of ada")
				code <- s.Exit(err)
			}()
			until("Password of ada: ")
			if err := interrupt(cancel, near); err != nil {
				t.Fatal(err)
			}
			if got := <-code; got != fault.ExitInterrupted {
				t.Errorf("exit code %d", got)
			}
			if _, err := near.WriteString("seen again\n"); err != nil {
				t.Fatal(err)
			}
			if seen := until("seen again"); strings.Contains(seen, "hunter2") {
				t.Errorf("the terminal shows %q", seen)
			}
		})
	}
}

// Whoever logs in to a core that nothing is known of compares its pin first, and may
// not want to go on.
func TestAnUnknownAuthorityIsAskedAbout(t *testing.T) {
	c, me := newHouse(t, "site-a", true), newHome(t)
	login := func(answers ...string) (code int, seen string) {
		t.Helper()
		s, near, until := onTerminal(t)
		s.Env = me.env
		done := make(chan int, 1)
		go func() {
			err := run(s, []string{"login", c.url, "ada"}, resource.All())
			done <- s.Exit(errors.Join(err, s.Close()))
		}()
		for i, answer := range answers {
			until([]string{"Is it the same? [y/N] ", "Password of ada: "}[i])
			if _, err := near.WriteString(answer + "\n"); err != nil {
				t.Fatal(err)
			}
		}
		code = <-done
		s.Infof("the end")
		return code, until("the end")
	}
	code, seen := login("")
	if code != fault.ExitDenied || !strings.Contains(seen, c.authority.Pin()) || !strings.Contains(seen, "so nothing was sent to it") || c.asked("Login") > 0 {
		t.Errorf("exit code %d, asked %q\n%s", code, c.shown, seen)
	}
	code, seen = login("y", password)
	if code != 0 || !strings.Contains(seen, "logged in to site-a as ada") || strings.Contains(seen, password) {
		t.Errorf("exit code %d\n%s", code, seen)
	}
	me.do(t, try{args: words("whoami"), stdout: "user/ada"})
}

// Whose session has ended logs in again, and types nothing but the password.
func TestLoggingInAgain(t *testing.T) {
	_, me := loggedIn(t)
	s, near, until := onTerminal(t)
	s.Env = me.env
	done := make(chan int, 1)
	go func() {
		err := run(s, []string{"login"}, resource.All())
		done <- s.Exit(errors.Join(err, s.Close()))
	}()
	until("Link, or Enter for the password of ada: ")
	if _, err := near.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	until("Password of ada: ")
	if _, err := near.WriteString(password + "\n"); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != 0 {
		t.Errorf("exit code %d", code)
	}
	until("logged in to site-a as ada")
}

// Help fits into the terminal: consoles have 80 columns.
func TestHelpFitsIntoTheTerminal(t *testing.T) {
	s, near, until := onTerminal(t)
	if err := unix.IoctlSetWinsize(int(near.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 80, Row: 25}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run(s, []string{"passwd", "--help"}, resource.All()) }()
	for line := range strings.Lines(until("Flags of every command")) {
		if n := len(strings.TrimRight(line, "\r\n")); n > 80 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
