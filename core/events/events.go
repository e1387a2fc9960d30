// Package events records what happens in a cluster, for those who look at it
// later.
//
//	r := events.New(events.Config{Ring: ring, Core: "core-1"})
//	defer r.Close()
//	r.Record(ruedov1.EventKind_EVENT_KIND_RUNNER_LOST, "runner-1", "its lane broke: EOF")
//
// Record never waits. What happens again to the same object within ten minutes
// counts up the event that there is. A goroutine writes events together, at most
// once a second, and at most 60 at first and one a second from then on, so that
// nothing that flaps can keep the store busy. While the store does not accept
// writes, a bounded number of events waits in memory.
package events

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	store "github.com/ruedo-dev/ruedo/core/store/events"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// window is how long the repetitions of an event count up the same one.
	window = 10 * time.Minute
	// DefaultPause is the default of [Config.Pause].
	DefaultPause = time.Second
	// rewrite is how long after it was written an event is written again, if it
	// has happened again.
	rewrite = 30 * time.Second
	// burst is how many events can be written in one go; then there is one a
	// pause.
	burst = 60
	// maxTracked bounds the events in memory.
	maxTracked = 512
	// maxText and maxObject bound the texts of an event, in bytes.
	maxText   = 500
	maxObject = 128
	// closeTimeout bounds the last write.
	closeTimeout = time.Second
)

// Config configures a Recorder. Ring and Core are required.
type Config struct {
	// Ring is where events are kept.
	Ring interface {
		Put(ctx context.Context, events []*ruedov1.Event) error
		List(ctx context.Context, after int64) ([]*ruedov1.Event, int64, error)
	}
	// Core is the id of this core.
	Core string
	// Observe is called with the kind of each thing that happens; kept is false if
	// there is no room for it. Nil disables it.
	Observe func(kind ruedov1.EventKind, kept bool)
	// Pause is how long the recorder waits between writes. Default:
	// [DefaultPause].
	Pause time.Duration
	// Logger; nil discards.
	Logger *slog.Logger
}

// Recorder records events, and lists those of the cluster. Its methods can be
// called from many goroutines.
type Recorder struct {
	cfg    Config
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // something is to be written

	mu      sync.Mutex
	tracked map[key]*tracked
	tokens  float64 // events that can be written now
	counted time.Time
	forgot  time.Time // when there was no room the last time
}

type key struct {
	kind   ruedov1.EventKind
	object string
}

// tracked is an event that this core has seen.
type tracked struct {
	event   *ruedov1.Event
	dirty   bool      // it has changed since it was written
	written time.Time // zero if it never was
}

