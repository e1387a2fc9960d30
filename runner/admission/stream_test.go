package admission

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

func openStream(ctx context.Context, q *queue, service string) (Slot[*plan], error) {
	return q.Open(ctx, service, patience, func() (*plan, *fault.Error) { return &plan{}, nil })
}

// TestOpenStreamsHarmNobody has 296 streams of one service open, which wait, and then
// go on all at the same time. Neither a function nor the stream of another service
// waits for more than its turn.
func TestOpenStreamsHarmNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const concurrency, streams, work = 4, 296, 10 * time.Millisecond
		q := open(concurrency, 100)
		wake, left := make(chan struct{}), make(chan error, streams)
		for range streams {
			slot, err := openStream(t.Context(), q, "feed")
			if err != nil {
				t.Fatal(err)
			}
			slot.Stream.Pause()
			slot.Stream.Pause() // does nothing
			go func() {
				<-wake
				err := slot.Stream.Resume(t.Context())
				time.Sleep(work)
				slot.Stream.Pause()
				slot.Release(time.Hour)
				left <- err
			}()
		}
		if q.executing != 0 || q.calls != 0 || q.open != streams {
			t.Fatalf("%d execute, %d calls, %d open", q.executing, q.calls, q.open)
		}
		call := func(service string, enter func(context.Context, *queue, string) (Slot[*plan], error)) {
			t.Helper()
			began := time.Now()
			slot, err := enter(t.Context(), q, service)
			if waited := time.Since(began); err != nil || waited > 0 {
				t.Fatalf("a call of %s waited for %s: %v", service, waited, err)
			}
			slot.Release(0)
		}
		function := func(ctx context.Context, q *queue, service string) (Slot[*plan], error) {
			return enter(ctx, q, service, &plan{})
		}
		call("function", function)
		call("other", openStream)
		close(wake)
		synctest.Wait()
		if n := len(q.services["feed"].waiters); q.executing != concurrency || n != streams-concurrency {
			t.Errorf("%d execute, %d wait", q.executing, n)
		}
		call("function", function)
		call("other", openStream)
		// A new stream of the service itself is one more in its line.
		began := time.Now()
		slot, err := openStream(t.Context(), q, "feed")
		if waited := time.Since(began); err != nil || waited != streams/concurrency*work {
			t.Fatalf("a new stream waited for %s: %v", waited, err)
		}
		if mean := q.recent("feed"); mean > work {
			t.Errorf("streams are thought to take %s, but they mostly waited", mean)
		}
		slot.Release(0)
		for range streams {
			if err := <-left; err != nil {
				t.Error(err)
			}
		}
		empty(t, q)
	})
}

// TestStreamsAreBounded opens streams until the queue refuses: those of one service
// first.
func TestStreamsAreBounded(t *testing.T) {
	q := New[*plan](Config{Runner: "r", Concurrency: 4, Queue: 8, Streams: 40})
	var slots []Slot[*plan]
	fill := func(service string) *fault.Error {
		for {
			slot, err := openStream(t.Context(), q, service)
			if err != nil {
				return fault.FromError(err)
			}
			slot.Stream.Pause()
			slots = append(slots, slot)
		}
	}
	if e := fill("feed"); e.Reason != fault.StreamsFull || !e.NotStarted || e.Meta["limit"] != "30" || e.Fix == "" || e.RetryDelay() == 0 || len(slots) != 30 {
		t.Errorf("after %d: %v", len(slots), e)
	}
	if e := fill("other"); e.Reason != fault.StreamsFull || e.Meta["limit"] != "40" || len(slots) != 40 {
		t.Errorf("after %d: %v", len(slots), e)
	}
	if slot, err := enter(t.Context(), q, "feed", &plan{}); err != nil {
		t.Errorf("a function: %v", err)
	} else {
		if slot.Stream != nil {
			t.Error("a function is a stream")
		}
		slot.Release(0)
	}
	slots[0].Release(0)
	if slot, err := openStream(t.Context(), q, "feed"); err != nil {
		t.Error(err)
	} else {
		slots[0] = slot
	}
	for _, s := range slots {
		s.Release(0)
	}
	empty(t, q)
}

