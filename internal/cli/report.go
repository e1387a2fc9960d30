package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// objectError says which object an error is about.
type objectError struct {
	object string
	err    error
}

func (e *objectError) Error() string { return e.err.Error() }
func (e *objectError) Unwrap() error { return e.err }

// about names the object of an error, for example "service greet".
func about(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &objectError{fmt.Sprintf(format, args...), err}
}

// exit reports err and gives the exit code.
func (a *app) exit(err error) int {
	if p, ok := a.out.(*pipeWriter); ok && p.broken {
		return fault.ExitBrokenPipe
	}
	if err == nil {
		return fault.ExitOK
	}
	if a.ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, fault.Canceled)) {
		return fault.ExitInterrupted
	}
	e := a.explain(err)
	if a.print.Format == output.JSON {
		a.reportJSON(e)
	} else {
		a.reportText(err, e)
	}
	return e.Reason.ExitCode()
}

// explain gives err as a fault. What fails on this side of the wire may say
// more than "internal error".
func (a *app) explain(err error) *fault.Error {
	e := *faultrpc.Of(err)
	if e.Reason == fault.Internal && e.Err != nil {
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			e.Message = err.Error()
		}
	}
	if e.Reason == fault.CoreUnreachable && a.settings != nil {
		origin := a.settings.Origin("client.host")
		switch {
		case origin != "default":
			e.Message += " (client.host from " + origin + ")"
			e.Fix = "start a core there, or name another with --host or RUEDO_CLIENT_HOST"
		default:
			e.Fix = "ruedo dev"
		}
	}
	e.Fix = fix(&e)
	return &e
}

func (a *app) reportText(err error, e *fault.Error) {
	red, off := "", ""
	if terminal(a.talkTo) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb" {
		red, off = "\x1b[31m", "\x1b[0m"
	}
	what := output.SafeLines(e.Error())
	if o, ok := errors.AsType[*objectError](err); ok && !mentions(what, o.object) {
		what += " (" + o.object + ")"
	}
	a.talk("%serror:%s %s", red, off, what)
	for _, f := range e.Fields {
		a.talk("  %s: %s", output.Safe(limits.Path(f.Path)), output.Safe(f.Description))
	}
	if e.Fix != "" {
		a.talk("fix: %s", output.SafeLines(e.Fix))
	}
	if !a.verbose {
		return
	}
	a.talk("reason: %s (%s)", e.Reason, e.ConnectCode())
	for cause, seen := e.Err, e.Error(); cause != nil; cause = errors.Unwrap(cause) {
		if text := cause.Error(); text != seen {
			a.talk("cause: %s", output.Safe(text))
			seen = text
		}
	}
}

// mentions tells whether a text names the object already: the last word of it,
// as a word.
func mentions(text, object string) bool {
	name := object[strings.LastIndexByte(object, ' ')+1:]
	words := strings.FieldsFunc(text, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && r != '/' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	return slices.ContainsFunc(words, func(w string) bool { return strings.Trim(w, ".") == name })
}

// reportJSON writes the error for programs.
func (a *app) reportJSON(e *fault.Error) {
	type field struct {
		Path        string `json:"path"`
		Description string `json:"description"`
	}
	var report struct {
		Error struct {
			Reason  string            `json:"reason"`
			Code    string            `json:"code"`
			Message string            `json:"message"`
			Fix     string            `json:"fix,omitempty"`
			Fields  []field           `json:"fields,omitempty"`
			Meta    map[string]string `json:"meta,omitempty"`
		} `json:"error"`
	}
	report.Error.Reason = string(e.Reason)
	report.Error.Code = e.ConnectCode().String()
	report.Error.Message = e.Error()
	report.Error.Fix = e.Fix
	report.Error.Meta = e.Meta
	for _, f := range e.Fields {
		report.Error.Fields = append(report.Error.Fields, field{f.Path, f.Description})
	}
	enc := json.NewEncoder(a.talkTo)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(report) // stderr is all there is to complain to
}

// fileError says why a file cannot be used, without Go's way of saying it.
func fileError(err error, what, path string) error {
	reason := err.Error()
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		reason = pe.Err.Error()
	}
	return fault.Wrap(err, fault.Usage, "%s %s: %s", what, path, reason)
}
