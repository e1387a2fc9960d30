// Package same holds handlers and requests that must be seen alike whether
// net/http's own server runs the handler or a module does. It is for the tests
// of package web: natively, and in a guest.
package same

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Note notes what a handler sees.
type Note func(format string, args ...any)

// Case is a handler and a request.
type Case struct {
	Name    string
	Method  string
	Body    func() io.Reader
	Request func(*http.Request) // changes the request; may be nil
	Handle  func(w http.ResponseWriter, r *http.Request, note Note)
	H1      bool // only over HTTP/1.1
	As1     bool // net/http's servers differ, and a module does as that for HTTP/1.1
	Status  int  // that a module fails with; net/http closes the connection
}

// Fields returns header fields as a text.
func Fields(h http.Header) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fmt.Fprintf(&b, "%s: %q\n", name, h[name])
	}
	return b.String()
}

func text(s string) func() io.Reader { return func() io.Reader { return strings.NewReader(s) } }

// chunked hides the length.
func chunked(s string) func() io.Reader {
	return func() io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }
}

// Cases returns the cases.
func Cases() []Case {
	return []Case{
		{Name: "hello", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) { fmt.Fprint(w, "hello") }},
		{Name: "nothing", Handle: func(http.ResponseWriter, *http.Request, Note) {}},
		{Name: "status", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "short")
		}},
		{Name: "error", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) { http.Error(w, "no <b>", http.StatusForbidden) }},
		{Name: "redirect", Handle: func(w http.ResponseWriter, r *http.Request, _ Note) { http.Redirect(w, r, "/there", http.StatusFound) }},
		{Name: "the request", Method: "PATCH", Body: text("abc"), Request: func(r *http.Request) {
			r.Header["X-Many"] = []string{"1", "2, 3"}
			r.Header.Set("Cookie", "a=b; c=d")
		}, Handle: func(w http.ResponseWriter, r *http.Request, note Note) {
			note("%s %s %s %s %d.%d %d %q %t", r.Method, r.RequestURI, r.URL, r.Host, r.ProtoMajor, r.ProtoMinor, r.ContentLength, r.URL.Path, r.TLS != nil)
			note("%s", Fields(r.Header))
			note("%v %s", r.URL.Query(), r.PathValue("x"))
			b, err := io.ReadAll(r.Body)
			note("%s %v", b, err)
			n, err := r.Body.Read(make([]byte, 1))
			note("%d %v", n, err)
		}},
		{Name: "read after end and close", Method: "POST", Body: text("abc"), As1: true, Handle: func(_ http.ResponseWriter, r *http.Request, note Note) {
			_, _ = io.ReadAll(r.Body)
			note("%v", r.Body.Close())
			_, err := r.Body.Read(make([]byte, 1))
			note("%v", err)
		}},
		{Name: "a form", Method: "POST", Body: text("x=1&y=%20"), Request: func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}, Handle: func(_ http.ResponseWriter, r *http.Request, note Note) {
			note("%s %s %v", r.FormValue("x"), r.FormValue("q"), r.PostForm)
		}},
		{Name: "no body", Method: "POST", As1: true, Handle: func(_ http.ResponseWriter, r *http.Request, note Note) {
			b, err := io.ReadAll(r.Body)
			note("%d %q %v %t", r.ContentLength, b, err, r.Body == http.NoBody)
		}},
		{Name: "echo of a whole body", Method: "POST", Body: text(strings.Repeat("x", 32<<10)), Handle: echo},
		{Name: "echo of a large body", Method: "POST", Body: text(strings.Repeat("0123456789", 40_000)), Handle: echo},
		{Name: "echo of unknown length", Method: "POST", Body: chunked(strings.Repeat("0123456789", 40_000)), Handle: echo},
		{Name: "echo of nothing of unknown length", Method: "POST", Body: chunked(""), Handle: echo},
		{Name: "a body that is not read", Method: "POST", Body: text(strings.Repeat("x", 100_000)), Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			fmt.Fprint(w, "no thanks")
		}},
		{Name: "read after close", Method: "POST", As1: true, Body: text(strings.Repeat("x", 100_000)), Handle: func(_ http.ResponseWriter, r *http.Request, note Note) {
			_ = r.Body.Close()
			_, err := r.Body.Read(make([]byte, 1))
			note("%v", err)
		}},
		{Name: "a limit of the body", Method: "POST", Body: text(strings.Repeat("x", 100_000)), Handle: func(w http.ResponseWriter, r *http.Request, note Note) {
			r.Body = http.MaxBytesReader(w, r.Body, 1000)
			n, err := io.Copy(io.Discard, r.Body)
			note("%d %v", n, err)
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		}},
		{Name: "trailers of the request", Method: "POST", Body: chunked("abc"), Request: func(r *http.Request) {
			r.Trailer = http.Header{"X-Sum": {"7"}}
		}, Handle: func(_ http.ResponseWriter, r *http.Request, note Note) {
			note("%v %q", r.Trailer, r.Header["Trailer"])
			_, err := io.Copy(io.Discard, r.Body)
			note("%v %v", r.Trailer, err)
		}},
		{Name: "32 KiB", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			_, _ = w.Write(bytes.Repeat([]byte("y"), 32<<10))
		}},
		{Name: "one byte more", Handle: func(w http.ResponseWriter, _ *http.Request, note Note) {
			_, err := w.Write(bytes.Repeat([]byte("y"), 32<<10))
			note("%v", err)
			_, err = w.Write([]byte("z"))
			note("%v", err)
		}},
		{Name: "a megabyte in pieces of all sizes", Handle: func(w http.ResponseWriter, _ *http.Request, note Note) {
			for n := 1; n < 1<<20; n = n*3 + 1 {
				wrote, err := w.Write(bytes.Repeat([]byte{byte(n)}, n))
				note("%d %v", wrote, err)
			}
		}},
		{Name: "flushes", Handle: func(w http.ResponseWriter, _ *http.Request, note Note) {
			rc := http.NewResponseController(w)
			note("%v", rc.Flush())
			for i := range 20 {
				fmt.Fprintf(w, "%d%s\n", i, strings.Repeat("-", 5000))
				note("%v", rc.Flush())
			}
		}},
		{Name: "a flush at the end", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			fmt.Fprint(w, "<html>")
			w.(http.Flusher).Flush()
		}},
		{Name: "the controller", Method: "POST", Body: chunked(strings.Repeat("x", 100_000)), Handle: func(w http.ResponseWriter, r *http.Request, note Note) {
			rc := http.NewResponseController(w)
			note("%v", rc.SetReadDeadline(time.Now().Add(time.Minute)))
			note("%v", rc.SetWriteDeadline(time.Now().Add(time.Minute)))
			echo(w, r, note)
			note("%v", rc.SetWriteDeadline(time.Time{}))
		}},
		{Name: "full duplex", H1: true, Handle: func(w http.ResponseWriter, _ *http.Request, note Note) {
			note("%v", http.NewResponseController(w).EnableFullDuplex())
		}},
		{Name: "fields", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header()["X-Many"] = []string{"1", "2"}
			w.Header().Set("X-Break", " a\r\nX-Forged: b ")
			w.Header()["bad name"] = []string{"x"}
			w.Header()[""] = []string{"x"}
			w.Header().Add("Set-Cookie", "a=b")
			w.Header().Add("Set-Cookie", "c=d")
			w.Header().Set("X-Empty", "")
			w.Header()["X-None"] = nil
		}, H1: true},
		{Name: "a head is final", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			h := w.Header()
			h.Set("X-Before", "1")
			w.WriteHeader(201)
			h.Set("X-After", "2")
			w.Header().Set("X-Before", "3")
			fmt.Fprint(w, "x")
		}},
		{Name: "sniffing", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			fmt.Fprint(w, "<")
			fmt.Fprint(w, "html><title>x</title>")
		}},
		{Name: "sniffing of binary", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			_, _ = w.Write([]byte("\x89PNG\x0D\x0A\x1A\x0A"))
		}},
		{Name: "no sniffing", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header()["Content-Type"] = nil
			fmt.Fprint(w, "<html>")
		}},
		{Name: "no sniffing of an encoded body", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header().Set("Content-Encoding", "br")
			fmt.Fprint(w, "<html>")
		}},
		{Name: "HEAD", Method: "HEAD", Handle: func(w http.ResponseWriter, _ *http.Request, note Note) {
			n, err := fmt.Fprint(w, "<html>")
			note("%d %v", n, err)
		}},
		{Name: "HEAD of nothing", Method: "HEAD", Handle: func(http.ResponseWriter, *http.Request, Note) {}},
		{Name: "HEAD with a length", Method: "HEAD", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header().Set("Content-Length", "123456")
			w.Header().Set("Content-Type", "a/b")
		}},
		{Name: "HEAD of a large body", Method: "HEAD", As1: true, Handle: func(w http.ResponseWriter, _ *http.Request, note Note) {
			for range 100 {
				n, err := w.Write(bytes.Repeat([]byte("a"), 10_000))
				note("%d %v", n, err)
			}
		}},
		{Name: "204", Handle: func(w http.ResponseWriter, _ *http.Request, note Note) {
			w.Header().Set("X-A", "1")
			w.WriteHeader(204)
			n, err := w.Write([]byte("x"))
			note("%d %v", n, err)
		}},
		{Name: "304", As1: true, Handle: func(w http.ResponseWriter, _ *http.Request, note Note) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(304)
			n, err := w.Write([]byte("x"))
			note("%d %v", n, err)
		}},
		{Name: "a length", As1: true, Handle: func(w http.ResponseWriter, _ *http.Request, note Note) {
			w.Header().Set("Content-Length", "3")
			n, err := fmt.Fprint(w, "abc")
			note("%d %v", n, err)
			n, err = fmt.Fprint(w, "d")
			note("%d %v", n, err)
		}},
		{Name: "a length of a large body", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(make([]byte, 100_000))
		}},
		{Name: "a length that is none", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header().Set("Content-Length", "many")
			fmt.Fprint(w, "abc")
		}},
		{Name: "less than the length", Status: 500, Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "abc")
		}},
		{Name: "less than the length, flushed", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "abc")
			w.(http.Flusher).Flush()
		}},
		{Name: "trailers", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header().Set("Trailer", "X-One, x-two")
			w.Header().Add("Trailer", "X-Three")
			w.Header().Set("X-One", "head")
			fmt.Fprint(w, "body")
			w.(http.Flusher).Flush()
			w.Header().Set("X-One", "1")
			w.Header().Set("X-Two", "2")
			w.Header().Set(http.TrailerPrefix+"X-Late", "3")
			w.Header().Set("X-Not", "4")
		}},
		{Name: "trailers of a large body", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header().Set("Trailer", "X-One")
			_, _ = w.Write(make([]byte, 100_000))
			w.Header().Set("X-One", "1")
		}},
		{Name: "trailers without a body", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header().Set("Trailer", "Grpc-Status")
			w.WriteHeader(200)
			w.Header().Set("Grpc-Status", "0")
		}},
		{Name: "trailers that are not", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header().Set("Trailer", "X-One, Content-Length, If-Match, Transfer-Encoding")
			fmt.Fprint(w, "body")
			w.(http.Flusher).Flush()
			w.Header().Set("X-One", "1")
			w.Header().Set("Content-Length", "7")
			w.Header().Set("If-Match", "x")
		}},
		{Name: "early hints", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.Header().Set("Link", "</a>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusProcessing)
			w.Header().Set("X-Final", "1")
			fmt.Fprint(w, "done")
		}},
		{Name: "continue", Handle: func(w http.ResponseWriter, r *http.Request, note Note) {
			w.WriteHeader(http.StatusContinue)
			_, err := fmt.Fprint(w, "done")
			note("%v", err)
		}},
		{Name: "early hints of an answer that streams", Method: "POST", Body: chunked(strings.Repeat("x", 100_000)), Handle: func(w http.ResponseWriter, r *http.Request, note Note) {
			w.WriteHeader(http.StatusEarlyHints)
			echo(w, r, note)
		}},
		{Name: "a second status", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			w.WriteHeader(201)
			w.WriteHeader(500)
			fmt.Fprint(w, "x")
		}},
		{Name: "a status that is none", Status: 500, Handle: func(w http.ResponseWriter, _ *http.Request, note Note) {
			defer func() { p := recover(); note("%v", p); panic(p) }()
			w.WriteHeader(99)
		}},
		{Name: "a panic", Status: 500, Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			fmt.Fprint(w, "not sent")
			panic("boo")
		}},
		{Name: "a panic later", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			fmt.Fprint(w, "sent")
			w.(http.Flusher).Flush()
			panic("boo")
		}},
		{Name: "an abort", Status: 500, Handle: func(http.ResponseWriter, *http.Request, Note) { panic(http.ErrAbortHandler) }},
		{Name: "an abort later", Handle: func(w http.ResponseWriter, _ *http.Request, _ Note) {
			_, _ = w.Write(make([]byte, 100_000))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
		{Name: "the context", Handle: func(_ http.ResponseWriter, r *http.Request, note Note) {
			ctx, cancel := context.WithCancel(r.Context())
			note("%v %v", r.Context().Err(), ctx.Err())
			cancel()
			note("%v", ctx.Err())
			context.AfterFunc(r.Context(), func() {})
		}},
		{Name: "a hijack that is not", H1: true, Method: "HEAD", Handle: func(w http.ResponseWriter, r *http.Request, note Note) {
			if r.Header.Get("Upgrade") != "" {
				return
			}
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
		}},
	}
}

func echo(w http.ResponseWriter, r *http.Request, note Note) {
	n, err := io.Copy(struct{ io.Writer }{w}, r.Body)
	note("%d %v", n, err)
}