// New returns a recorder; Close ends it.
func New(cfg Config) *Recorder {
	cfg.Pause = cmp.Or(cfg.Pause, DefaultPause)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	r := &Recorder{cfg: cfg, wake: make(chan struct{}, 1), tracked: map[key]*tracked{}, tokens: burst, counted: time.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.wg.Go(func() { r.run(ctx) })
	return r
}

// Close writes what has not been written, unless the store does not accept it
// within a second, and ends the recorder.
func (r *Recorder) Close() {
	r.cancel()
	r.wg.Wait()
}

// Record records that something has happened to an object. It never waits. Texts
// are cut; text can be of strangers.
func (r *Recorder) Record(kind ruedov1.EventKind, object, text string) {
	object, text = clean(object, maxObject), clean(text, maxText)
	kept := r.count(key{kind, object}, text, time.Now())
	if r.cfg.Observe != nil {
		r.cfg.Observe(kind, kept)
	}
	if kept {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// clean returns at most limit bytes of a text, which may be of strangers.
func clean(s string, limit int) string {
	s = fault.Cut(s, limit) // first, so that a long text costs nothing
	return fault.Cut(strings.ToValidUTF8(s, "\uFFFD"), limit)
}

// count counts an event, and reports whether there is room for it.
func (r *Recorder) count(k key, text string, now time.Time) bool {
	at := timestamppb.New(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tracked[k]; t != nil && (t.written.IsZero() || now.Sub(t.event.GetFirstTime().AsTime()) < window) {
		t.event.Text, t.event.Time, t.dirty = text, at, true
		t.event.Count++
		return true
	}
	if len(r.tracked) >= maxTracked && now.Sub(r.forgot) >= r.cfg.Pause {
		r.forgot = now
		r.forget(now)
	}
	if len(r.tracked) >= maxTracked {
		return false
	}
	r.tracked[k] = &tracked{dirty: true, event: &ruedov1.Event{
		Id: strings.ToLower(ulid.Make().String()), Kind: k.kind, Object: k.object, Text: text, Time: at, FirstTime: at, Count: 1, Core: r.cfg.Core,
	}}
	return true
}

// forget drops what has been written: first what will not be counted up any more,
// and all of it if that is not enough. The caller holds the lock.
func (r *Recorder) forget(now time.Time) {
	for _, all := range []bool{false, true} {
		for k, t := range r.tracked {
			if !t.dirty && (all || now.Sub(t.event.GetFirstTime().AsTime()) >= window) {
				delete(r.tracked, k)
			}
		}
		if len(r.tracked) < maxTracked/2 {
			return
		}
	}
}

// run writes what is recorded until ctx ends.
func (r *Recorder) run(ctx context.Context) {
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
			defer cancel()
			r.flush(last, true)
			return
		}
		for r.flush(ctx, false) {
			select {
			case <-time.After(r.cfg.Pause):
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				break
			}
		}
	}
}

// flush writes what is due, everything if it is the last time, and reports
// whether something is left to write.
func (r *Recorder) flush(ctx context.Context, last bool) (more bool) {
	batch, more := r.due(time.Now(), last)
	if len(batch) == 0 {
		return more
	}
	if err := r.cfg.Ring.Put(ctx, batch); err != nil {
		r.cfg.Logger.Debug("events cannot be recorded yet", "events", len(batch), "error", err)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tokens += float64(len(batch))
		return true
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range batch {
		if t := r.tracked[key{e.GetKind(), e.GetObject()}]; t != nil && t.event.GetId() == e.GetId() {
			t.written, t.dirty = now, t.event.GetCount() != e.GetCount()
		}
	}
	return true
}

// due returns copies of the events to write now, and whether any have to be
// written now or later.
func (r *Recorder) due(now time.Time, all bool) (batch []*ruedov1.Event, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = min(burst, r.tokens+now.Sub(r.counted).Seconds()/r.cfg.Pause.Seconds())
	r.counted = now
	for _, t := range r.tracked {
		if !t.dirty {
			continue
		}
		more = true
		if all || t.written.IsZero() || now.Sub(t.written) >= rewrite {
			batch = append(batch, t.event)
		}
	}
	slices.SortFunc(batch, func(a, b *ruedov1.Event) int { return a.GetTime().AsTime().Compare(b.GetTime().AsTime()) })
	batch = batch[:min(len(batch), store.MaxPut, int(r.tokens))]
	r.tokens -= float64(len(batch))
	for i, e := range batch {
		batch[i] = proto.CloneOf(e)
	}
	return batch, more
}

// Handler returns the path and the handler of the EventService.
func (r *Recorder) Handler(opts ...connect.HandlerOption) (string, http.Handler) {
	return ruedov1connect.NewEventServiceHandler(r, opts...)
}

// ListEvents lists the events of the cluster that are about what the caller may read.
func (r *Recorder) ListEvents(ctx context.Context, req *ruedov1.ListEventsRequest) (*ruedov1.ListEventsResponse, error) {
	items, version, err := r.cfg.Ring.List(ctx, req.GetAfterVersion())
	if err != nil {
		return nil, err
	}
	if kinds := req.GetKinds(); len(kinds) > 0 {
		items = slices.DeleteFunc(items, func(e *ruedov1.Event) bool { return !slices.Contains(kinds, e.GetKind()) })
	}
	items = slices.DeleteFunc(items, func(e *ruedov1.Event) bool { return !visible(ctx, e) })
	return &ruedov1.ListEventsResponse{Items: items, Version: version}, nil
}

// visible reports whether the request of a context may read what an event is about.
func visible(ctx context.Context, e *ruedov1.Event) bool {
	object, _, _ := strings.Cut(e.GetObject(), "@") // a service can come with its revision
	switch e.GetKind() {
	case ruedov1.EventKind_EVENT_KIND_PUBLISHED, ruedov1.EventKind_EVENT_KIND_PREPARE_FAILED:
		return access.Visible(ctx, access.Service)(object)
	case ruedov1.EventKind_EVENT_KIND_RUNNER_LOST, ruedov1.EventKind_EVENT_KIND_RUNNER_EJECTED, ruedov1.EventKind_EVENT_KIND_RUNNER_READMITTED,
		ruedov1.EventKind_EVENT_KIND_RUNNER_CORDONED, ruedov1.EventKind_EVENT_KIND_RUNNER_UNCORDONED, ruedov1.EventKind_EVENT_KIND_RUNNER_DRAINED:
		return access.Visible(ctx, access.Runner)(object)
	}
	return true
}
