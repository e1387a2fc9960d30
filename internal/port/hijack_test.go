package port_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// By every door, a peer sees the end of what is written on a connection without HTTP
// while it can still write itself.
func TestOneDirectionOfAHijackedConnectionEndsAlone(t *testing.T) {
	heard := make(chan string, 1)
	d := open(t, port.Config{}, func(s *port.Server) {
		s.HandlePlain("/call/", "call", access.Own(), port.Bounds{}, http.NotFoundHandler()) // so that the front reads first
		s.Handle("GET /switch", "switch", access.Own(), port.Bounds{Stream: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				http.Error(w, err.Error(), http.StatusNotImplemented)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\nthe end")
			_ = conn.(interface{ CloseWrite() error }).CloseWrite()
			b, _ := io.ReadAll(conn)
			heard <- string(b)
		}))
	})
	d.each(t, func(t *testing.T, client *http.Client, url, _ string, h2 bool) {
		if h2 {
			return // it has no connections of its own
		}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/switch", nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "test")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		conn := res.Body.(io.ReadWriteCloser)
		said, err := io.ReadAll(conn)
		_, _ = io.WriteString(conn, "I have seen it")
		conn.Close()
		if got := <-heard; string(said) != "the end" || err != nil || got != "I have seen it" {
			t.Errorf("the peer has read %q, %v, and the handler %q", said, err, got)
		}
	})
}
