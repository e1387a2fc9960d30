package compile

import (
	"context"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// ErrClosed is the cause if the compiler was closed before.
var ErrClosed = errors.New("the compiler is closed")

// internal returns an error for a fault of the host. Its text must not reveal
// paths or messages of the system: those belong in err, which is logged.
func internal(err error, format string, args ...any) *fault.Error {
	return fault.Wrap(err, fault.Internal, format, args...)
}

func canceled(ctx context.Context) *fault.Error {
	return fault.Wrap(context.Cause(ctx), fault.Canceled, "nobody waits for the module to be compiled any more")
}

func closedError() *fault.Error { return internal(ErrClosed, "%s", ErrClosed) }

// What to do about a module that takes too much to compile.
const (
	fixSmaller = "make its functions smaller: split generated code and large switches, and build with optimisation"
	fixTime    = "try again when the machine is less busy, " + fixSmaller + "; or raise runner.compile_time"
	fixValid   = "build it for WebAssembly 2.0 (wasip1), without proposals such as threads, garbage collection or exceptions"
)

// maxText bounds how much of a compiler's message is repeated, in bytes.
const maxText = 400

// noDisk is the error if the working directory cannot be used. Its text names
// no path, because it goes to the sender of the module.
func noDisk(err error) *fault.Error {
	return fault.Wrap(err, fault.RunnerDisk, "the compiler cannot write to its disk").
		WithFix("try again later; the runner's log names the directory and what is wrong with it")
}

// clean makes text fit for one line of a log or a terminal: no control
// characters, nothing that reorders it, and of bounded length.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxText {
		return text
	}
	cut := maxText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
