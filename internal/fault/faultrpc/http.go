package faultrpc

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Failure is an error as [JSON] writes it.
type Failure struct {
	Code    string            `json:"code" help:"Code of Connect and gRPC, such as not_found. A service chooses the one of GUEST_ERROR."`
	Reason  string            `json:"reason" help:"The stable word that programs can rely on."`
	Message string            `json:"message" help:"What failed, with the limit and the actual value."`
	Fix     string            `json:"fix,omitempty" help:"What to do."`
	Fields  []Field           `json:"fields,omitempty" help:"What is wrong with an input, field by field."`
	Meta    map[string]string `json:"meta,omitempty" help:"Facts for programs, such as limit, actual and decorator. If started is no, the call provably did not start."`
	// RetryAfterMS is exact; the header field Retry-After is rounded up.
	RetryAfterMS int64 `json:"retry_after_ms,omitempty" help:"How many milliseconds to wait before the same request is sent again. Absent if it would fail again."`
	Said
}

// Said is what a guest said in a call that failed. Its producer bounds it.
type Said struct {
	// CallID is the id of the call; plain HTTP has it in a header.
	CallID string `json:"call_id,omitempty" help:"Id of the call. Over plain HTTP, a header field has it."`
	// Logs are lines of text.
	Logs string `json:"logs,omitempty" help:"Lines that the guest logged."`
	// Trace is where the guest was, one function per line.
	Trace string `json:"trace,omitempty" help:"The functions in which the guest was when it trapped or was stopped, innermost first, one per line."`
}

// Field is one violated field of an input.
type Field struct {
	Field       string `json:"field" help:"Path in the input, such as items[2].name; (input) is the whole."`
	Description string `json:"description" help:"What is expected, and what was found."`
}

// WriteError answers a request with an error: in the request's protocol if that
// is gRPC, gRPC-Web or Connect, and otherwise as a JSON object with code,
// reason, message, fix, fields and meta. rpc says that the request is for a
// Connect handler. If false, plain JSON requests count as plain HTTP.
func WriteError(w http.ResponseWriter, r *http.Request, err *fault.Error, rpc bool) {
	if !(rpc && write(w, r, err)) && !WriteRPC(w, r, err) {
		WriteJSON(w, HTTPStatus(err), err)
	}
}

// WriteRPC answers a request with an error if the request is certainly gRPC,
// gRPC-Web or Connect. Otherwise it returns false.
func WriteRPC(w http.ResponseWriter, r *http.Request, err *fault.Error) bool {
	ct := r.Header.Get("Content-Type")
	certain := strings.HasPrefix(ct, "application/grpc") || strings.HasPrefix(ct, "application/connect+") ||
		r.Header.Get("Connect-Protocol-Version") != "" || r.Method == http.MethodGet && r.URL.Query().Get("connect") == "v1"
	return certain && write(w, r, err)
}

func write(w http.ResponseWriter, r *http.Request, err *fault.Error) bool {
	ew := connect.NewErrorWriter()
	if !ew.IsSupported(r) {
		return false
	}
	_ = ew.Write(w, r, ToConnect(err)) // the caller is gone
	return true
}

// WriteJSON answers with a status and an error as a JSON object.
func WriteJSON(w http.ResponseWriter, status int, err *fault.Error) {
	WriteCall(w, status, err, Said{})
}

// retryAfter is the header field that says when to try again, in whole seconds.
const retryAfter = "Retry-After"

// WriteCall is WriteJSON for a failed call, with what its guest said.
func WriteCall(w http.ResponseWriter, status int, err *fault.Error, said Said) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if d := err.RetryDelay(); d > 0 {
		h.Set(retryAfter, strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)) // HTTP knows whole seconds
	}
	body := JSON(err, said)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone
}

// JSON returns an error, bounded, and what a guest said as a line with a JSON object: the body of a
// plain HTTP response, and what the CLI prints with -o json. Connect's own JSON
// has the same code and message, and the rest in its details.
func JSON(err *fault.Error, said Said) []byte {
	e := err.Bounded()
	f := Failure{Code: e.ConnectCode().String(), Reason: string(e.Reason), Message: e.Error(), Fix: e.Fix, Meta: e.Meta, Said: said}
	f.RetryAfterMS = int64((e.RetryDelay() + time.Millisecond - 1) / time.Millisecond)
	for _, v := range e.Fields {
		f.Fields = append(f.Fields, Field{v.Path, v.Description})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(f) // strings alone: it cannot fail
	return b.Bytes()
}

// HTTPStatus returns the status of an error on the plain HTTP front. It uses
// Connect's own table, with 413 for requests that are too large and 499 for a
// caller that went away.
func HTTPStatus(e *fault.Error) int {
	switch e.Reason {
	case fault.InputTooLarge, fault.UploadTooLarge:
		return http.StatusRequestEntityTooLarge
	}
	switch e.ConnectCode() {
	case fault.CodeCanceled:
		return 499
	case fault.CodeInvalidArgument, fault.CodeFailedPrecondition, fault.CodeOutOfRange:
		return http.StatusBadRequest
	case fault.CodeDeadlineExceeded:
		return http.StatusGatewayTimeout
	case fault.CodeNotFound:
		return http.StatusNotFound
	case fault.CodeAlreadyExists, fault.CodeAborted:
		return http.StatusConflict
	case fault.CodePermissionDenied:
		return http.StatusForbidden
	case fault.CodeResourceExhausted:
		return http.StatusTooManyRequests
	case fault.CodeUnimplemented:
		return http.StatusNotImplemented
	case fault.CodeUnavailable:
		return http.StatusServiceUnavailable
	case fault.CodeUnauthenticated:
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}

// FromHTTP reads back what [WriteJSON] and [WriteCall] wrote, except for Said. ok is
// false if body is something else.
func FromHTTP(body []byte) (e *fault.Error, ok bool) {
	var f Failure
	if json.Unmarshal(body, &f) != nil || f.Reason == "" {
		return nil, false
	}
	e = &fault.Error{Reason: fault.Reason(f.Reason), Message: f.Message, Fix: f.Fix, NotStarted: f.Meta[fault.MetaStarted] == "no"}
	e.RetryAfter = time.Duration(min(max(f.RetryAfterMS, 0), fault.MaxRetryDelay.Milliseconds())) * time.Millisecond
	for c := fault.CodeCanceled; c.Valid(); c++ {
		if c.String() == f.Code {
			e.Code = c
		}
	}
	for k, v := range f.Meta {
		if k != fault.MetaStarted || v != "no" {
			e.With(k, v)
		}
	}
	for _, v := range f.Fields {
		e.Fields = append(e.Fields, fault.Field{Path: v.Field, Description: v.Description})
	}
	return e, true
}
