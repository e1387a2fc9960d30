package core_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// TestOverloadIsAnAnswer makes calls for 10 s of work at the same time, none of which
// can wait for more than 2 s. Those that cannot start in time are refused before they
// wait, learn when to come back, and are counted; the others are executed.
//
// How much of the peak is left under overload is tested in time that is not real by
// package admission, and measured by make bench.
func TestOverloadIsAnAnswer(t *testing.T) {
	for name, opts := range map[string]ruedotest.Options{"over a lane": {Runners: 1}, "in one process": {Local: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const (
				slots   = 2
				work    = 500 * time.Millisecond
				maxWait = 2 * time.Second
				calls   = 40
			)
			opts.Concurrency, opts.Queue, opts.QueueTimeout = slots, 256, maxWait
			c := ruedotest.New(t, opts)
			c.Publish(t, &ruedov1.PublishServiceRequest{Name: "waits"}, w.Sleep(work))
			ways := []func() error{
				func() error { _, err := c.Client.Call(t.Context(), "waits", nil); return err },
				func() error { return callOverHTTP(c, "waits") },
			}
			if err := ways[0](); err != nil { // which says how long calls take
				t.Fatal(err)
			}

			errs := make([]error, calls)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { errs[i] = ways[i%len(ways)]() })
			}
			wg.Wait()

			ok, refused, late := 1, 0, 0
			for _, err := range errs {
				if err == nil {
					ok++
					continue
				}
				e := fault.FromError(err)
				if e.Reason != fault.QueueTimeout || !e.NotStarted || e.RetryAfter <= 0 {
					t.Errorf("%v, not started: %t, again after %s", err, e.NotStarted, e.RetryAfter)
				}
				if e.Meta["estimate"] != "" {
					refused++
				} else {
					late++ // it has waited: a busy machine is slower than it was
				}
			}
			t.Logf("%d answered, %d refused, %d waited in vain", ok, refused, late)
			if refused == 0 || ok <= slots {
				t.Errorf("%d answered, %d refused", ok, refused)
			}
			for _, want := range []string{
				fmt.Sprintf(`ruedo_calls_total{outcome="ok",service="waits"} %d`, ok),
				fmt.Sprintf(`ruedo_calls_total{outcome="QUEUE_TIMEOUT",service="waits"} %d`, refused+late),
				fmt.Sprintf(`ruedo_call_memory_bytes_count{service="waits"} %d`, ok), // no other was executed
			} {
				testkit.Eventually(t, "the metrics have "+want, func() bool { return strings.Contains(metrics(t, c), want+"\n") })
			}
			for i, way := range ways {
				if err := way(); err != nil {
					t.Errorf("after the burst, on way %d: %v", i, err)
				}
			}
		})
	}
}

// callOverHTTP returns the error of a call over plain HTTP. A refusal must have
// Retry-After in whole seconds, rounded up.
func callOverHTTP(c *ruedotest.Cluster, service string) error {
	res, err := c.HTTP.Post(c.URL+"/call/"+service, "application/octet-stream", http.NoBody)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode == http.StatusOK {
		return err
	}
	e, ok := faultrpc.FromHTTP(body)
	if !ok {
		return fmt.Errorf("%s: %s", res.Status, body)
	}
	want := strconv.Itoa(int((e.RetryDelay() + time.Second - 1) / time.Second))
	if got := res.Header.Get("Retry-After"); res.StatusCode != http.StatusServiceUnavailable || got != want {
		return fmt.Errorf("%s, Retry-After %q, want %q: %s", res.Status, got, want, body)
	}
	return e
}

// The callers of plain HTTP learn it from the header.
func TestARefusedCallHasRetryAfterOverHTTP(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "echo"}, ruedotest.Echo())
	c.Runners[0].Stop(t)
	res, err := c.HTTP.Post(c.URL+"/call/echo", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "2" {
		t.Errorf("no runner: %s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
	}
}
