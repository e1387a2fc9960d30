//go:build unix

package exchange

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

// leave makes a request of h whose caller leaves when the handler says so.
func leave(t *testing.T, body io.Reader, h func(w http.ResponseWriter, r *http.Request, leave func())) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		bridge(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(w, r, cancel) })).ServeHTTP(w, r)
	}))
	defer s.Close()
	tr := new(http.Transport)
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, "POST", s.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := tr.RoundTrip(req); err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	<-ended
}

func TestContextEndsWithTheCaller(t *testing.T) {
	for name, body := range map[string]string{"whole body": "abc", "large body": strings.Repeat("x", 100_000)} {
		t.Run(name, func(t *testing.T) {
			leave(t, strings.NewReader(body), func(_ http.ResponseWriter, r *http.Request, leave func()) {
				child, cancel := context.WithCancel(r.Context())
				defer cancel()
				if n, err := io.Copy(io.Discard, r.Body); n != int64(len(body)) || err != nil {
					t.Error(n, err)
				}
				leave()
				select {
				case <-child.Done():
				case <-time.After(10 * time.Second):
					t.Error("the context goes on without a caller")
				}
				if err := r.Context().Err(); err != context.Canceled {
					t.Error(err)
				}
			})
		})
	}
}

func TestWritingToNobody(t *testing.T) {
	leave(t, strings.NewReader("abc"), func(w http.ResponseWriter, r *http.Request, leave func()) {
		_, _ = io.Copy(io.Discard, r.Body)
		leave()
		deadline := time.Now().Add(10 * time.Second)
		for time.Now().Before(deadline) {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				if r.Context().Err() == nil {
					t.Error("the context goes on after", err)
				}
				return
			}
		}
		t.Error("writing goes on without a caller")
	})
}

func TestBodyThatBreaksOff(t *testing.T) {
	in, out := io.Pipe()
	leave(t, in, func(_ http.ResponseWriter, r *http.Request, leave func()) {
		go func() {
			_, _ = io.WriteString(out, "some")
		}()
		b := make([]byte, 4)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			t.Error(err)
		}
		leave()
		_ = out.CloseWithError(errors.New("the caller has left"))
		if n, err := r.Body.Read(b); n != 0 || err != io.ErrUnexpectedEOF {
			t.Error(n, err)
		}
		if n, err := r.Body.Read(b); n != 0 || err != io.ErrUnexpectedEOF {
			t.Error(n, err)
		}
	})
}

// serveRaw makes one exchange without a caller of HTTP.
func serveRaw(t *testing.T, fields [][2]string, h http.HandlerFunc) *rawHost {
	t.Helper()
	raw := &rawHost{}
	for _, f := range append(fields, [2]string{abi.HeadPath, "/"}) {
		raw.head = abi.AppendField(raw.head, f[0], f[1])
	}
	answer(raw, h)
	return raw
}

func TestContextOfTheHead(t *testing.T) {
	fields := [][2]string{{abi.HeadTimeout, "20000000"}, {abi.HeadCallID, "c-9"}, {abi.HeadCaller, "user/ada"}, {":later", "x"}, {abi.HeadScheme, "https"}, {abi.HeadProto, "HTTP/2.0"}}
	var kept *http.Request
	raw := serveRaw(t, fields, func(w http.ResponseWriter, r *http.Request) {
		kept = r
		ctx := r.Context()
		if at, ok := ctx.Deadline(); !ok || time.Until(at) > 20*time.Millisecond {
			t.Error(at, ok)
		}
		if CallID(ctx) != "c-9" || sdk.Caller(ctx) != "user/ada" || r.TLS == nil || r.ProtoMajor != 2 {
			t.Error(CallID(ctx), sdk.Caller(ctx), r.TLS, r.Proto)
		}
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		<-child.Done()
		if ctx.Err() != context.DeadlineExceeded || child.Err() != context.DeadlineExceeded {
			t.Error(ctx.Err(), child.Err())
		}
	})
	if raw.failure != "" {
		t.Error(raw.failure)
	}
	if CallID(context.Background()) != "" || sdk.Caller(context.Background()) != "" {
		t.Error("there is a call outside of a call")
	}

	// Nobody waits, and the deadline has passed all the same.
	serveRaw(t, [][2]string{{abi.HeadTimeout, "1"}}, func(_ http.ResponseWriter, r *http.Request) {
		if err := r.Context().Err(); err != context.DeadlineExceeded {
			t.Error(err)
		}
		select {
		case <-r.Context().Done():
		default:
			t.Error("an ended context is not done")
		}
	})

	// After the handler everything has ended.
	var w http.ResponseWriter
	serveRaw(t, nil, func(rw http.ResponseWriter, r *http.Request) { w, kept = rw, r })
	if err := kept.Context().Err(); err != context.Canceled {
		t.Error(err)
	}
	<-kept.Context().Done()
	if _, err := w.Write([]byte("x")); err != errEnded {
		t.Error(err)
	}
	if err := http.NewResponseController(w).Flush(); err != errEnded {
		t.Error(err)
	}
	w.WriteHeader(200)
	if _, _, err := w.(http.Hijacker).Hijack(); err != errEnded {
		t.Error(err)
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	never := func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }
	raw := &rawHost{head: abi.AppendField(nil, abi.HeadPath, "no path")}
	if answer(raw, http.HandlerFunc(never)) == 0 || !strings.Contains(raw.failure, "the path of the request is not valid") {
		t.Error(raw.failure)
	}
	raw = &rawHost{head: []byte("short")}
	if answer(raw, http.HandlerFunc(never)) == 0 || !strings.Contains(raw.failure, host.ErrHead.Error()) {
		t.Error(raw.failure)
	}
}

func TestHostThatRefuses(t *testing.T) {
	for want, h := range map[string]http.HandlerFunc{
		"the head of the answer was refused: malformed": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Refuse", "1") },
		"the answer was not taken: over a limit": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 7777))
		},
		"the trailers of the answer were refused: malformed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(http.TrailerPrefix+"X-Refuse", "1")
		},
		"the service panicked: boo": func(http.ResponseWriter, *http.Request) { panic("boo") },
		"the service aborted":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"the service declared a Content-Length of 3 and wrote 1 bytes": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			_, _ = w.Write([]byte("x"))
		},
	} {
		raw := &refusing{rawHost{head: abi.AppendField(nil, abi.HeadPath, "/")}}
		if answer(raw, h) == 0 || !strings.Contains(raw.failure, want) {
			t.Errorf("got %q, want %q", raw.failure, want)
		}
	}
	raw := &refusing{rawHost{head: abi.AppendField(nil, abi.HeadPath, "/")}}
	answer(raw, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, kept+1))
		if !errors.Is(err, host.ErrState) {
			t.Error(err)
		}
	}))
}

type refusing struct{ rawHost }

func (h *refusing) HeadWrite(head []byte) int32 {
	if strings.Contains(string(head), "X-Refuse") {
		return abi.ErrInvalid
	}
	return h.rawHost.HeadWrite(head)
}

func (h *refusing) OutputWrite([]byte) int32   { return abi.ErrLimit }
func (h *refusing) TrailersWrite([]byte) int32 { return abi.ErrInvalid }
