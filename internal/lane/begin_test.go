package lane_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// counting counts the connections of a runner, its lane's included.
func counting(cfg *lane.ConnConfig) *atomic.Int32 {
	dialled := new(atomic.Int32)
	cfg.DialWith(func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	})
	return dialled
}

// TestAnAnswerBeginsOnTheLane has services write step by step, when the caller has what
// came before. Only an answer that is longer than its room takes another connection, and
// its bytes keep their order.
func TestAnAnswerBeginsOnTheLane(t *testing.T) {
	for name, tt := range map[string]struct {
		steps, size int
		connections int32
	}{
		"short":     {3, 100, 1},
		"all of it": {4, (stream.Room - len("head")) / 4, 1},
		"one more":  {5, (stream.Room - len("head")) / 4, 2},
		"long":      {4, 3 * stream.Piece, 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCore(t, nil)
			read, write := io.Pipe()
			cfg := c.config("edge-1", serving(func(_ context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
				x.Respond([]byte("head"), read)
				return &runnerv1.ExecuteResponse{Streamed: true, Trailers: []byte("sum")}, nil
			}))
			dialled := counting(&cfg)
			l, _ := c.attach(cfg)
			caller := newCaller(false)
			done := caller.call(t.Context(), l, "")
			if head := <-caller.head; string(head) != "head" {
				t.Errorf("the head is %q", head)
			}
			for i := range tt.steps {
				want := bytes.Repeat([]byte{byte('a' + i)}, tt.size)
				go func() { _, _ = write.Write(want) }()
				got := make([]byte, tt.size)
				if _, err := io.ReadFull(caller.answer, got); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("step %d: %.10q, %v", i, got, err)
				}
			}
			write.Close()
			if n, err := caller.answer.Read(make([]byte, 1)); n > 0 || err != io.EOF {
				t.Errorf("the answer ends with %d bytes, %v", n, err)
			}
			if r := wait(t, done); r.err != nil || string(r.res.Trailers) != "sum" {
				t.Errorf("got %v, %v", r.res, r.err)
			}
			if n := dialled.Load(); n != tt.connections {
				t.Errorf("%d connections, want %d", n, tt.connections)
			}
		})
	}
}

// The caller has all that the service wrote before it failed, and does not take that for
// an answer that is complete. The runner need not have said so twice.
func TestAnAnswerThatBreaksOffOnTheLane(t *testing.T) {
	for name, err := range map[string]error{"the service fails": fault.New(fault.GuestTrap, "trapped"), "nobody says so": nil} {
		c := newCore(t, nil)
		l, _ := c.attach(c.config("edge-1", serving(func(_ context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
			x.Respond([]byte("head"), io.MultiReader(strings.NewReader("some"), failing{}))
			return &runnerv1.ExecuteResponse{Streamed: true}, err
		})))
		caller := newCaller(false)
		done := caller.call(t.Context(), l, "")
		if got, err := io.ReadAll(caller.answer); string(got) != "some" || err == nil {
			t.Errorf("%s: the caller read %q, %v", name, got, err)
		}
		want := fault.StreamBroken
		if err != nil {
			want = fault.GuestTrap
		}
		if r := wait(t, done); !errors.Is(r.err, want) {
			t.Errorf("%s: got %v", name, r.err)
		}
	}
}

// A service learns that its caller wants no more although little of its answer was sent.
func TestACallerThatHasEnough(t *testing.T) {
	c := newCore(t, nil)
	read, write := io.Pipe()
	cfg := c.config("edge-1", serving(func(_ context.Context, x *executor.Exchange, _ *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		x.Respond([]byte("head"), read)
		read.Close() // as the sandbox does
		return &runnerv1.ExecuteResponse{Streamed: true, Trailers: []byte("noticed")}, nil
	}))
	dialled := counting(&cfg)
	l, _ := c.attach(cfg)
	done := make(chan result, 1)
	go func() {
		ctx := executor.WithExchange(t.Context(), &executor.Exchange{Respond: func(_ []byte, body io.Reader) { _, _ = body.Read(make([]byte, 1)) }})
		res, err := l.Execute(ctx, &runnerv1.ExecuteRequest{Head: []byte("h")})
		done <- result{res, err}
	}()
	testkit.Eventually(t, "the service cannot write any more", func() bool {
		_, err := write.Write([]byte("event"))
		return err != nil
	})
	if r := wait(t, done); r.err != nil || string(r.res.Trailers) != "noticed" {
		t.Errorf("got %v, %v", r.res, r.err)
	}
	if n := dialled.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
