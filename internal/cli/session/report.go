package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// objectError is an error with the object that it is about.
type objectError struct {
	object string
	err    error
}

func (e *objectError) Error() string { return e.err.Error() }
func (e *objectError) Unwrap() error { return e.err }

// About adds the object of an error, for example "service greet", which Exit
// prints if the message does not name it. It returns nil if err is nil.
func About(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &objectError{fmt.Sprintf(format, args...), err}
}

// Code is the result of a command that has printed what it found: Exit prints
// nothing and returns the number.
type Code int

func (c Code) Error() string { return fmt.Sprintf("the result is %d", int(c)) }

// Differ is the result of a command that found differences, as diff returns it.
const Differ = Code(fault.ExitFailure)

// failures are errors of several objects, of which each is reported.
type failures []error

func (f failures) Error() string   { return errors.Join(f...).Error() }
func (f failures) Unwrap() []error { return f }

// Failures returns the errors of a command over several objects as one, nil if
// there are none. Exit prints all of them; the first decides the exit code.
func Failures(list []error) error {
	if len(list) == 0 {
		return nil
	}
	return failures(list)
}

// Exit prints err and returns the exit code of the program. It prints nothing if
// the user interrupted the program or nobody reads stdout.
func (s *Session) Exit(err error) int {
	if p, ok := s.Out.(*pipeWriter); ok && p.broken {
		return fault.ExitBrokenPipe
	}
	if err == nil {
		return fault.ExitOK
	}
	if code, ok := errors.AsType[Code](err); ok {
		return int(code)
	}
	if s.Ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, fault.Canceled)) {
		return fault.ExitInterrupted
	}
	list, several := errors.AsType[failures](err)
	if !several {
		list = failures{err}
	}
	code := 0
	for i, err := range list {
		e := s.explain(err)
		if s.Print.Format.IsJSON() {
			_, _ = s.Err.Write(faultrpc.JSON(e, saidOf(e))) // there is nothing but stderr to report to
		} else {
			s.reportText(err, e)
		}
		if i == 0 {
			code = e.Reason.ExitCode()
		}
	}
	return code
}

// explain returns err as a fault. An error of this program may say more than
// "internal error".
func (s *Session) explain(err error) *fault.Error {
	e := *faultrpc.FromError(err)
	if e.Reason == fault.Internal && e.Err != nil {
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			e.Message = err.Error()
		}
	}
	if e.Reason == fault.CoreUnreachable && e.Meta["url"] != "" && s.origin != "" { // otherwise a core says so itself
		switch {
		case !strings.HasSuffix(s.origin, "from default"):
			e.Message += " (" + s.origin + ")"
			e.Fix = "start a core there, or name another with --host or RUEDO_CLIENT_HOSTS"
		default:
			e.Fix = "start a cluster on this machine: ruedo dev; or work on a store in this directory: --local"
		}
	}
	if e.Reason == fault.TokenInvalid && s.cred != nil {
		e.Message += " (from " + s.cred.Origin + ")"
	}
	if e.Reason == fault.Unauthenticated && (e.Fix == "" || e.Fix == access.Unauthenticated().Fix) {
		e.Fix = s.logIn()
	} else {
		e.Fix = fix(&e)
	}
	e.Fields = slices.Clone(e.Fields)
	for i := range e.Fields {
		e.Fields[i].Path = limits.Path(e.Fields[i].Path)
	}
	return &e
}

// logIn says what to do about a request that shows nothing good.
func (s *Session) logIn() string {
	switch {
	case s.cred == nil && s.Settings != nil && s.Settings.Profile != nil && s.Settings.Profile.Replaced != "":
		p := s.Settings.Profile
		return p.Replaced + " takes precedence over the login of profile " + p.Name + ": remove that setting, or set " + settings.EnvToken
	case s.cred == nil:
		return "log in: ruedo login"
	case s.cred.Profile != "":
		return "the session of profile " + s.cred.Profile + " may have ended: ruedo login"
	}
	return "the token from " + s.cred.Origin + " may have expired or been ended: replace it"
}

