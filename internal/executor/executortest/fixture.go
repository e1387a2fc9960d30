package executortest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// fixture is one open executor with one plan.
type fixture struct {
	Harness
	t    *testing.T
	src  *Source
	plan string
}

func (s *suite) fixture(t *testing.T, opts Options, change func(*runnerv1.Plan)) *fixture {
	t.Helper()
	opts.CacheDir = s.dir
	src := NewSource()
	f := &fixture{t: t, src: src}
	f.plan, _ = src.Add(s.guest, change)
	f.Harness = s.open(t, src, opts)
	return f
}

func (f *fixture) call(ctx context.Context, input string) (*runnerv1.ExecuteResponse, error) {
	return f.Execute(ctx, &runnerv1.ExecuteRequest{Plan: f.plan, CallId: "call-1", Service: "guest", Input: []byte(input), ContentType: "text/plain", Logs: true, MaxWaitNanos: int64(time.Hour)})
}

func (f *fixture) want(input, output string) {
	f.t.Helper()
	res, err := f.call(f.t.Context(), input)
	if err != nil {
		f.t.Errorf("%.40s: %v", input, err)
	} else if string(res.Output) != output {
		f.t.Errorf("%.40s: got %.40q (%d bytes)", input, res.Output, len(res.Output))
	}
}

// refused checks a failure of which it must be known that it did not start.
func refused(t *testing.T, err error, want fault.Reason) {
	t.Helper()
	if e := fault.FromError(err); err == nil || e.Reason != want || !e.NotStarted {
		t.Errorf("got %v (%s, not started: %t), want %s, not started", err, fault.FromError(err).Reason, fault.FromError(err).NotStarted, want)
	}
}

// hold occupies the executor with n calls that end when release is called.
func (f *fixture) hold(n int) (release func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for {
				_, err := f.call(ctx, "sleep")
				if errors.Is(err, fault.Canceled) {
					return
				}
				// A probe of the test may have had the place.
				if !errors.Is(err, fault.QueueFull) {
					f.t.Errorf("a call that was held: %v", err)
					return
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// tiny is the smallest function: it succeeds and says nothing. A custom section
// may be appended to it.
func tiny() []byte {
	section := func(id byte, content ...byte) []byte { return append([]byte{id, byte(len(content))}, content...) }
	export := func(name string, kind, index byte) []byte {
		return append(append([]byte{byte(len(name))}, name...), kind, index)
	}
	return slices.Concat(
		[]byte("\x00asm\x01\x00\x00\x00"),
		section(1, 2, 0x60, 0, 0, 0x60, 0, 1, 0x7f), // types: () -> (), () -> i32
		section(3, 2, 0, 1),                         // functions: one of each
		section(5, 1, 0, 1),                         // memory: one page
		section(7, slices.Concat([]byte{3}, export("memory", 2, 0), export("ruedo_abi_1", 0, 0), export("ruedo_call", 0, 1))...),
		section(10, 2, 2, 0, 0x0b, 4, 0, 0x41, 0, 0x0b), // code: nothing; i32.const 0
	)
}
