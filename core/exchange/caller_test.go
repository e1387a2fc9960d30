package exchange_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// A service sees who calls it, and no caller can say who it is.
func TestAServiceSeesItsCaller(t *testing.T) {
	identify := func(r *http.Request, _, _ string) (*access.Principal, *fault.Error) {
		if r.Header.Get("Authorization") == "Bearer of-ada" {
			return &access.Principal{Name: "user/ada", Grants: access.Set{access.Everything}}, nil
		}
		return &access.Principal{Name: access.Anonymous, Grants: access.Set{access.Everything}}, nil
	}
	s := newSite(t, options{port: port.Config{Identify: identify}})
	s.clients(t, func(t *testing.T, c *http.Client) {
		for authorization, want := range map[string]string{"Bearer of-ada": `of "user/ada"`, "": `of "anonymous"`} {
			_, got := s.do(t, c, "GET", "/svc/talk/seen", nil, func(r *http.Request) {
				r.Header.Set("Authorization", authorization)
				r.Header.Set("Ruedo-Caller", "user/root")
				r.Header.Set("Caller", "user/root")
			})
			if line, rest, _ := strings.Cut(got, "\n"); !strings.HasSuffix(line, want) || strings.Contains(rest, "of-ada") || strings.Contains(rest, "Ruedo-") {
				t.Errorf("%q: %s", authorization, got)
			}
		}
	})
	nobody := newSite(t, options{})
	if _, got := nobody.do(t, nobody.H1, "GET", "/svc/talk/seen", nil, nil); !strings.Contains(got, `of ""`) {
		t.Errorf("nobody was asked: %s", got)
	}
}
