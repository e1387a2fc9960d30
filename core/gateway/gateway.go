// Package gateway is the HTTP front for callers that speak neither Connect nor
// gRPC: POST /call/{service} with a raw body, bytes in and bytes out. greet@3 is
// revision 3 of greet, live or not. GET answers with what the service accepts.
//
//	curl -d '{"name":"Ada"}' http://127.0.0.1:7833/call/greet
//	curl http://127.0.0.1:7833/call/greet
//
// Package headers has the table of the header fields of requests and answers. A
// failure is a JSON object with code, reason, message, fix and the violated
// fields, and with logs and trace if the request asked for logs.
package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/core/gateway/fields"
	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/middleware"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// Invoker is what the gateway needs from package invoke.
type Invoker interface {
	Begin(ctx context.Context, service string) (invoke.Call, error)
	Describe(ctx context.Context, service string) (*invoke.Description, error)
}

// weight is how many bytes of memory a byte of an input can take while it is
// read, because buffers grow by doubling.
const weight = 3

// Mount mounts /call/{service} on a port. fresh wraps the handlers; see package
// freshness.
func Mount(p *port.Server, invoker Invoker, fresh func(http.Handler) http.Handler, log *slog.Logger) {
	g := &gateway{invoker: invoker, log: log, sandbox: []string{"sandbox"}, nosniff: []string{"nosniff"}}
	rule, bounds := access.Needs(access.Call, access.Service), port.Bounds{Weight: weight}
	p.HandlePlain(prefix, "call", rule, bounds, fresh(http.HandlerFunc(g.call)))
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /call/{service}": g.describe,
		"/call/{service}":     g.wrongMethod,
		"/call/":              g.noService,
	} {
		p.Handle(pattern, "call", rule, bounds, fresh(h))
	}
}

// prefix begins the path of a call. What follows is the service.
const prefix = "/call/"

type gateway struct {
	invoker Invoker
	log     *slog.Logger
	// Values of header fields that all answers share.
	sandbox, nosniff []string
}

func (g *gateway) call(w http.ResponseWriter, r *http.Request) {
	res, err := g.invoke(w, r)
	if err != nil {
		g.fail(w, r, err)
		return
	}
	port.Count(r.Context(), res.Outcome())
	h := w.Header()
	fields.SetInfo(h, res.Info)
	fields.SetLogs(h, res.Info)
	g.foreign(h)
	fields.Set(h, "Content-Type", res.ContentType, "Content-Length", strconv.Itoa(len(res.Output)))
	_, _ = w.Write(res.Output) // the caller is gone
}

// foreign sets headers that keep a browser from treating a guest's output as
// part of this core: a page from a guest runs no scripts and has its own
// origin.
func (g *gateway) foreign(h http.Header) {
	h["Content-Security-Policy"], h["X-Content-Type-Options"] = g.sandbox, g.nosniff
}

func (g *gateway) invoke(w http.ResponseWriter, r *http.Request) (*invoke.Result, error) {
	call, err := g.invoker.Begin(r.Context(), strings.TrimPrefix(r.URL.Path, prefix))
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := fields.WithDeadline(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	body, err := readBody(w, r, call)
	if err != nil {
		return nil, err
	}
	res, err := call.Do(ctx, invoke.Input{Body: body, ContentType: contentType(r), Logs: fields.WantsLogs(r)})
	if err != nil {
		return nil, err
	}
	if err := port.Hold(r.Context(), len(res.Output)); err != nil {
		return nil, res.Undelivered(err)
	}
	return res, nil
}

// readBody reads the body, but no more than the service accepts.
func readBody(w http.ResponseWriter, r *http.Request, call invoke.Call) ([]byte, error) {
	limit := int64(call.InputLimit())
	if r.ContentLength > limit {
		return nil, call.TooLarge(strconv.FormatInt(r.ContentLength, 10) + " bytes")
	}
	if r.ContentLength >= 0 {
		input, err := readAnnounced(r.Body, int(r.ContentLength))
		return input, middleware.BrokenBody(err)
	}
	input, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, call.TooLarge("more than " + strconv.FormatInt(limit, 10) + " bytes")
	}
	return input, middleware.BrokenBody(err)
}

// readAnnounced reads a body of n bytes. A caller that announces more than trusted
// must send half of it before memory is allocated for all of it.
func readAnnounced(body io.Reader, n int) ([]byte, error) {
	input := make([]byte, min(n, trusted))
	for have := 0; ; {
		m, err := io.ReadFull(body, input[have:])
		have += m
		if err != nil || have == n {
			return input[:have], err
		}
		more := make([]byte, min(n, 2*have))
		copy(more, input)
		input = more
	}
}

// trusted is the announced length up to which memory is allocated before a body
// arrives.
const trusted = 64 << 10

// contentType returns the caller's media type of the body. By default, curl -d
// wrongly says that it is a form, so that type counts as unset.
func contentType(r *http.Request) string {
	ct := r.Header.Get("Content-Type")
	if ct == invoke.JSON {
		return ct
	}
	if mt, _, err := mime.ParseMediaType(ct); err != nil || mt == "application/x-www-form-urlencoded" {
		return invoke.JSON
	}
	return ct
}

// noService handles requests whose path names no service, or a name with
// slashes.
func (g *gateway) noService(w http.ResponseWriter, r *http.Request) {
	_, err := g.invoker.Begin(r.Context(), strings.TrimPrefix(r.URL.Path, prefix))
	g.fail(w, r, err)
}

// describe answers with the service's description, schema, example and limits.
func (g *gateway) describe(w http.ResponseWriter, r *http.Request) {
	body, err := g.description(r)
	if err != nil {
		g.fail(w, r, err)
		return
	}
	port.Count(r.Context(), "")
	h := w.Header()
	g.foreign(h)
	fields.Set(h, "Content-Type", invoke.JSON, "Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the caller is gone
}

func (g *gateway) description(r *http.Request) ([]byte, error) {
	d, err := g.invoker.Describe(r.Context(), r.PathValue("service"))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return nil, err
	}
	return b.Bytes(), port.Hold(r.Context(), b.Len())
}

func (g *gateway) wrongMethod(w http.ResponseWriter, r *http.Request) {
	port.Count(r.Context(), fault.Unimplemented)
	w.Header().Set("Allow", "GET, HEAD, POST")
	g.foreign(w.Header())
	faultrpc.WriteJSON(w, http.StatusMethodNotAllowed,
		fault.New(fault.Unimplemented, "a service is called with POST, not %s", fault.Cut(r.Method, 32)).
			WithFix("curl -d INPUT http://%s%s", r.Host, r.URL.Path))
}

func (g *gateway) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := middleware.Public(g.log, "gateway", err)
	port.Count(r.Context(), e.Reason)
	info, ok := fault.Detail[*ruedov1.CallInfo](e)
	if ok {
		fields.SetInfo(w.Header(), info)
	}
	g.foreign(w.Header())
	faultrpc.WriteCall(w, faultrpc.HTTPStatus(e), e, faultrpc.Said{Logs: string(info.GetLogs()), Trace: info.GetTrace()})
}
