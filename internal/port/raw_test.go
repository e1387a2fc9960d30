package port_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// say is a handler that says its name and the path.
func say(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name, " ", r.URL.EscapedPath()) })
}

func TestWhoServesWhat(t *testing.T) {
	addr := serve(t, port.Config{}, func(s *port.Server) {
		s.Handle("GET /healthz", "healthz", access.Own(), port.Bounds{}, say("own"))
		s.HandleRaw("/svc/", "svc", access.Own(), port.Bounds{}, say("raw"))
		s.HandleHosts("svc", access.Own(), port.Bounds{}, func(r *http.Request) bool { return r.Host == "app.example.com" }, say("host"))
		s.HandleRest("svc", access.Own(), port.Bounds{}, func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/rest") }, say("rest"))
	})
	for _, c := range []struct{ host, path, want string }{
		{"localhost", "/healthz", "own /healthz"},
		{"localhost", "/svc/a/../b//c%2Fd", "raw /svc/a/../b//c%2Fd"},
		{"localhost", "/rest/x", "rest /rest/x"},
		{"localhost", "/else", `"reason":"NOT_FOUND","message":"there is nothing at /else"`},
		{"app.example.com", "/healthz", "host /healthz"},
		{"app.example.com", "/svc//", "host /svc//"},
		{"other.example.com", "/svc/", "HOST_NOT_ALLOWED"},
	} {
		conn := dial(t, addr)
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", c.path, c.host)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(res.Body); !strings.Contains(string(b), c.want) {
			t.Errorf("%s%s: %s", c.host, c.path, b)
		}
	}
}

// With Duplex, a body of unknown length can pause and one of announced length cannot,
// and what is written meanwhile is watched all the same.
func TestTheWatchOfBothDirections(t *testing.T) {
	const idle = 200 * time.Millisecond
	written := make(chan error, 1)
	addr := serve(t, port.Config{Idle: idle}, func(s *port.Server) {
		s.Handle("POST /pause", "pause", access.Own(), port.Bounds{Duplex: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, err)
		}))
		s.Handle("POST /flood", "flood", access.Own(), port.Bounds{Duplex: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			read := make(chan struct{})
			go func() {
				defer close(read)
				_, _ = io.Copy(io.Discard, r.Body)
			}()
			var err error
			for n := 0; n < 1<<10 && err == nil; n++ {
				_, err = w.Write(make([]byte, 64<<10))
			}
			written <- err
			<-read
		}))
	})
	conn := dial(t, addr)
	fmt.Fprintf(conn, "POST /pause HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", addr)
	time.Sleep(3 * idle)
	fmt.Fprint(conn, "0\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); string(b) != "<nil>" {
		t.Errorf("a body that pauses: %s", b)
	}
	conn = dial(t, addr)
	fmt.Fprintf(conn, "POST /pause HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\n\r\na", addr)
	if res, err = http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); !strings.Contains(string(b), "too slow") {
		t.Errorf("a body that stops: %s", b)
	}
	conn = dial(t, addr)
	fmt.Fprintf(conn, "POST /flood HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\n\r\na", addr)
	select {
	case err := <-written:
		if err == nil {
			t.Error("64 MiB were written to a caller that does not read")
		}
	case <-time.After(20 * time.Second):
		t.Error("a caller that does not read holds the handler")
	}
}
