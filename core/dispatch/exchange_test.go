package dispatch_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// server is a member that serves HTTP.
type server struct {
	*member
	serve func(*executor.Exchange) (*runnerv1.ExecuteResponse, error)
}

func (s *server) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	s.calls.Add(1)
	return s.serve(executor.ExchangeOf(ctx))
}

// closing is a body that knows whether it was closed.
type closing struct {
	io.Reader
	closed atomic.Bool
}

func (c *closing) Close() error { c.closed.Store(true); return nil }

// TestSecondAttemptsOfExchanges loses a call on its first runner, after that has
// done something with it.
func TestSecondAttemptsOfExchanges(t *testing.T) {
	lost := fault.New(fault.RunnerLost, "lost")
	for _, test := range []struct {
		name       string
		first      func(*executor.Exchange)
		fail       func() error
		idempotent bool
		again      bool
	}{
		{"lost untouched", func(*executor.Exchange) {}, func() error { return lost }, true, true},
		{"lost untouched, its body closed", func(x *executor.Exchange) { x.Body.Close() }, func() error { return lost }, true, true},
		{"lost untouched, not idempotent", func(*executor.Exchange) {}, func() error { return lost }, false, false},
		{"lost after more of the body was read", func(x *executor.Exchange) { _, _ = x.Body.Read(make([]byte, 1)) }, func() error { return lost }, true, false},
		{"lost after its answer began", func(x *executor.Exchange) { x.Respond(nil, strings.NewReader("")) }, func() error { return lost }, true, false},
		{"lost after an informational head", func(x *executor.Exchange) { x.Inform(nil) }, func() error { return lost }, true, false},
		{"refused", func(*executor.Exchange) {}, unstarted(fault.StreamsFull), false, true},
		{"refused by a runner that is too old", func(x *executor.Exchange) { x.Body.Close() }, unstarted(fault.RunnerOutdated), false, true},
		{"broken", func(x *executor.Exchange) { _, _ = x.Body.Read(make([]byte, 1)) }, func() error { return fault.New(fault.StreamBroken, "broken") }, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := dispatch.New(dispatch.Config{StartWait: -1})
			t.Cleanup(d.Close)
			var attempts atomic.Int32
			var read string
			for _, id := range []string{"r0", "r1"} {
				t.Cleanup(d.Add(&server{&member{id: id}, func(x *executor.Exchange) (*runnerv1.ExecuteResponse, error) {
					if attempts.Add(1) == 1 {
						test.first(x)
						return nil, test.fail()
					}
					b, err := io.ReadAll(x.Body)
					if read = string(b); err != nil {
						t.Error(err)
					}
					return &runnerv1.ExecuteResponse{}, nil
				}}))
			}
			body := &closing{Reader: strings.NewReader("body")}
			ctx := executor.WithExchange(t.Context(), &executor.Exchange{Body: body, Respond: func([]byte, io.Reader) {}, Inform: func([]byte) {}})
			if test.idempotent {
				ctx = dispatch.WithIdempotent(ctx)
			}
			_, err := d.Execute(ctx, &runnerv1.ExecuteRequest{Plan: "p", Head: []byte("h")})
			want := int32(1)
			if test.again {
				want = 2
			}
			if attempts.Load() != want || (err == nil) != test.again {
				t.Errorf("%d attempts, %v", attempts.Load(), err)
			}
			if test.again && read != "body" {
				t.Errorf("the second runner read %q", read)
			}
			if !body.closed.Load() {
				t.Error("the body is still open")
			}
		})
	}
}

// An open stream takes nothing from the share of its plan, which is for calls that
// wait for a slot.
func TestOpenStreamsTakeNoShare(t *testing.T) {
	d := dispatch.New(dispatch.Config{})
	t.Cleanup(d.Close)
	entered, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(d.Add(&server{&member{id: "r0", concurrency: 1, queue: 1}, func(*executor.Exchange) (*runnerv1.ExecuteResponse, error) {
		entered <- struct{}{}
		<-release
		return &runnerv1.ExecuteResponse{}, nil
	}}))
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := d.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: "p", Head: []byte("h")}); err != nil {
				t.Error(err)
			}
		})
		<-entered
	}
	close(release)
	wg.Wait()
}

func TestAnExchangeWithoutARunner(t *testing.T) {
	d := dispatch.New(dispatch.Config{StartWait: -1})
	t.Cleanup(d.Close)
	if _, err := d.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: "p", Head: []byte("h")}); !errors.Is(err, fault.NoRunner) {
		t.Errorf("got %v", err)
	}
}
