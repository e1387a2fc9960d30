//go:build unix

package exchange

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/sdk/web/internal/same"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // handlers that misbehave are logged
	goleak.VerifyTestMain(m)
}

// ask makes the request of c to the handler of c, served by this package.
func ask(t *testing.T, c same.Case, h2 bool) same.Seen {
	t.Helper()
	var notes same.Notebook
	got, err := same.Ask(c, bridge(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.Handle(w, r, notes.Note) })), h2)
	if err != nil {
		t.Fatal(err)
	}
	got.Notes = notes.Lines()
	return got
}

// Each handler runs by net/http's own server and through this package, and the
// callers see the same.
func TestAsNetHTTP(t *testing.T) {
	for _, c := range same.Cases() {
		for _, h2 := range []bool{false, true} {
			if c.H1 && h2 {
				continue
			}
			t.Run(fmt.Sprintf("%s, HTTP/%d", c.Name, map[bool]int{false: 1, true: 2}[h2]), func(t *testing.T) {
				want, err := c.Native(h2)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range c.Differences(ask(t, c, h2), want) {
					t.Error(d)
				}
			})
		}
	}
}

func TestReadDeadline(t *testing.T) {
	in, out := io.Pipe()
	defer out.Close()
	got := ask(t, same.Case{Method: "POST", Body: func() io.Reader { return in }, Handle: func(w http.ResponseWriter, r *http.Request, note same.Note) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Error(err)
		}
		_, err := r.Body.Read(make([]byte, 1))
		note("%t", errors.Is(err, os.ErrDeadlineExceeded))
	}}, false)
	if !slices.Equal(got.Notes, []string{"true"}) {
		t.Errorf("got %v", got.Notes)
	}
}
