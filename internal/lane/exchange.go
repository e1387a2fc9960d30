package lane

import (
	"context"
	"fmt"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/lane/queue"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
)

// exchange sends one frame and waits for its answer. req is the request if the
// frame is a call; the runner can push output for it. s is what streams in it.
func (l *Lane) exchange(ctx context.Context, frame *runnerv1.CoreFrame, b *body, req *runnerv1.ExecuteRequest, s *stream.Call) (*runnerv1.RunnerFrame, pushed, error) {
	frame.Id = l.ids.Add(1)
	c := l.calls.Get().(*call)
	c.body, c.req, c.ctx, c.stream = b, req, ctx, s
	if s != nil {
		s.ID = frame.Id
	}
	done, at := executor.Waits(ctx)
	if !l.pending.Put(frame.Id, c, at) {
		l.release(c)
		return nil, pushed{}, l.lost(true)
	}
	seq, err := l.out.Push(frame)
	if err != nil {
		if l.pending.Take(frame.Id) == nil {
			<-c.answer // the lane ended meanwhile and has answered, or is about to
		}
		l.release(c)
		return nil, pushed{}, l.refused(err)
	}
	select {
	case <-c.answer:
	case <-done:
		if l.pending.Take(frame.Id) != nil {
			// No other goroutine has the call now, so nothing will answer it.
			l.release(c)
			return nil, pushed{}, l.cancel(frame.Id, ctx.Err())
		}
		<-c.answer
	}
	res, got, late, broke := c.frame, c.push.take(), c.late, c.broke
	l.release(c)
	switch {
	case late:
		return nil, pushed{}, l.cancel(frame.Id, context.DeadlineExceeded)
	case broke:
		return nil, pushed{}, l.cancel(frame.Id, context.Canceled)
	}
	if res == nil {
		return nil, pushed{}, l.lost(!l.out.MayHaveBeenSent(seq))
	}
	return res, got, nil
}

// Break ends the wait for the answer to a call; see [stream.Breaker].
func (l *Lane) Break(id uint64) {
	if c := l.pending.Take(id); c != nil {
		c.broke = true
		c.answer <- struct{}{}
	}
}

// cancel tells the runner that nobody waits for a call any more, and returns why.
func (l *Lane) cancel(id uint64, why error) error {
	_, _ = l.out.Push(&runnerv1.CoreFrame{Id: id, Kind: &runnerv1.CoreFrame_Cancel{Cancel: &runnerv1.Cancel{}}})
	return fault.FromError(why)
}

// enough tells the runner that the caller does not want the rest of an answer.
func (l *Lane) enough(id uint64) {
	_, _ = l.out.Push(&runnerv1.CoreFrame{Id: id, Kind: &runnerv1.CoreFrame_Enough{Enough: &runnerv1.Enough{}}})
}

// allows returns an error if the runner gets no more calls of kind http. The caller
// has counted the call.
func (l *Lane) allows(n int64) error {
	if l.protocol < protocol.Streams {
		return l.tooOld()
	}
	if n <= stream.MaxCalls {
		return nil
	}
	return notStarted(fault.New(fault.StreamsFull, "runner %s has %d calls of services that serve HTTP, the limit of a lane", l.info.Id, stream.MaxCalls).
		With("limit", fmt.Sprint(stream.MaxCalls)).WithFix("call again later, or start another runner"))
}

// tooOld returns the error for a service of kind http on a runner that knows none.
func (l *Lane) tooOld() error {
	return notStarted(fault.New(fault.RunnerOutdated, "runner %s is too old for services that serve HTTP: it speaks lane protocol %d, and they need %d", l.info.Id, l.protocol, protocol.Streams).
		WithFix("upgrade the runner to the version of the core"))
}

// streamed checks the answer to a call against what streamed in it.
func (l *Lane) streamed(s *stream.Call, res *runnerv1.ExecuteResponse, err error) (*runnerv1.ExecuteResponse, error) {
	switch {
	case err != nil:
		return nil, s.Failed(err)
	case len(res.Head) > stream.MaxHead || len(res.Trailers) > stream.MaxHead:
		err = fault.New(fault.Internal, "runner %s answered with a head of %d bytes and trailers of %d, the limit is %d", l.info.Id, len(res.Head), len(res.Trailers), stream.MaxHead)
	default:
		err = s.Check(res.Streamed)
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// full returns the error for a call above the runner's limit.
func (l *Lane) full() error {
	return notStarted(fault.New(fault.QueueFull, "runner %s has %d calls in flight or queued, its limit", l.info.Id, l.limit).
		With("limit", fmt.Sprint(l.limit)).WithFix("call again later, or start another runner"))
}

// refused returns the error for a frame that the queue did not accept.
func (l *Lane) refused(err error) error {
	if err == queue.ErrClosed {
		return l.lost(true)
	}
	if err == queue.ErrFull {
		return l.full()
	}
	return notStarted(faultrpc.FromError(err))
}

// lost returns the error for a call whose lane ended.
func (l *Lane) lost(unsent bool) error {
	<-l.done
	if unsent {
		return notStarted(fault.Wrap(l.err, fault.RunnerLost, "runner %s was lost before the call was sent to it", l.info.Id))
	}
	return fault.Wrap(l.err, fault.RunnerLost, "runner %s was lost during the call; whether it executed is not known", l.info.Id).
		With("started", "unknown").
		WithFix("call again if the service may run twice, or mark it idempotent in a decorator")
}

// wake is called before a frame is sent to the runner. If the runner pauses, wake
// asks whether it is there, and if it has been silent for long, waits for the
// answer. The error says that nothing was sent.
func (l *Lane) wake(ctx context.Context) error {
	if !l.silence.Pausing() {
		return nil
	}
	if !l.silence.Asleep() {
		// As on a lane in use: the answer is due within the loss timeout.
		if !l.silence.Owed() {
			l.probe()
		}
		return nil
	}
	l.silence.Asked()
	_, _, err := l.exchange(ctx, probe(0), nil, nil, nil)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return notStarted(fault.FromError(ctx.Err()))
	}
	select {
	case <-l.done:
		return l.lost(true)
	default:
		l.silence.Answered() // it was not sent
		return notStarted(faultrpc.FromError(err))
	}
}

// probe asks the runner for an answer, without waiting for it.
func (l *Lane) probe() {
	l.silence.Asked() // before the answer can come
	if _, err := l.out.Push(probe(l.ids.Add(1))); err != nil {
		l.silence.Answered()
	}
}

func probe(id uint64) *runnerv1.CoreFrame {
	return &runnerv1.CoreFrame{Id: id, Kind: &runnerv1.CoreFrame_Heartbeat{Heartbeat: &runnerv1.Heartbeat{Probe: true}}}
}

// beat processes a heartbeat of the runner. One that has an id answers a probe.
func (l *Lane) beat(f *runnerv1.RunnerFrame) {
	b := f.GetHeartbeat()
	if u := b.GetPlanUsage(); u != nil {
		l.usage.Store(&ruedov1.PlanUsage{Plans: u.Plans, MemoryBytes: u.MemoryBytes, MemoryLimitBytes: u.MemoryLimitBytes})
	}
	if l.protocol < protocol.Pauses {
		return
	}
	l.silence.Announced(time.Duration(b.GetPauseNanos()))
	if f.Id == 0 {
		return
	}
	l.silence.Answered()
	if c := l.pending.Take(f.Id); c != nil {
		c.frame = f
		c.answer <- struct{}{}
	}
}
