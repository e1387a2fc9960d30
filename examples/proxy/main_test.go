package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/sdk/web"
)

func TestProxy(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s http://%s%s %s, cookie %q", r.Method, r.Host, r.URL, body, r.Header.Get("Cookie"))
	}))
	defer upstream.Close()
	s := web.Test(proxy(upstream.URL + "/base"))
	defer s.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/items?limit=2", strings.NewReader("tea"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", "session=1")
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if want := "POST " + upstream.URL + `/base/items?limit=2 tea, cookie ""`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestUpstreamThatIsGone(t *testing.T) {
	upstream := httptest.NewServer(http.NotFoundHandler())
	upstream.Close()
	s := web.Test(proxy(upstream.URL))
	defer s.Close()
	res, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadGateway {
		t.Errorf("got %s", res.Status)
	}
}
