package core_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// The table of header fields has what answers of a core have, and nothing else.
func TestTheTableHasTheHeaderFieldsOfAnswers(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1, Concurrency: 1, QueueTimeout: 20 * time.Millisecond})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	log := strings.Repeat("a line of a log\n", 400)
	chatty := w.FunctionWith([]string{"ruedo.log:iii>"}, w.CallWith(0, 0, 0, int32(len(log))), w.I32(0))
	chatty.Data(0, []byte(log))
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "chatty"}, chatty.Bytes())
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "exits"}, exits("out", 3))
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "loops"}, w.Function(w.Forever()).Bytes())

	seen := map[string]bool{}
	do := func(method, path, body string, fields ...string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(fields); i += 2 {
			req.Header.Set(fields[i], fields[i+1])
		}
		res, err := c.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		for name := range res.Header {
			seen[name] = true
		}
		return res
	}
	for _, field := range headers.Requests() {
		if res := do("POST", "/call/echo", "{}", field.Name, field.Example); field.Name != headers.Cluster && res.StatusCode != http.StatusOK {
			t.Errorf("with %s: %s: %s", field.Name, field.Example, res.Status)
		}
	}
	for _, tt := range []struct {
		method, path, body string
		fields             []string
		status             int
	}{
		{"POST", "/call/chatty", "{}", []string{headers.Logs, "1"}, http.StatusOK},
		{"POST", "/call/exits", "{}", nil, http.StatusOK},
		{"POST", "/call/loops", "{}", []string{headers.Timeout, "20ms"}, http.StatusGatewayTimeout},
		{"POST", "/call/loops", "{}", []string{headers.Timeout, "25h"}, http.StatusBadRequest},
		{"POST", "/call/echo", "{}", []string{headers.Cluster, "other"}, http.StatusBadRequest},
		{"POST", "/call/echo", "{}", []string{headers.Cluster, "test"}, http.StatusOK},
		{"PUT", "/call/echo", "{}", nil, http.StatusMethodNotAllowed},
		{"GET", "/call/echo", "", nil, http.StatusOK},
	} {
		if res := do(tt.method, tt.path, tt.body, tt.fields...); res.StatusCode != tt.status {
			t.Errorf("%s %s with %v: %s, want %d", tt.method, tt.path, tt.fields, res.Status, tt.status)
		}
	}
	// A write of the API.
	res, err := c.HTTP.Post(c.URL+"/ruedo.v1.ServiceService/DeleteService", "application/json", strings.NewReader(`{"name":"exits"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	seen[headers.StoreRevision] = res.Header.Get(headers.StoreRevision) != ""
	// The runner executes one call of the service at a time, and the others wait.
	var others sync.WaitGroup
	defer others.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		others.Go(func() {
			for ctx.Err() == nil {
				_, _ = c.Client.Call(ctx, "loops", nil) // one runs until it is canceled, the other one is refused
			}
		})
	}
	testkit.Eventually(t, "a call does not get its turn", func() bool {
		return do("POST", "/call/loops", "{}", headers.Timeout, "3s").Header.Get("Retry-After") != ""
	})

	described := map[string]bool{}
	for _, f := range headers.Answers() {
		if described[f.Name] {
			t.Errorf("%s is described twice", f.Name)
		}
		described[f.Name] = true
		if !seen[f.Name] {
			t.Errorf("no answer has %s", f.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if !described[name] && !slices.Contains([]string{"Date", "Vary", "Connection"}, name) {
			t.Errorf("answers have %s, which the table does not describe", name)
		}
	}
}
