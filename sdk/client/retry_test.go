package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// refused is a refusal that asks to try again after a while.
func refused(r fault.Reason, after time.Duration) *fault.Error {
	e := fault.New(r, "refused").WithRetry(after)
	e.NotStarted = true
	return e
}

// patient returns a client of cores that sends refused requests again.
func patient(t *testing.T, list ...*fakeCore) *client.Client {
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	var urls []string
	for _, f := range list {
		urls = append(urls, f.srv.URL)
	}
	return client.New(strings.Join(urls, ","), client.WithHTTPClient(&http.Client{Transport: transport}))
}

// A call that a core refuses for now is sent again when the core has asked for it,
// on each way in.
func TestARefusedCallIsSentAgain(t *testing.T) {
	const after = 150 * time.Millisecond
	for _, size := range []int{1, 2 << 20} {
		for _, r := range []fault.Reason{fault.QueueFull, fault.QueueTimeout, fault.NoRunner, fault.ServerBusy} {
			f := newCore(t, "a")
			f.refuse.Store(refused(r, after))
			f.once.Store(true)
			cl := patient(t, f)
			began := time.Now()
			_, err := cl.Call(t.Context(), "echo", make([]byte, size))
			if took := time.Since(began); err != nil || took < after || f.calls.Load() != 2 {
				t.Errorf("%s, %d bytes: %v after %s and %d calls", r, size, err, took, f.calls.Load())
			}
		}
	}
}

// A core that is busy is not the one that is asked again, if there are others.
func TestABusyCoreIsPassedOver(t *testing.T) {
	a, b := newCore(t, "a"), newCore(t, "b")
	a.refuse.Store(refused(fault.ServerBusy, time.Millisecond))
	if got := who(t, patient(t, a, b)); got != "b" || a.calls.Load() != 1 {
		t.Errorf("%s has answered after %d calls of a", got, a.calls.Load())
	}
}

// Nothing is sent again that may have started, that would fail again, or for which
// there is no time.
func TestWhatIsNotSentAgain(t *testing.T) {
	started := fault.New(fault.RunnerLost, "lost").WithRetry(time.Millisecond).With(fault.MetaStarted, "unknown")
	for what, tt := range map[string]struct {
		err     *fault.Error
		timeout time.Duration
		retries int
	}{
		"a call that may have started":   {started, time.Minute, 3},
		"a call that would fail again":   {refused(fault.InputInvalid, time.Millisecond), time.Minute, 3},
		"without time before a deadline": {refused(fault.QueueFull, 10*time.Second), 9 * time.Second, 3},
		"after more than a client waits": {refused(fault.QueueFull, 20*time.Second), time.Minute, 3},
		"without retries":                {refused(fault.QueueFull, time.Millisecond), time.Minute, 0},
	} {
		for _, size := range []int{1, 2 << 20} {
			f := newCore(t, "a")
			f.refuse.Store(tt.err)
			transport := &http.Transport{ExpectContinueTimeout: time.Minute}
			cl := client.New(f.srv.URL, client.WithHTTPClient(&http.Client{Transport: transport}), client.WithRetries(tt.retries))
			ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
			began := time.Now()
			_, err := cl.Call(ctx, "echo", make([]byte, size))
			cancel()
			transport.CloseIdleConnections()
			if !errors.Is(err, tt.err.Reason) || f.calls.Load() != 1 || time.Since(began) > 8*time.Second {
				t.Errorf("%s, %d bytes: %v after %s and %d calls", what, size, err, time.Since(began), f.calls.Load())
			}
			if want := tt.err.RetryDelay(); client.Explain(err).RetryAfter != want {
				t.Errorf("%s, %d bytes: again after %s, want %s", what, size, client.Explain(err).RetryAfter, want)
			}
		}
	}
}

// An input that was read is gone, so its call is not sent again, and nobody waits.
func TestAnInputThatWasReadIsNotSentAgain(t *testing.T) {
	f := newCore(t, "a")
	f.refuse.Store(refused(fault.QueueFull, 10*time.Second))
	f.takesInput.Store(true)
	began := time.Now()
	_, err := client.New(f.srv.URL, client.WithHTTPClient(f.srv.Client())).Stream(t.Context(), "echo", struct{ io.Reader }{strings.NewReader("x")})
	if took := time.Since(began); !errors.Is(err, fault.QueueFull) || took > 8*time.Second || f.calls.Load() != 1 {
		t.Errorf("%v after %s and %d calls", err, took, f.calls.Load())
	}
}

// A request that only reads can be sent again although the answer does not say that
// it has not started.
func TestARefusedReadIsSentAgain(t *testing.T) {
	f := newCore(t, "a")
	e := fault.New(fault.StoreUnavailable, "no store").WithRetry(time.Millisecond)
	f.refuseReads.Store(e)
	_, err := patient(t, f).Services.GetService(t.Context(), &ruedov1.GetServiceRequest{Name: "x"})
	if err == nil || f.reads.Load() != 4 {
		t.Errorf("%v after %d requests, want one and three retries", err, f.reads.Load())
	}
}

// TestRetriesDoNotAmplifyAnOverload has a core refuse everything. Together, the
// calls of a client become at most 1.1 times as many.
func TestRetriesDoNotAmplifyAnOverload(t *testing.T) {
	const calls, at = 1000, 50
	f := newCore(t, "a")
	f.refuse.Store(refused(fault.QueueFull, time.Millisecond))
	cl := patient(t, f)
	round := func() int64 {
		before := f.calls.Load()
		var wg sync.WaitGroup
		for range at {
			wg.Go(func() {
				for range calls / at {
					if _, err := cl.Call(t.Context(), "echo", nil); !errors.Is(err, fault.QueueFull) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		return f.calls.Load() - before
	}
	const spare = 10 // that a new client has
	if n := round(); n > calls+calls/10+spare || n < calls+calls/10 {
		t.Errorf("%d calls became %d", calls, n)
	}
	if n := round(); n > calls+calls/10 {
		t.Errorf("%d more calls became %d, want at most 1.1 times as many", calls, n)
	}
}
