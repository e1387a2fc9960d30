package runner

import (
	"context"
	"errors"
	"strings"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/runner/internal/flight"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// This is the one table from errors of the sandbox to errors of the house. The
// reasons are the same words on both sides, so there is nothing to look up:
// the code follows from the reason, except where the guest chose its own.

// guestError is the failure of a call that began. The outcome goes with it as
// a detail, so that the caller gets the logs and the duration of failures too.
func guestError(err error, o *runnerv1.Outcome) *fault.Error {
	e := loadError(err)
	if d, err := connect.NewErrorDetail(o); err == nil {
		e.Details = append(e.Details, d)
	}
	return e
}

// loadError is why a plan cannot be made ready.
func loadError(err error) *fault.Error {
	if e, ok := errors.AsType[*sandbox.Error](err); ok {
		switch {
		case errors.Is(err, sandbox.ErrClosed):
			return fault.Wrap(err, fault.RunnerDraining, "the runner is stopping")
		case e.Reason == string(fault.Canceled):
			return fault.Of(context.Canceled)
		}
		f := &fault.Error{Reason: fault.Reason(e.Reason), Message: e.Message, Fix: e.Fix, Meta: e.Meta, Err: err}
		if c := connect.Code(e.Code); c >= connect.CodeCanceled && c <= connect.CodeUnauthenticated {
			f.Code = c
		}
		return f
	}
	if errors.Is(err, flight.ErrClosed) {
		return fault.Wrap(err, fault.RunnerDraining, "the runner is stopping")
	}
	c := *fault.Of(err)
	return &c
}

// causes spells an error with everything that it wraps, for logs: the messages of
// our errors leave their causes out.
func causes(err error) string {
	var texts []string
	for ; err != nil; err = errors.Unwrap(err) {
		if text := err.Error(); len(texts) == 0 || texts[len(texts)-1] != text {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, ": ")
}
