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

// A service with users of its own sees what they show, and nothing that is for the
// cluster.
func TestAServiceSeesWhatIsShownToIt(t *testing.T) {
	const secret = "ruedo_t_7kq2m3x4tb_abcdefghijklmnopqrstuvwxyz0a1b2c3d"
	public := true
	var identified []string // what the cluster was shown
	identify := func(r *http.Request, _, _ string) (*access.Principal, *fault.Error) {
		shown := r.Header.Get("Authorization")
		identified = append(identified, shown)
		switch shown {
		case "":
			return &access.Principal{Name: access.Anonymous, Grants: access.Set{access.Everything}}, nil
		case "Bearer " + secret:
			return &access.Principal{Name: "user/ada", Grants: access.Set{access.Everything}}, nil
		}
		return nil, access.Unauthenticated()
	}
	s := newSite(t, options{port: port.Config{Identify: identify}, passes: func(service string) bool { return public && service == "talk" }})
	get := func(c *http.Client, path string, shown ...string) (status int, caller, seen string) {
		res, got := s.do(t, c, "GET", path, nil, func(r *http.Request) { r.Header["Authorization"] = shown })
		line, rest, _ := strings.Cut(got, "\n")
		if _, caller, _ = strings.Cut(line, " of "); strings.Contains(got, "7kq2m3x4t") {
			t.Errorf("the service sees a token: %s", got)
		}
		for field := range strings.SplitSeq(rest, "\r\n") {
			if value, ok := strings.CutPrefix(field, "Authorization: "); ok {
				seen += value
			}
		}
		return res.StatusCode, caller, seen
	}
	s.clients(t, func(t *testing.T, c *http.Client) {
		for _, path := range []string{"/svc/talk/seen", "/svc/talk@1/seen"} {
			for _, shown := range []string{"Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "Basic YWRhOmh1bnRlcjI=", "Digest username=ada"} {
				if status, caller, seen := get(c, path, shown); status != http.StatusOK || caller != `"anonymous"` || seen != shown {
					t.Errorf("%s with %s: %d, of %s, sees %q", path, shown, status, caller, seen)
				}
			}
		}
		if status, caller, seen := get(c, "/svc/talk/seen", "Bearer "+secret); status != http.StatusOK || caller != `"user/ada"` || seen != "" {
			t.Errorf("a token of the cluster: %d, of %s, sees %q", status, caller, seen)
		}
	})
	identified = nil
	for what, shown := range map[string][]string{
		"a mistyped token":          {"Bearer ruedo_t_7kq2m3x4t1_abcdefghijklmnopqrstuvwxyz0a1b2c3d"},
		"a token that is cut off":   {"Bearer ruedo_t_7kq2m3x4tb_abcdefgh"},
		"a token in capitals":       {"Bearer " + strings.ToUpper(secret)},
		"a token as a password":     {"Basic YWRhOnJ1ZWRvX3RfN2txMm0zeDR0Yl9hYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejBhMWIyYzNk"},
		"that of another core":      {"Bearer ruedo_c_core-1.1764000000.c2lnbmVk"},
		"two that contradict":       {"Bearer a", "Bearer b"},
		"one of another service":    {"Bearer other"},
		"one if it were not public": {"Bearer own"},
	} {
		path := "/svc/talk/seen"
		switch what {
		case "one of another service":
			path = "/svc/plain/seen"
		case "one if it were not public":
			public = false
		}
		if status, _, _ := get(s.H1, path, shown...); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", what, status)
		}
		public = true
	}
	if len(identified) != 8 || strings.Join(identified, "") == "" {
		t.Errorf("the cluster was shown %q", identified)
	}
}
