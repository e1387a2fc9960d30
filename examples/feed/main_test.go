package main

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/sdk/web"
)

func TestEvents(t *testing.T) {
	s := web.Test(nil) // the handler that init has registered
	defer s.Close()
	for _, tt := range []struct {
		query, last string
		status      int
		want        string
	}{
		{"?count=1", "", 200, "id: 1\nevent: tick\ndata: {\"n\":1,\"left\":0}\n\n"},
		{"?count=3&every=1ms", "2", 200, "id: 3\nevent: tick\ndata: {\"n\":3,\"left\":0}\n\n"},
		{"?count=3", "3", 204, ""},
		{"?count=3", "x", 400, "Last-Event-ID is not the id of an event\n"},
		{"?count=0", "", 400, "count must be a number from 1 to 86400\n"},
		{"?every=2m", "", 400, "every must be a duration from 1ms to 1m, such as 500ms\n"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/events"+tt.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.last != "" {
			req.Header.Set("Last-Event-ID", tt.last)
		}
		res, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tt.status || string(got) != tt.want {
			t.Errorf("%s after %q: got %d %q, %v; want %d %q", tt.query, tt.last, res.StatusCode, got, err, tt.status, tt.want)
		}
	}
}

// An event arrives before the next one is sent.
func TestEventsArriveOneByOne(t *testing.T) {
	s := web.Test(nil)
	defer s.Close()
	res, err := s.Client().Get(s.URL + "/events?every=1m")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || strings.TrimSpace(line) != "id: 1" {
		t.Errorf("got %q, %v", line, err)
	}
}
