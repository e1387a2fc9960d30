package fault

import (
	"context"
	"errors"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// domain is the ErrorInfo domain of all reasons.
const domain = "ruedo.dev"

// Keys of ErrorInfo metadata that carry parts of an Error.
const (
	metaFix     = "fix"
	metaStarted = "started"
)

// Wire turns any error into the Connect error that callers see. An error
// without a reason becomes INTERNAL with a text that tells nothing; log the
// original where it was met.
func Wire(err error) *connect.Error {
	e := Of(err).Bounded()
	ce := connect.NewError(e.ConnectCode(), errors.New(e.Error()))
	info := &errdetails.ErrorInfo{Reason: string(e.Reason), Domain: domain, Metadata: e.Meta}
	if e.Fix != "" {
		info.Metadata = with(info.Metadata, metaFix, e.Fix)
	}
	if d, err := connect.NewErrorDetail(info); err == nil {
		ce.AddDetail(d)
	}
	if len(e.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, f := range e.Fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: f.Path, Description: f.Description})
		}
		if d, err := connect.NewErrorDetail(bad); err == nil {
			ce.AddDetail(d)
		}
	}
	for _, d := range e.Details {
		ce.AddDetail(d)
	}
	return ce
}

// Of gives err as an *Error: itself, what a Connect error carries, the meaning
// of a context error, or INTERNAL.
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if r, ok := errors.AsType[Reason](err); ok {
		return &Error{Reason: r, Err: err}
	}
	if ce, ok := errors.AsType[*connect.Error](err); ok {
		return From(ce)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Wrap(err, Canceled, "the caller went away")
	case errors.Is(err, context.DeadlineExceeded):
		return Wrap(err, Deadline, "the caller's deadline passed")
	}
	return Wrap(err, Internal, "internal error")
}

// From reads back what Wire wrote. A Connect error of other origin keeps its
// code and gets the nearest reason.
func From(ce *connect.Error) *Error {
	e := &Error{Message: ce.Message(), Code: ce.Code(), Err: ce}
	for _, d := range ce.Details() {
		v, err := d.Value()
		if err != nil {
			continue
		}
		switch v := v.(type) {
		case *errdetails.ErrorInfo:
			if v.Domain != domain {
				continue
			}
			e.Reason = Reason(v.Reason)
			for k, val := range v.Metadata {
				switch k {
				case metaFix:
					e.Fix = val
				case metaStarted:
					if e.NotStarted = val == "no"; !e.NotStarted {
						e.With(k, val) // "unknown"
					}
				default:
					e.With(k, val)
				}
			}
		case *errdetails.BadRequest:
			for _, f := range v.FieldViolations {
				e.Fields = append(e.Fields, Field{f.Field, f.Description})
			}
		default:
			e.Details = append(e.Details, d)
		}
	}
	if e.Reason == "" {
		e.Reason = foreign(ce)
	}
	return e
}

// Wired reports whether a Connect error was made by Wire.
func Wired(ce *connect.Error) bool {
	return slices.ContainsFunc(ce.Details(), func(d *connect.ErrorDetail) bool {
		v, err := d.Value()
		info, ok := v.(*errdetails.ErrorInfo)
		return err == nil && ok && info.Domain == domain
	})
}

// foreign names the reason of a Connect error that carries none of ours.
func foreign(ce *connect.Error) Reason {
	switch ce.Code() {
	case connect.CodeCanceled:
		return Canceled
	case connect.CodeDeadlineExceeded:
		return Deadline
	case connect.CodeInvalidArgument:
		return RequestInvalid
	case connect.CodeNotFound:
		return NotFound
	case connect.CodeUnavailable:
		return CoreUnreachable
	case connect.CodeUnimplemented:
		return Unimplemented
	case connect.CodeResourceExhausted: // the transport's own bound of a message
		return InputTooLarge
	}
	return Internal
}

// Detail gives the first detail of err that is a T, for example *CallInfo.
func Detail[T any](err error) (t T, ok bool) {
	e, is := errors.AsType[*Error](err)
	if !is {
		return t, false
	}
	i := slices.IndexFunc(e.Details, func(d *connect.ErrorDetail) bool {
		v, err := d.Value()
		if err == nil {
			t, ok = v.(T)
		}
		return ok
	})
	return t, i >= 0
}
