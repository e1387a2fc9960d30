package session

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxSecret bounds a secret that is typed or piped in, in bytes.
const maxSecret = 4 << 10

// Secret reads a secret: on a terminal it asks for what and shows nothing of the
// answer, otherwise it is the next line of stdin. When stdin has no more lines, it
// asks on the terminal of the process.
func (s *Session) Secret(what string) (string, error) {
	if f, ok := s.In.(*os.File); ok && Terminal(f) {
		return s.ask(f, s.Err, what)
	}
	line, err := s.line(what)
	if !errors.Is(err, io.EOF) {
		return line, err
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", fault.New(fault.Usage, "cannot ask for %s: stdin has no more lines, and there is no terminal", what).
			WithFix("write it to stdin, on a line of its own")
	}
	defer tty.Close()
	return s.ask(tty, tty, what)
}

// CanAsk reports whether there is somebody to ask.
func (s *Session) CanAsk() bool { return Terminal(s.In) && Terminal(s.Err) }

// line returns the next line of stdin, or io.EOF.
func (s *Session) line(what string) (string, error) {
	if s.stdin == nil {
		s.stdin = bufio.NewReaderSize(s.In, maxSecret)
	}
	return s.await(func() (string, error) {
		line, err := s.stdin.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return "", fault.New(fault.Usage, "%s in stdin is longer than %d bytes", what, maxSecret)
		case errors.Is(err, io.EOF) && len(line) == 0:
			return "", io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return "", FileError(err, "cannot read", "stdin")
		}
		return strings.TrimRight(string(line), "\r\n"), nil
	})
}

// ask asks on a terminal, which shows nothing of the answer, however early it is typed.
func (s *Session) ask(terminal *os.File, to io.Writer, what string) (string, error) {
	fd := int(terminal.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return "", FileError(err, "cannot ask on", "the terminal")
	}
	defer func() { _ = term.Restore(fd, before) }() // it could be changed before
	both := struct {
		io.Reader
		io.Writer
	}{terminal, to}
	answer, err := s.await(func() (string, error) { return term.NewTerminal(both, "").ReadPassword(what + ": ") })
	switch {
	case errors.Is(err, io.EOF): // Ctrl-C: such a terminal makes no signal of it
		err = Code(fault.ExitInterrupted)
	case err == nil && len(answer) > maxSecret:
		err = fault.New(fault.Usage, "%s is longer than %d bytes", what, maxSecret)
	}
	if err != nil {
		fmt.Fprint(to, "\r\n")
	}
	return answer, err
}

// await returns what read returns, unless the user interrupts it. Nothing can end a
// read of a terminal: then its goroutine ends with the process.
func (s *Session) await(read func() (string, error)) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{text, err}
	}()
	select {
	case <-s.Ctx.Done():
		return "", s.Ctx.Err()
	case r := <-done:
		return r.text, r.err
	}
}
