package session

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wholefile"
)

// Terminal reports whether a stream is a terminal.
func Terminal(stream any) bool {
	f := file(stream)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// file returns the file that a stream is, or nil.
func file(stream any) *os.File {
	if p, ok := stream.(*pipeWriter); ok {
		stream = p.w
	}
	f, _ := stream.(*os.File)
	return f
}

// minColumns is the narrowest terminal that texts are written for.
const minColumns = 50

// Columns returns in how many columns texts are written to stdout: those of the
// terminal, at most limit, and limit if stdout is not a terminal.
func (s *Session) Columns(limit int) int {
	f := file(s.Out)
	if f == nil {
		return limit
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns == 0 { // not a terminal, or one that does not know
		return limit
	}
	return max(minColumns, min(columns, limit))
}

// Color reports whether what is written to stderr can be coloured.
func (s *Session) Color() bool {
	return Terminal(s.Err) && s.Getenv("NO_COLOR") == "" && s.Getenv("TERM") != "dumb"
}

// Pipe wraps stdout so that [Session.Exit] knows that its reader went away.
func Pipe(w io.Writer) io.Writer { return &pipeWriter{w: w} }

// pipeWriter remembers that its reader went away.
type pipeWriter struct {
	w      io.Writer
	broken bool
}

func (p *pipeWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		p.broken = true
	}
	return n, err
}

// Confirm asks a question on the terminal and returns an error unless the
// answer is yes. Without a terminal it fails: --yes is required.
func (s *Session) Confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !Terminal(s.In) || !Terminal(s.Err) {
		return fault.New(fault.Usage, "cannot ask for confirmation: stdin or stderr is not a terminal").WithFix("add --yes")
	}
	fmt.Fprintf(s.Err, "%s [y/N] ", question)
	answer, err := s.await(func() (string, error) {
		line, err := bufio.NewReader(s.In).ReadString('\n')
		if err != nil { // Ctrl-D: the question still has the line
			fmt.Fprintln(s.Err)
		}
		return strings.ToLower(strings.TrimSpace(line)), nil
	})
	if err != nil {
		fmt.Fprintln(s.Err)
		return err
	}
	if answer == "y" || answer == "yes" {
		return nil
	}
	return fault.New(fault.Usage, "nothing was changed")
}

// ReadInput reads the file that an argument names; "-" means stdin.
func (s *Session) ReadInput(name string) ([]byte, error) {
	if name == "-" {
		data, err := wholefile.ReadAll(s.In, MaxRead)
		if err != nil {
			return nil, FileError(err, "cannot read", "stdin")
		}
		return data, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, FileError(err, "cannot read", name)
	}
	defer f.Close()
	data, err := wholefile.ReadAll(f, MaxRead)
	if err != nil {
		return nil, FileError(err, "cannot read", name)
	}
	return data, nil
}

// MaxRead bounds what is read as a whole, in bytes.
const MaxRead = 256 << 20