// reportText prints a human-readable error.
func (s *Session) reportText(err error, e *fault.Error) {
	red, off := "", ""
	if s.Color() {
		red, off = "\x1b[31m", "\x1b[0m"
	}
	s.PrintLogs(started(e))
	what := output.SafeLines(e.Error())
	// Where there is no core, it does not matter what it would have been asked about.
	if o, ok := errors.AsType[*objectError](err); ok && e.Reason != fault.CoreUnreachable && !mentions(what, o.object) {
		what += " (" + o.object + ")"
	}
	// Only the program starts a line: a guest's text may go on for several.
	s.Infof("%serror:%s %s", red, off, strings.ReplaceAll(what, "\n", "\n  "))
	for _, f := range e.Fields {
		if strings.Contains(e.Message, f.Path+": "+f.Description) { // it is said
			continue
		}
		s.Infof("  %s: %s", output.Safe(f.Path), output.Safe(f.Description))
	}
	if code := e.ConnectCode(); e.Reason == fault.GuestError && code != fault.CodeUnknown {
		s.Infof("code: %s", code)
	}
	if e.Fix != "" {
		s.Infof("fix: %s", output.SafeLines(e.Fix))
	}
	if id := s.kept(e); id != "" {
		s.Infof("logs: ruedo logs --call %s", output.Safe(id))
	}
	if !s.Verbose {
		return
	}
	s.Infof("reason: %s (%s)", e.Reason, e.ConnectCode())
	for cause, seen := e.Err, e.Error(); cause != nil; cause = errors.Unwrap(cause) {
		if text := cause.Error(); text != seen {
			s.Infof("cause: %s", output.Safe(text))
			seen = text
		}
	}
}

// kept returns the id of a failed call whose logs a runner keeps, or "".
func (s *Session) kept(e *fault.Error) string {
	info := client.InfoOf(e)
	if s.local || e.NotStarted || info.GetRunner() == "" {
		return ""
	}
	return info.GetCallId()
}

// started returns the logs and the trace of a service that could not be started,
// whether a runner or this program tried. It returns nothing for the error of a
// call.
func started(e *fault.Error) (logs, trace string) {
	switch info := client.InfoOf(e); {
	case info == nil:
		return e.Meta["logs"], e.Meta["trace"]
	case info.GetCallId() == "":
		return string(info.GetLogs()), info.GetTrace()
	}
	return "", ""
}

// PrintLogs prints to stderr what a guest logged, and the trace of one that
// trapped or was stopped. Both may be empty.
func (s *Session) PrintLogs(logs, trace string) {
	if Terminal(s.Err) {
		logs, trace = output.SafeLines(logs), output.SafeLines(trace)
	}
	if logs != "" {
		s.Infof("%s", strings.TrimSuffix(logs, "\n"))
	}
	if trace != "" {
		s.Infof("  at %s", strings.ReplaceAll(trace, "\n", "\n  at "))
	}
}

// saidOf returns what is known of a failed call, for programs.
func saidOf(e *fault.Error) faultrpc.Said {
	info := client.InfoOf(e)
	return faultrpc.Said{CallID: info.GetCallId(), Logs: string(info.GetLogs()), Trace: info.GetTrace()}
}

// mentions reports whether a text names the object already: whether the last
// word of the object is a word of the text.
func mentions(text, object string) bool {
	name := object[strings.LastIndexByte(object, ' ')+1:]
	words := strings.FieldsFunc(text, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && r != '/' && r != ':' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	return slices.ContainsFunc(words, func(w string) bool { return strings.Trim(w, ".:") == name })
}

// FileError returns a usage error that says why a file cannot be used, for
// example "cannot read x: no such file or directory".
func FileError(err error, what, path string) error {
	return fault.Wrap(err, fault.Usage, "%s %s: %s", what, path, text.Cause(err))
}
