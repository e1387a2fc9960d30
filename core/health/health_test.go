package health_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core/health"
)

func TestProbes(t *testing.T) {
	check := func(name, detail string, err error) health.Check {
		return health.Check{Name: name, Run: func() (string, error) { return detail, err }}
	}
	down := errors.New("it is down")
	tolerated := check("store", "", down)
	tolerated.Optional = true
	good := []health.Check{health.Ping(), check("mirror", "revision 7", nil), tolerated}
	bad := append(good[:2:2], check("runners", "", down))
	for _, tt := range []struct {
		what   string
		checks []health.Check
		query  string
		status int
		body   string
	}{
		{"passes", good, "", 200, "ok\nnote\n"},
		{"passes, verbose", good, "?verbose", 200, "[+]ping ok\n[+]mirror ok: revision 7\n[-]store failed, which is tolerated: it is down\nreadyz check passed\n"},
		{"fails", bad, "", 503, "[+]ping ok\n[+]mirror ok: revision 7\n[-]runners failed: it is down\nreadyz check failed\n"},
		{"fails, verbose", bad, "?verbose=1", 503, "[+]ping ok\n[+]mirror ok: revision 7\n[-]runners failed: it is down\nreadyz check failed\n"},
		{"what fails is excluded", bad, "?exclude=runners", 200, "ok\nnote\n"},
		{"excluded, verbose", bad, "?verbose&exclude=runners&exclude=ping", 200, "[+]ping excluded: ok\n[+]mirror ok: revision 7\n[+]runners excluded: ok\nreadyz check passed\n"},
		{"excludes what is not there", good[:1], "?verbose&exclude=%0a" + strings.Repeat("x", 1000), 200, "[+]ping ok\nwarn: there is no check \"\\n" + strings.Repeat("x", 39) + "\" to exclude\nreadyz check passed\n"},
	} {
		w := httptest.NewRecorder()
		health.Handler("readyz", func() []string { return []string{"note"} }, tt.checks...).ServeHTTP(w, httptest.NewRequest("GET", "/readyz"+tt.query, nil))
		if w.Code != tt.status || w.Body.String() != tt.body {
			t.Errorf("%s: %d\n%s\nwant %d\n%s", tt.what, w.Code, w.Body, tt.status, tt.body)
		}
	}
}
