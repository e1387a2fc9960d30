//go:build hostile

package hostile

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// errorOf returns the error in a response of plain HTTP or of Connect over it,
// or nil if the request succeeded.
func errorOf(status int, header http.Header, body []byte) error {
	if strings.HasPrefix(header.Get("Content-Type"), "application/connect+") && status == http.StatusOK {
		if _, err := streamEnd(body); err != nil {
			return err
		}
		return nil
	}
	if status < 400 {
		return nil
	}
	var f struct {
		Code, Reason, Message, Fix string
		Details                    []struct{ Type, Value string }
		Meta                       map[string]string
	}
	if err := json.Unmarshal(body, &f); err != nil || f.Code == "" {
		return connect.NewError(codeOf(status), fmt.Errorf("%d %s: %.200q", status, http.StatusText(status), body))
	}
	var code connect.Code
	if err := code.UnmarshalText([]byte(f.Code)); err != nil {
		return fmt.Errorf("the code %q is none: %w", f.Code, err)
	}
	if f.Reason != "" {
		return &fault.Error{Reason: fault.Reason(f.Reason), Code: fault.Code(code), Message: f.Message, Fix: f.Fix, Meta: f.Meta}
	}
	ce := connect.NewError(code, errors.New(f.Message))
	for _, d := range f.Details {
		addInfo(ce, d.Type, d.Value)
	}
	return ce
}

// addInfo adds the ErrorInfo among the details of an error.
func addInfo(ce *connect.Error, kind, value string) {
	info := new(errdetails.ErrorInfo)
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil || !strings.HasSuffix(kind, "google.rpc.ErrorInfo") || proto.Unmarshal(raw, info) != nil {
		return
	}
	if detail, err := connect.NewErrorDetail(info); err == nil {
		ce.AddDetail(detail)
	}
}

// told records the reason that the core returned, if any: it must be counted.
// No attack may be an internal error of the core.
func (b *bout) told(err error) {
	ce, ok := errors.AsType[*connect.Error](err)
	info := ok && slices.ContainsFunc(ce.Details(), func(d *connect.ErrorDetail) bool { return d.Type() == "google.rpc.ErrorInfo" })
	if _, plain := errors.AsType[*fault.Error](err); !plain && !info {
		return
	}
	e := faultrpc.FromError(err)
	if e.Reason == fault.Internal {
		b.Errorf("the answer is INTERNAL: %.300s", e.Message)
	}
	b.refusal(e.Reason)
}

// codeOf returns Connect's code for an HTTP status without a body.
func codeOf(status int) connect.Code {
	switch status {
	case http.StatusBadRequest, http.StatusLengthRequired:
		return connect.CodeInvalidArgument
	case http.StatusUnauthorized:
		return connect.CodeUnauthenticated
	case http.StatusForbidden, http.StatusMisdirectedRequest:
		return connect.CodePermissionDenied
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusUnsupportedMediaType, http.StatusHTTPVersionNotSupported:
		return connect.CodeUnimplemented
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return connect.CodeDeadlineExceeded
	case http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge, http.StatusRequestURITooLong, http.StatusTooManyRequests:
		return connect.CodeResourceExhausted
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return connect.CodeUnavailable
	}
	return connect.CodeUnknown
}
