package port_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// A handler interrupts whoever reads its body, when the body has just ended. The next
// request on the same connection is another one, and nobody has canceled that.
func TestAnInterruptedReadDoesNotCancelTheNextRequest(t *testing.T) {
	for _, stream := range []bool{false, true} {
		addr := serve(t, impatient(), func(s *port.Server) {
			s.Handle("POST /interrupts", "interrupts", access.Own(), port.Bounds{Stream: stream}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if err := http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)); err != nil {
					t.Error(err)
				}
				<-r.Context().Done() // net/http has seen the deadline
				w.WriteHeader(http.StatusOK)
			}))
			s.Handle("POST /next", "next", access.Own(), port.Bounds{Stream: stream}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if err := r.Context().Err(); err != nil {
					t.Errorf("the request began with the error %v", err)
				}
			}))
		})
		client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
		t.Cleanup(client.CloseIdleConnections)
		for _, path := range []string{"/next", "/interrupts", "/next"} {
			res, err := client.Post("http://"+addr+path, "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("%s: %s, %v", path, res.Status, err)
			}
			_ = res.Body.Close()
			if path == "/interrupts" && !res.Close {
				t.Error("the client does not know that the connection ends")
			}
		}
	}
}
