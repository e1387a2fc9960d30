// Package gateway is the HTTP front for callers that speak neither Connect nor
// gRPC: POST /call/{service} with a raw body, bytes in and bytes out.
//
//	curl -d '{"name":"Ada"}' http://127.0.0.1:7833/call/greet
//
// The answer carries Ruedo-Call-Id, Ruedo-Runner and Ruedo-Duration. A failure
// is a JSON object with code, reason, message, fix and the fields in question.
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wire"
)

// Header fields of an answer.
const (
	HeaderCallID   = "Ruedo-Call-Id"
	HeaderRunner   = "Ruedo-Runner"
	HeaderDuration = "Ruedo-Duration"
	HeaderRevision = "Ruedo-Revision"
	HeaderCPUTime  = "Ruedo-Cpu-Time"
	HeaderMemory   = "Ruedo-Memory"
	HeaderFuel     = "Ruedo-Fuel"
	HeaderStart    = "Ruedo-Start" // cold or warm
)

// Hall is what the gateway needs of the hallway.
type Hall interface {
	Resolve(name string) (*invoke.Entry, error)
	Invoke(ctx context.Context, call *invoke.Call) (*invoke.Result, error)
}

// New makes the handler of /call/{service}. count is told once what became of
// each request, before it is answered: the reason of its failure, or "".
func New(hall Hall, log *slog.Logger, count func(outcome fault.Reason)) http.Handler {
	g := &gateway{hall: hall, log: log, count: count}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /call/{service}", g.call)
	mux.HandleFunc("/call/{service}", g.wrongMethod)
	mux.HandleFunc("/call/", g.noService)
	return mux
}

type gateway struct {
	hall  Hall
	log   *slog.Logger
	count func(outcome fault.Reason)
}

func (g *gateway) call(w http.ResponseWriter, r *http.Request) {
	res, err := g.counted(w, r)
	if err != nil {
		g.fail(w, err)
		return
	}
	h := w.Header()
	setInfo(h, res.Info)
	h.Set("Content-Type", res.ContentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(res.Output)))
	// A caller that is gone now has nobody to tell.
	_, _ = w.Write(res.Output)
}

// counted counts what becomes of a request, a panic too.
func (g *gateway) counted(w http.ResponseWriter, r *http.Request) (*invoke.Result, error) {
	outcome := fault.Internal
	defer func() { g.count(outcome) }()
	res, err := g.invoke(w, r)
	if err != nil {
		err = wire.Public(g.log, "gateway", err)
		outcome = fault.ReasonOf(err)
		return nil, err
	}
	outcome = ""
	return res, nil
}

func (g *gateway) invoke(w http.ResponseWriter, r *http.Request) (*invoke.Result, error) {
	service := r.PathValue("service")
	entry, err := g.hall.Resolve(service)
	if err != nil {
		return nil, err
	}
	input, err := readBody(w, r, entry)
	if err != nil {
		return nil, err
	}
	return g.hall.Invoke(r.Context(), &invoke.Call{Service: service, Input: input, ContentType: contentType(r)})
}

// readBody reads no more than the service accepts.
func readBody(w http.ResponseWriter, r *http.Request, entry *invoke.Entry) ([]byte, error) {
	limit := int64(entry.Rules.Limits.GetInputBytes())
	if r.ContentLength > limit {
		return nil, entry.Rules.TooLarge(entry.Service.GetName(), strconv.FormatInt(r.ContentLength, 10)+" bytes")
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	if r.ContentLength >= 0 {
		input := make([]byte, r.ContentLength)
		_, err := io.ReadFull(body, input)
		return input, broken(err)
	}
	input, err := io.ReadAll(body)
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, entry.Rules.TooLarge(entry.Service.GetName(), "more than "+strconv.FormatInt(limit, 10)+" bytes")
	}
	return input, broken(err)
}

func broken(err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(err, fault.InputBroken, "the body broke off before its end").WithFix("send it again")
}

// contentType is what the caller says of the body. curl -d says it is a form,
// by default and wrongly, so that is taken for unsaid.
func contentType(r *http.Request) string {
	ct := r.Header.Get("Content-Type")
	if mt, _, err := mime.ParseMediaType(ct); err != nil || mt == "application/x-www-form-urlencoded" {
		return invoke.JSON
	}
	return ct
}

func setInfo(h http.Header, info *ruedov1.CallInfo) {
	h.Set(HeaderCallID, info.GetCallId())
	if info.GetRunner() == "" {
		return
	}
	h.Set(HeaderRunner, info.GetRunner())
	h.Set(HeaderDuration, info.GetDuration().AsDuration().String())
	h.Set(HeaderRevision, strconv.FormatUint(info.GetRevision(), 10))
	h.Set(HeaderCPUTime, info.GetCpuTime().AsDuration().String())
	h.Set(HeaderMemory, strconv.FormatUint(info.GetMemoryBytes(), 10))
	h.Set(HeaderFuel, strconv.FormatUint(info.GetFuel(), 10))
	h.Set(HeaderStart, start(info.GetCold()))
}

func start(cold bool) string {
	if cold {
		return "cold"
	}
	return "warm"
}

// noService answers where the name of a service has slashes, or is none.
func (g *gateway) noService(w http.ResponseWriter, r *http.Request) {
	_, err := g.hall.Resolve(strings.TrimPrefix(r.URL.Path, "/call/"))
	g.count(fault.ReasonOf(err))
	g.fail(w, err)
}

func (g *gateway) wrongMethod(w http.ResponseWriter, r *http.Request) {
	g.count(fault.Unimplemented)
	w.Header().Set("Allow", http.MethodPost)
	g.write(w, http.StatusMethodNotAllowed, failure{
		Code: connect.CodeUnimplemented.String(), Reason: string(fault.Unimplemented),
		Message: "a service is called with POST, not " + r.Method,
		Fix:     "curl -d INPUT http://" + r.Host + r.URL.Path,
	})
}

// failure is the body of an answer that is an error.
type failure struct {
	Code    string            `json:"code"`
	Reason  string            `json:"reason"`
	Message string            `json:"message"`
	Fix     string            `json:"fix,omitempty"`
	Fields  []field           `json:"fields,omitempty"`
	Meta    map[string]string `json:"meta,omitempty"`
}

type field struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

func (g *gateway) fail(w http.ResponseWriter, err error) {
	e := fault.Of(err)
	if info, ok := fault.Detail[*ruedov1.CallInfo](e); ok {
		setInfo(w.Header(), info)
	}
	f := failure{Code: e.ConnectCode().String(), Reason: string(e.Reason), Message: e.Error(), Fix: e.Fix, Meta: e.Meta}
	for _, v := range e.Fields {
		f.Fields = append(f.Fields, field{v.Path, v.Description})
	}
	if e.ConnectCode() == connect.CodeResourceExhausted && e.Reason == fault.QueueFull {
		w.Header().Set("Retry-After", "1")
	}
	g.write(w, fault.HTTPStatus(e), f)
}

func (g *gateway) write(w http.ResponseWriter, status int, f failure) {
	body, err := json.Marshal(f)
	if err != nil {
		g.log.Error("encode failure", "err", err)
	}
	w.Header().Set("Content-Type", invoke.JSON)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
