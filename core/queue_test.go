package core_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// TestNoCallWaitsForever occupies the only slot of a service with a call that
// does not end. Others of the service are told in time to come back, on each way
// in; they are counted under their reason.
func TestNoCallWaitsForever(t *testing.T) {
	const limit = 100 * time.Millisecond
	for name, opts := range map[string]ruedotest.Options{"over a lane": {Runners: 1}, "in one process": {Local: true}} {
		t.Run(name, func(t *testing.T) {
			opts.Concurrency, opts.QueueTimeout = 1, limit
			c := ruedotest.New(t, opts)
			slow := &ruedov1.Decorator{Name: "slow", Limits: &ruedov1.Limits{Timeout: durationpb.New(time.Hour)}}
			if _, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: slow}); err != nil {
				t.Fatal(err)
			}
			c.Publish(t, &ruedov1.PublishServiceRequest{Name: "loop", Decorators: []string{"slow"}}, w.Function(w.Forever()).Bytes())
			ctx, release := context.WithCancel(t.Context())
			// Of two calls, one occupies the slot and the other is refused. No call has
			// ended after that, so there is no estimate to refuse those that follow early.
			two := make(chan error, 2)
			for range cap(two) {
				go func() {
					_, err := c.Client.Call(ctx, "loop", nil)
					two <- err
				}()
			}
			defer func() {
				release()
				if err := <-two; !errors.Is(err, fault.Canceled) {
					t.Errorf("the call that occupies the slot: %v", err)
				}
			}()
			wantReason(t, <-two, fault.QueueTimeout, "for a slot on runner")

			for what, input := range map[string][]byte{"a call": []byte("x"), "one with a large input": make([]byte, 2<<20)} {
				began := time.Now()
				_, err := c.Client.Call(t.Context(), "loop", input)
				e := wantReason(t, err, fault.QueueTimeout, "for a slot on runner")
				if took := time.Since(began); !e.NotStarted || took < limit || took > 5*time.Second {
					t.Errorf("%s: after %s, not started: %t", what, took, e.NotStarted)
				}
			}
			res, err := c.HTTP.Post(c.URL+"/call/loop", "text/plain", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
				t.Errorf("over HTTP: %s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
			}

			// A caller with less patience than that gets its own deadline.
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+"/call/loop", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Ruedo-Timeout", "20ms")
			if res, err = c.HTTP.Do(req); err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(text), "DEADLINE") {
				t.Errorf("a deadline of 20 ms: %s %s", res.Status, text)
			}

			metrics, err := c.HTTP.Get(c.URL + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer metrics.Body.Close()
			text, err := io.ReadAll(metrics.Body)
			found := regexp.MustCompile(`ruedo_calls_total{outcome="QUEUE_TIMEOUT",service="loop"} ([0-9]+)`).FindSubmatch(text)
			if err != nil || len(found) == 0 {
				t.Fatalf("the metrics count no QUEUE_TIMEOUT: %v", err)
			}
			if n, err := strconv.Atoi(string(found[1])); err != nil || n < 4 {
				t.Errorf("the metrics count %s QUEUE_TIMEOUT, want at least that of the first two calls and three more", found[1])
			}
		})
	}
}
