// Package faultrpc carries a [fault.Error] across Connect, gRPC and HTTP, so
// that the CLI on one side sees the error of the core on the other side.
//
// Over Connect and gRPC the reason, the fix and the facts are a google.rpc
// ErrorInfo, the fields of an input a google.rpc BadRequest, and the time to wait
// before a retry a google.rpc RetryInfo. [ToConnect] writes them and [FromConnect]
// reads them back. Use [FromError] instead of fault.FromError for an error that may
// come from a Connect client or stream.
//
// Over plain HTTP an error is a status and a JSON object: [WriteError] chooses
// by the request, [WriteJSON] writes the object.
package faultrpc

import (
	"errors"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// domain is the ErrorInfo domain of all reasons.
const domain = "ruedo.dev"

// metaFix is the key of ErrorInfo metadata that carries the fix.
const metaFix = "fix"

// ToConnect returns the Connect error that callers see, bounded. An error
// without a reason becomes INTERNAL with a message that reveals nothing; log
// the original where it occurred.
func ToConnect(err error) *connect.Error {
	e := FromError(err).Bounded()
	if e.Fix != "" {
		e.With(metaFix, e.Fix)
	}
	details := []any{&errdetails.ErrorInfo{Reason: string(e.Reason), Domain: domain, Metadata: e.Meta}}
	if len(e.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, f := range e.Fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: f.Path, Description: f.Description})
		}
		details = append(details, bad)
	}
	if d := e.RetryDelay(); d > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
	}
	ce := connect.NewError(connect.Code(e.ConnectCode()), errors.New(e.Error()))
	for _, d := range append(details, e.Details...) {
		m, ok := d.(proto.Message)
		if !ok {
			continue
		}
		if d, err := connect.NewErrorDetail(m); err == nil {
			ce.AddDetail(d)
		}
	}
	return ce
}

// FromConnect reads back what [ToConnect] wrote. A Connect error of another
// origin keeps its code and gets the nearest reason.
func FromConnect(ce *connect.Error) *fault.Error {
	e := &fault.Error{Message: ce.Message(), Code: fault.Code(ce.Code()), Err: ce}
	for _, d := range ce.Details() {
		v, err := d.Value()
		if err != nil {
			continue // a message that this program does not know
		}
		switch v := v.(type) {
		case *errdetails.ErrorInfo:
			if v.Domain == domain {
				readInfo(e, v)
			}
		case *errdetails.BadRequest:
			for _, f := range v.FieldViolations {
				e.Fields = append(e.Fields, fault.Field{Path: f.Field, Description: f.Description})
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = min(max(v.GetRetryDelay().AsDuration(), 0), fault.MaxRetryDelay)
		default:
			e.Details = append(e.Details, v)
		}
	}
	if e.Reason == "" {
		e.Reason = foreign(ce)
	}
	return e
}

func readInfo(e *fault.Error, info *errdetails.ErrorInfo) {
	e.Reason = fault.Reason(info.Reason)
	for k, v := range info.Metadata {
		switch {
		case k == metaFix:
			e.Fix = v
		case k == fault.MetaStarted && v == "no":
			e.NotStarted = true
		default:
			e.With(k, v)
		}
	}
}

// FromError returns err as a [*fault.Error], as fault.FromError does, and reads
// errors of Connect as [FromConnect] does.
func FromError(err error) *fault.Error {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	if ce, ok := errors.AsType[*connect.Error](err); ok {
		return FromConnect(ce)
	}
	return fault.FromError(err)
}

// Ours reports whether a Connect error was made by [ToConnect].
func Ours(ce *connect.Error) bool {
	return slices.ContainsFunc(ce.Details(), func(d *connect.ErrorDetail) bool {
		v, err := d.Value()
		info, ok := v.(*errdetails.ErrorInfo)
		return err == nil && ok && info.Domain == domain
	})
}

// foreign returns the reason nearest to a Connect error that carries none of
// ours.
func foreign(ce *connect.Error) fault.Reason {
	switch ce.Code() {
	case connect.CodeCanceled:
		return fault.Canceled
	case connect.CodeDeadlineExceeded:
		return fault.Deadline
	case connect.CodeInvalidArgument:
		return fault.RequestInvalid
	case connect.CodeNotFound:
		return fault.NotFound
	case connect.CodeUnavailable:
		return fault.CoreUnreachable
	case connect.CodeUnimplemented:
		return fault.Unimplemented
	case connect.CodeResourceExhausted: // the transport's own limit of a message
		return fault.InputTooLarge
	}
	return fault.Internal
}
