package stream

import (
	"context"
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// unreachable is a core that cannot be asked for a body.
type unreachable struct {
	runnerv1connect.RunnerServiceClient
	asked context.Context
}

func (u *unreachable) FetchBody(ctx context.Context, _ *runnerv1.FetchBodyRequest) (*connect.ServerStreamForClient[runnerv1.FetchBodyResponse], error) {
	u.asked = ctx
	return nil, errors.New("no connection")
}

// A service can return without a word when its body breaks off. If that broke because
// the call was over, nobody takes its answer for complete.
func TestAnAnswerAfterTheEndOfTheCall(t *testing.T) {
	answered, failed := &runnerv1.ExecuteResponse{Streamed: true}, fault.New(fault.GuestTimeout, "stopped")
	late, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-late.Done()
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		want fault.Reason
	}{
		{"late", late, fault.Deadline},
		{"the caller is gone", gone, fault.Canceled},
		{"the connection broke", t.Context(), fault.StreamBroken},
	} {
		r := &Remote{API: &unreachable{}}
		if n, err := r.Exchange(tt.ctx, true).Body.Read(make([]byte, 1)); n > 0 || fault.ReasonOf(err) != tt.want {
			t.Errorf("%s: the service reads %d bytes, %v", tt.name, n, err)
		}
		if _, err := r.Result(answered, nil); fault.ReasonOf(err) != tt.want {
			t.Errorf("%s: the call ends with %v", tt.name, err)
		}
		// Why the service was stopped says more than that the call is over.
		want := fault.GuestTimeout
		if tt.want == fault.StreamBroken {
			want = tt.want
		}
		if _, err := r.Result(nil, failed); fault.ReasonOf(err) != want {
			t.Errorf("%s: a service that was stopped: %v", tt.name, err)
		}
	}
}

// The core learns of the end of a call from the call, not from a deadline that was
// rounded down on its way.
func TestStreamsHaveNoDeadlineOfTheirOwn(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	core := &unreachable{}
	_, _ = (&Remote{API: core}).Exchange(ctx, true).Body.Read(make([]byte, 1))
	if at, ok := core.asked.Deadline(); ok {
		t.Errorf("the core is told of a deadline at %s", at)
	}
	cancel()
	if core.asked.Err() == nil {
		t.Error("the request outlives its call")
	}
}
