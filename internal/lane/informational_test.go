package lane_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
)

// told records what a caller gets of an answer, in order.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (s *told) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *told) exchange() *executor.Exchange {
	return &executor.Exchange{
		Inform: func(head []byte) { s.say("%s", head) },
		Respond: func(head []byte, body io.Reader) {
			all, err := io.ReadAll(body)
			s.say("%s %s %v", head, all, err)
		},
	}
}

// Informational heads come to the caller in order and before the answer, whichever
// way that takes.
func TestInformationalHeadsAreCarried(t *testing.T) {
	c := newCore(t, nil)
	l, _ := c.attach(c.config("edge-1", serving(func(_ context.Context, x *executor.Exchange, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		for i := range 3 {
			x.Inform(fmt.Appendf(nil, "early %d", i))
		}
		switch string(req.Input) {
		case "streams":
			x.Respond([]byte("head"), strings.NewReader("body"))
			return &runnerv1.ExecuteResponse{Streamed: true}, nil
		case "fails":
			return nil, fault.New(fault.GuestTrap, "trapped")
		}
		return &runnerv1.ExecuteResponse{Output: []byte("whole")}, nil
	})))
	early := []string{"early 0", "early 1", "early 2"}
	for _, test := range []struct {
		input  string
		want   []string
		reason fault.Reason
	}{
		{"whole", early, ""},
		{"streams", append(slices.Clone(early), "head body <nil>"), ""},
		{"fails", early, fault.GuestTrap},
	} {
		var s told
		ctx := executor.WithExchange(t.Context(), s.exchange())
		res, err := l.Execute(ctx, &runnerv1.ExecuteRequest{Head: []byte("h"), Input: []byte(test.input)})
		if test.reason == "" && (err != nil || res.Streamed != (test.input == "streams")) || test.reason != "" && fault.ReasonOf(err) != test.reason {
			t.Errorf("%s: %v, %v", test.input, res, err)
		}
		// The heads were given to the caller before Execute returned.
		if !slices.Equal(s.lines, test.want) {
			t.Errorf("%s: the caller got %q", test.input, s.lines)
		}
	}
	// A caller that takes none has its answer.
	res, err := l.Execute(executor.WithExchange(t.Context(), &executor.Exchange{Respond: new(told).exchange().Respond}), &runnerv1.ExecuteRequest{Head: []byte("h")})
	if err != nil || string(res.Output) != "whole" {
		t.Errorf("a caller that takes none: %v, %v", res, err)
	}
}

// The first one does not wait for what follows.
func TestAnInformationalHeadComesAtOnce(t *testing.T) {
	c := newCore(t, nil)
	got := make(chan struct{})
	l, _ := c.attach(c.config("edge-1", serving(func(ctx context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		x.Inform([]byte("early"))
		select {
		case <-got:
			return &runnerv1.ExecuteResponse{Output: []byte("whole")}, nil
		case <-ctx.Done():
			return nil, fault.FromError(ctx.Err())
		}
	})))
	ctx := executor.WithExchange(t.Context(), &executor.Exchange{Respond: func([]byte, io.Reader) {}, Inform: func([]byte) { close(got) }})
	done := make(chan result, 1)
	go func() {
		res, err := l.Execute(ctx, &runnerv1.ExecuteRequest{Head: []byte("h")})
		done <- result{res, err}
	}()
	if r := wait(t, done); r.err != nil {
		t.Error(r.err)
	}
}

// A runner that sends too many, or too long ones, cannot make the caller read them.
func TestInformationalHeadsAreBounded(t *testing.T) {
	c := newCore(t, nil)
	l, _ := c.attach(c.config("edge-1", serving(func(_ context.Context, x *executor.Exchange, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		size := 1
		if string(req.Input) == "long" {
			size = stream.MaxHead / 4
		}
		for range 10 * executor.MaxInformational {
			x.Inform(make([]byte, size))
		}
		return &runnerv1.ExecuteResponse{}, nil
	})))
	for input, most := range map[string]int{"many": executor.MaxInformational, "long": 4} {
		var s told
		_, err := l.Execute(executor.WithExchange(t.Context(), s.exchange()), &runnerv1.ExecuteRequest{Head: []byte("h"), Input: []byte(input)})
		if err != nil || len(s.lines) != most {
			t.Errorf("%s: the caller got %d heads, %v", input, len(s.lines), err)
		}
	}
	if !l.Ready() {
		t.Error("the lane did not survive")
	}
}

// A caller that leaves meanwhile ends its call.
func TestACallerThatLeavesAfterAnInformationalHead(t *testing.T) {
	c := newCore(t, nil)
	l, _ := c.attach(c.config("edge-1", serving(func(ctx context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		x.Inform([]byte("early"))
		<-ctx.Done()
		x.Inform([]byte("too late"))
		return nil, fault.FromError(ctx.Err())
	})))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := l.Execute(executor.WithExchange(ctx, &executor.Exchange{Respond: func([]byte, io.Reader) {}, Inform: func([]byte) { cancel() }}), &runnerv1.ExecuteRequest{Head: []byte("h")})
	if !errors.Is(err, fault.Canceled) {
		t.Error(err)
	}
}

// A runner that is lost after one was passed on may have done anything.
func TestARunnerThatIsLostAfterAnInformationalHead(t *testing.T) {
	c := newCore(t, nil)
	l, cl := c.attach(c.config("edge-1", serving(func(ctx context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		x.Inform([]byte("early"))
		<-ctx.Done()
		return nil, fault.FromError(ctx.Err())
	})))
	ctx := executor.WithExchange(t.Context(), &executor.Exchange{Respond: func([]byte, io.Reader) {}, Inform: func([]byte) { go cl.Close() }})
	_, err := l.Execute(ctx, &runnerv1.ExecuteRequest{Head: []byte("h")})
	if e := fault.FromError(err); e.Reason != fault.StreamBroken || e.NotStarted {
		t.Errorf("got %v", err)
	}
	<-cl.Done()
}
