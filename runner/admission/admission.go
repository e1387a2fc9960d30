// Package admission decides which calls a runner executes, and when.
//
//	queue := admission.New[*prepared](admission.Config{Runner: id, Concurrency: 8, Queue: 256})
//	slot, err := queue.Enter(ctx, service, 5*time.Second, acquirePlan)
//	if err != nil {
//		return err
//	}
//	took := execute(slot.Plan)
//	slot.Release(took)
//
// # The order
//
//	closed? -> room for a stream -> room in the queue -> the plan is ready -> its own concurrency -> a slot
//
// The slot comes last: calls that wait for a cold plan do not hold up calls
// whose plan is ready. [Slot.Release] undoes these steps in reverse order.
//
// # Streams
//
// A call of kind http can be open for hours and wait nearly all of that time, so it
// enters by [Queue.Open]. While it waits, it releases its slot ([Stream.Pause]), and
// it queues for one when it continues ([Stream.Resume]). Such a call counts twice: as
// open until it is released, and as a call in the queue until its first pause.
//
// # Promises
//
//   - At most Concurrency calls execute and Queue calls wait; one more is
//     refused with QUEUE_FULL.
//   - At most Streams calls of kind http are open, three quarters of them of one
//     service; one more is refused with STREAMS_FULL. An open call that continues is
//     never refused: it gets its slot in turn, or its context ends.
//   - A call waits for its slot for a bounded time, and is then refused with
//     QUEUE_TIMEOUT. One that need not wait has no timer.
//   - A call that cannot start in time, or that could not end before its own
//     deadline, is refused with QUEUE_TIMEOUT before it waits. The time is
//     estimated: a call that executes, and those ahead of it, each for as long as
//     its service took recently, over the slots. So is the time after which QUEUE_FULL asks to try
//     again.
//   - Services are kept apart. A call never waits for calls of other services
//     while no call of its own service executes. For that, as many calls as
//     Concurrency can execute in addition. Waiting calls are let in service by
//     service. So a service that holds all slots, with calls that loop or sleep
//     until their time is up, does not hold up any other. Nor can one service
//     fill the queue: see [executor.ServiceShare].
//   - An error of Enter is a [*fault.Error] that says that the call did not
//     start.
//   - Everything is safe for concurrent use.
package admission

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/inflight"
)

// Config of a queue.
type Config struct {
	// Runner is the id of the runner, for errors.
	Runner string
	// Concurrency is how many calls execute at a time; at least 1.
	Concurrency int
	// Queue is how many calls can wait; 0 means none.
	Queue int
	// Streams is how many calls of kind http can be open; 0 means none.
	Streams int
}

// Plan is what a call needs in order to execute.
type Plan interface {
	// Concurrency bounds the calls of the plan.
	Concurrency() *Concurrency
	// Release ends the use of the plan by one call.
	Release()
}

// Queue admits the calls of one runner.
type Queue[P Plan] struct {
	cfg          Config
	limit        int // of calls in flight
	serviceLimit int // of calls of one service in flight
	streamLimit  int // of open calls of one service

	inflight inflight.Group // calls, and other work that Begin counted

	mu        sync.Mutex
	calls     int // executing or waiting, without those that have paused
	open      int // of kind http
	executing int
	services  map[string]*share
	waiting   []*share // those with waiting calls, the next to be let in first
}

// New returns an open queue.
func New[P Plan](cfg Config) *Queue[P] {
	return &Queue[P]{
		cfg:          cfg,
		limit:        cfg.Concurrency + cfg.Queue,
		serviceLimit: int(executor.ServiceShare(int64(cfg.Concurrency), int64(cfg.Queue))),
		streamLimit:  (cfg.Streams*3 + 3) / 4,
		services:     make(map[string]*share),
	}
}

// Slot is a call that executes. The zero Slot is not a call.
type Slot[P Plan] struct {
	// Plan that the call executes.
	Plan P
	// Stream is nil unless the call is of kind http.
	Stream  *Stream[P]
	queue   *Queue[P]
	service string
}

