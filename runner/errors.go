package runner

import (
	"errors"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/runner/internal/singleflight"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// guestError returns the failure of a call that began. Its figures are attached
// as a detail, so that the caller gets the logs and the duration of failures,
// too.
func guestError(err error, info *ruedov1.CallInfo) *fault.Error {
	e := failure(err)
	e.Details = []any{info}
	return e
}

// failure returns a copy of an error of the sandbox or of a source as a caller
// of the runner should see it. A closed sandbox means that the runner is
// stopping.
func failure(err error) *fault.Error {
	if errors.Is(err, sandbox.ErrClosed) || errors.Is(err, singleflight.ErrClosed) {
		return fault.Wrap(err, fault.RunnerDraining, "the runner is stopping")
	}
	e := *fault.FromError(err)
	if e.Reason == fault.Canceled {
		return fault.Wrap(err, fault.Canceled, "the caller went away")
	}
	return &e
}

// causes formats an error with everything that it wraps, for logs: the messages
// of our errors do not include their causes.
func causes(err error) string {
	var texts []string
	for ; err != nil; err = errors.Unwrap(err) {
		if text := err.Error(); len(texts) == 0 || texts[len(texts)-1] != text {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, ": ")
}