// TestAStreamThatIsCanceledHasNoSlot ends the context of a stream that queues, also
// at the very moment at which its turn comes.
func TestAStreamThatIsCanceledHasNoSlot(t *testing.T) {
	for n := range 200 {
		synctest.Test(t, func(t *testing.T) {
			q := open(1, 10)
			slot, err := openStream(t.Context(), q, "a")
			if err != nil {
				t.Fatal(err)
			}
			slot.Stream.Pause()
			hold(t, q, "a", 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if n%2 == 0 {
				time.AfterFunc(time.Second, func() { q.release("a", 0) })
			}
			if err = slot.Stream.Resume(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) || n%2 == 1 && err == nil {
				t.Error(err)
			}
			slot.Release(0)
			time.Sleep(time.Second) // in the bubble
			synctest.Wait()
			if n%2 == 1 {
				q.release("a", 0)
			}
			empty(t, q)
		})
	}
}

// FuzzQueue lets calls of both kinds enter, pause, resume, be canceled and end in any
// order. Whenever nothing moves, the counts are those of a model, nobody waits who
// could execute, and in the end nothing is left.
func FuzzQueue(f *testing.F) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 0))
		steps := make([]byte, 300)
		for i := range steps {
			steps[i] = byte(r.Uint32())
		}
		f.Add(steps, byte(seed))
	}
	f.Fuzz(func(t *testing.T, steps []byte, size byte) {
		synctest.Test(t, func(t *testing.T) {
			newModel(t, int(size%5)+1).run(steps[:min(len(steps), 400)])
		})
	})
}

// model is what calls know of a queue.
type model struct {
	t     *testing.T
	q     *queue
	calls []*modelCall
}

// modelCall is a call; its state is that of its goroutine, when nothing moves.
type modelCall struct {
	service string
	stream  bool
	do      chan string // pause, resume, release
	cancel  context.CancelFunc
	state   string // waits, executes, paused, resumes, gone
}

func newModel(t *testing.T, concurrency int) *model {
	return &model{t: t, q: New[*plan](Config{Runner: "r", Concurrency: concurrency, Queue: 2 * concurrency, Streams: 4 * concurrency})}
}

func (m *model) run(steps []byte) {
	for _, b := range steps {
		m.step(int(b))
		synctest.Wait()
		m.check()
	}
	for _, c := range m.calls {
		c.cancel()
		synctest.Wait()
		if c.state != "gone" {
			c.do <- "release"
		}
		synctest.Wait()
		m.check()
	}
	empty(m.t, m.q)
}

func (m *model) step(b int) {
	if op, which := b%8, b/8; op < 3 || len(m.calls) == 0 {
		m.enter(fmt.Sprint("s", which%3), which%2 == 0)
	} else {
		c := m.calls[which%len(m.calls)]
		switch do := []string{"pause", "pause", "resume", "release", "cancel"}[op-3]; {
		case do == "cancel":
			c.cancel()
		case do == "pause" && c.state == "executes", do == "resume" && c.state == "paused", do == "release" && (c.state == "executes" || c.state == "paused"):
			c.do <- do
		}
	}
	time.Sleep(time.Millisecond)
}

// enter lets a call in, on a goroutine of its own.
func (m *model) enter(service string, stream bool) {
	ctx, cancel := context.WithCancel(m.t.Context())
	c := &modelCall{service: service, stream: stream, do: make(chan string), cancel: cancel, state: "waits"}
	m.calls = append(m.calls, c)
	go func() {
		defer cancel()
		defer func() { c.state = "gone" }()
		var slot Slot[*plan]
		var err error
		if stream {
			slot, err = openStream(ctx, m.q, service)
		} else {
			slot, err = enter(ctx, m.q, service, &plan{})
		}
		if err != nil {
			return
		}
		c.state = "executes"
		for do := range c.do {
			switch do {
			case "pause":
				if stream {
					slot.Stream.Pause()
					c.state = "paused"
				}
			case "resume":
				c.state = "resumes"
				if slot.Stream.Resume(ctx) != nil {
					slot.Release(0)
					return
				}
				c.state = "executes"
			case "release":
				slot.Release(time.Millisecond)
				return
			}
		}
	}()
}

func (m *model) check() {
	q, execute, open, waiting := m.q, 0, 0, map[string]int{}
	for _, c := range m.calls {
		switch c.state {
		case "executes":
			execute++
		case "waits", "resumes":
			waiting[c.service]++
		}
		if c.stream && c.state != "gone" {
			open++
		}
	}
	if q.executing != execute || q.open != open || execute > 2*q.cfg.Concurrency || open > q.cfg.Streams {
		m.t.Fatalf("%d execute, %d are open; the queue counts %d and %d", execute, open, q.executing, q.open)
	}
	lines := map[*share]bool{}
	for _, s := range q.waiting {
		lines[s] = true
	}
	for name, s := range q.services {
		if len(s.waiters) != waiting[name] || lines[s] != (len(s.waiters) > 0) || s.open > q.streamLimit {
			m.t.Fatalf("%d of %s wait, %d are in line, %d are open", waiting[name], name, len(s.waiters), s.open)
		}
		if len(s.waiters) > 0 && q.room(s) {
			m.t.Fatalf("%d of %s wait although there is room", len(s.waiters), name)
		}
	}
}