// Enter admits a call of a service. It waits until acquire has returned the
// plan, and then up to maxWait for a slot, or until ctx ends. The caller must
// release the slot.
//
// The errors are RUNNER_DRAINING, QUEUE_FULL, QUEUE_TIMEOUT, CONCURRENCY_LIMIT,
// those of acquire, and that of the end of ctx. After an error, there is
// nothing to release.
func (q *Queue[P]) Enter(ctx context.Context, service string, maxWait time.Duration, acquire func() (P, *fault.Error)) (Slot[P], error) {
	return q.enter(ctx, service, nil, maxWait, acquire)
}

// Open is Enter for a call of kind http. STREAMS_FULL is one more error.
func (q *Queue[P]) Open(ctx context.Context, service string, maxWait time.Duration, acquire func() (P, *fault.Error)) (Slot[P], error) {
	return q.enter(ctx, service, &Stream[P]{queue: q, service: service}, maxWait, acquire)
}

func (q *Queue[P]) enter(ctx context.Context, service string, x *Stream[P], maxWait time.Duration, acquire func() (P, *fault.Error)) (Slot[P], error) {
	if err := q.admit(service, x); err != nil {
		return Slot[P]{}, Refuse(err)
	}
	plan, err := q.load(service, x, acquire)
	if err != nil {
		return Slot[P]{}, Refuse(err)
	}
	if err := plan.Concurrency().enter(service); err != nil {
		err.RetryAfter = q.recent(service)
		plan.Release()
		q.leave(service, x)
		return Slot[P]{}, Refuse(err)
	}
	if err := q.acquire(ctx, service, maxWait); err != nil {
		plan.Concurrency().leave()
		plan.Release()
		q.leave(service, x)
		return Slot[P]{}, Refuse(err)
	}
	x.begin()
	return Slot[P]{plan, x, q, service}, nil
}

// load returns the plan for an admitted call. If acquire fails or panics, the
// call has left the queue.
func (q *Queue[P]) load(service string, x *Stream[P], acquire func() (P, *fault.Error)) (plan P, err *fault.Error) {
	loaded := false
	defer func() {
		if !loaded {
			q.leave(service, x)
		}
	}()
	plan, err = acquire()
	loaded = err == nil
	return plan, err
}

// Release ends the call. Its slot goes to the next waiting call. took is how long
// the call executed, which says how long others will wait; 0 if it did not. The
// queue knows that of a call of kind http itself.
func (s Slot[P]) Release(took time.Duration) {
	defer s.queue.leave(s.service, s.Stream)
	if s.Stream == nil || s.Stream.executing {
		s.queue.release(s.service, s.Stream.end(took))
	}
	s.Plan.Concurrency().leave()
	s.Plan.Release()
}

// Begin counts work that is not a call but that Wait must wait for. It returns
// RUNNER_DRAINING if the queue is closed; otherwise the caller must call End.
func (q *Queue[P]) Begin() error {
	if !q.inflight.Enter() {
		return q.Draining()
	}
	return nil
}

// End ends what Begin began.
func (q *Queue[P]) End() { q.inflight.Leave() }

// Close stops accepting work. It can be called more than once.
func (q *Queue[P]) Close() { q.inflight.Close() }

// Closed reports whether Close was called.
func (q *Queue[P]) Closed() bool { return q.inflight.Closed() }

// Wait waits after Close until nothing is in flight. If ctx ends sooner, it returns
// ctx's error and can be called again.
func (q *Queue[P]) Wait(ctx context.Context) error {
	if err := q.inflight.Wait(ctx); err != nil {
		return fmt.Errorf("calls are still in flight: %w", err)
	}
	return nil
}

// Draining returns the error of work that comes after Close.
func (q *Queue[P]) Draining() *fault.Error {
	return Refuse(fault.New(fault.RunnerDraining, "runner %s is stopping", q.cfg.Runner))
}

// Refuse returns a copy of an error that says that the call did not start.
func Refuse(e *fault.Error) *fault.Error {
	c := *e
	c.NotStarted = true
	return &c
}
