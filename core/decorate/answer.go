package decorate

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/ruedo-dev/ruedo/core/decorate/schema"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// TooLarge returns the error for an input that exceeds the limit. actual is its
// size, as far as it is known.
func (r *Rules) TooLarge(service, actual string) error {
	limit := r.Limit(limits.Input)
	e := fault.New(fault.InputTooLarge, "input of %s is over the limit of %s of service %s", actual, limit.GetValue(), service).
		With("limit", limit.GetValue()).With("actual", actual)
	d := limit.GetDecorator()
	e.NotStarted = true
	if d != "" {
		e.Message += fmt.Sprintf(" (%s: %s, set by decorator %s)", limits.Input, limit.GetValue(), d)
		e.With("decorator", d)
	}
	return e.WithFix("send less, or %s", limits.Raise(d, limits.Input))
}

// unreadable returns the error for an input that cannot be checked against any
// schema.
func unreadable(err error, service, decorator string) error {
	ie, ok := errors.AsType[*schema.InputError](err)
	if !ok {
		return err
	}
	var e *fault.Error
	switch {
	case ie.Field != "":
		e = fault.New(fault.InputInvalid, "the input of service %s is not accepted: %s %s", service, ie.Field, ie.Text)
		e.Fields = []fault.Field{{Path: ie.Field, Description: ie.Text}}
	case ie.Limit != "":
		e = fault.New(fault.InputInvalid, "the input of service %s is not accepted: %s", service, ie.Text)
	default:
		e = fault.New(fault.InputInvalid, "the input of service %s is not JSON: %s", service, ie.Text)
	}
	if ie.Limit != "" {
		e.With("limit", ie.Limit).With("actual", ie.Actual)
	}
	e.With("service", service).WithFix("look at what the service accepts")
	switch {
	case decorator != "":
		e.With("decorator", decorator)
	case ie.Limit != "":
		e.WithFix(uncheckable)
	}
	return e
}

// uncheckable is the fix for an input that only the types of a service refuse,
// because checking it costs too much.
const uncheckable = "send less at a time; or publish the service with schema: none, so that its handler alone checks inputs"

// verdict returns the error for the result of a check, nil if the input is
// valid.
func verdict(c *schema.Checker, service string, typesAlone bool) error {
	fields, complete, err := c.Result()
	if limit, ok := errors.AsType[*schema.InputLimit](err); ok {
		n := strconv.Itoa(limit.Limit)
		fix := limit.Fix
		if typesAlone {
			fix = uncheckable
		}
		return fault.New(fault.InputInvalid, "the input of service %s %s", service, limit.Text).
			With("limit", n).With("actual", "over "+n).WithFix("%s", fix)
	}
	if err != nil || len(fields) == 0 {
		return err
	}
	count := text.Count(len(fields), "field")
	if !complete {
		count = "at least " + count
	}
	e := fault.New(fault.InputInvalid, "the input for service %s does not match its schema (%s)", service, count).
		With("service", service).WithFix("look at what the service accepts")
	e.Fields = fields
	return e
}
