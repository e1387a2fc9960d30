package origins_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port/origins"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestParse(t *testing.T) {
	for text, why := range map[string]string{
		"*":                               "each origin has to be named",
		"https://*.example.com":           "each origin has to be named",
		"null":                            "pages of any site can have that one",
		"":                                "scheme://host is expected",
		"app.example.com":                 "scheme://host is expected",
		"localhost:5173":                  "scheme://host is expected",
		"https:app.example.com":           "scheme://host is expected",
		"https://app example.com":         "scheme://host is expected",
		"file:///home/ada/page.html":      "it has no host",
		"https://:443":                    "it has no host",
		"https://app.example.com/":        "more than a scheme, a host and a port",
		"https://app.example.com?":        "more than a scheme, a host and a port",
		"https://app.example.com#":        "more than a scheme, a host and a port",
		"https://ada:secret@example.com":  "it has a user",
		"https://app.example.com:":        "the port is missing",
		"https://a.example,https://b.net": "separated by spaces",
		"https://müller.example":          "in ASCII, with xn--",
	} {
		_, err := origins.Parse([]string{"https://good.example.com", text})
		testkit.WantReason(t, err, fault.ConfigInvalid, why, "https://app.example.com")
	}
}

// What is written in another way than browsers do is the same origin.
func TestOnePageIsReadUnderAllItsNames(t *testing.T) {
	for text, origin := range map[string]string{
		"https://app.example.com":     "https://app.example.com",
		"HTTPS://App.Example.com:443": "https://app.example.com",
		"http://localhost:80":         "http://localhost",
		"http://localhost:5173":       "http://localhost:5173",
		"http://[::1]:8080":           "http://[::1]:8080",
		"https://app.example.com:80":  "https://app.example.com:80",
		"tauri://localhost":           "tauri://localhost",
	} {
		a, err := origins.Parse([]string{text})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		r := httptest.NewRequest("POST", "http://core:7833/", strings.NewReader("x"))
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		w := httptest.NewRecorder()
		a.Readable(http.NotFoundHandler()).ServeHTTP(w, r)
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != origin || a.Protection().Check(r) != nil {
			t.Errorf("%s: answered for %q, %v", text, got, a.Protection().Check(r))
		}
	}
}

func TestNoneIsTheDefault(t *testing.T) {
	a, err := origins.Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []origins.Allowed{a, {}} {
		for _, method := range []string{"POST", "OPTIONS"} {
			r := httptest.NewRequest(method, "http://core:7833/", nil)
			r.Header.Set("Origin", "https://app.example.com")
			r.Header.Set("Access-Control-Request-Method", "POST")
			w := httptest.NewRecorder()
			a.Readable(http.NotFoundHandler()).ServeHTTP(w, r)
			if w.Code != http.StatusNotFound || w.Header().Get("Vary") != "" || w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %d %v", method, w.Code, w.Header())
			}
			if err := a.Protection().Check(r); (err == nil) != (method == "OPTIONS") {
				t.Errorf("%s: %v", method, err)
			}
		}
	}
}
