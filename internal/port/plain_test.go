package port_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// Plain calls over HTTP/1.1 need no net/http by any door. A connection with another
// request goes to net/http, and stays there.
func TestPlainCallsComeThroughTheFront(t *testing.T) {
	d := open(t, port.Config{}, func(s *port.Server) {
		s.HandlePlain("/call/", "call", access.Own(), port.Bounds{Weight: 1}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			by := "net/http"
			if _, ok := w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(interface{ Last() }); ok {
				by = "front"
			}
			b, err := io.ReadAll(r.Body)
			fmt.Fprintln(w, by, r.URL, string(b), err)
		}))
	})
	d.each(t, func(t *testing.T, client *http.Client, url, _ string, h2 bool) {
		plain := "front"
		if h2 {
			plain = "net/http"
		}
		for _, call := range []struct{ path, by string }{
			{"/call/a", plain}, {"/call/a", plain}, {"/call/a?b", "net/http"}, {"/call/a", "net/http"},
		} {
			res, err := client.Post(url+call.path, "text/plain", strings.NewReader("abc"))
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if want := call.by + " " + call.path + " abc <nil>\n"; string(b) != want {
				t.Errorf("%s, want %s", b, want)
			}
		}
	})
}
