package mirror

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// recovery is within what time a mirror must have recovered from a stuck watch:
// stuckBeats+1 beats, with their jitter, and something for a busy machine.
const recovery = 10 * time.Second

// freezer stands between a mirror and its client, and makes streams of watches
// stuck: as in etcd #18879 and #20716, they report nothing more, without an error,
// and watches that are created on them wait forever.
type freezer struct {
	clientv3.Watcher
	mu sync.Mutex
	// frozen are the streams that are stuck, and the part of a key whose watches
	// are; "" is all of them, and progress as well.
	frozen  map[string]string
	streams []string
}

func streamOf(ctx context.Context) string {
	md, _ := metadata.FromOutgoingContext(ctx)
	return strings.Join(md.Get("ruedo-watch"), " ")
}

// freeze makes the watches of a stream stuck whose keys contain part.
func (f *freezer) freeze(stream, part string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen[stream] = part
}

func (f *freezer) isFrozen(ctx context.Context, key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	part, ok := f.frozen[streamOf(ctx)]
	return ok && strings.Contains(key, part)
}

// stream returns the stream that was used last.
func (f *freezer) stream() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.streams[len(f.streams)-1]
}

func (f *freezer) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	if f.isFrozen(ctx, key) {
		<-ctx.Done()
		return nil
	}
	f.mu.Lock()
	f.streams = append(f.streams, streamOf(ctx))
	f.mu.Unlock()
	from, to := f.Watcher.Watch(ctx, key, opts...), make(chan clientv3.WatchResponse)
	go func() {
		for r := range from {
			if f.isFrozen(ctx, key) {
				continue
			}
			select {
			case to <- r:
			case <-ctx.Done():
			}
		}
		if !f.isFrozen(ctx, key) {
			close(to)
		}
	}()
	return to
}

func (f *freezer) RequestProgress(ctx context.Context) error {
	if f.isFrozen(ctx, "") {
		return nil
	}
	return f.Watcher.RequestProgress(ctx)
}

// frozenStore returns a store whose client has a freezer.
func frozenStore(t *testing.T, log *testkit.Log) (*testStore, *freezer) {
	t.Helper()
	client := etcdtest.Start(t, etcdembed.Config{}).Client()
	f := &freezer{Watcher: client.Watcher, frozen: map[string]string{}}
	client.Watcher = f
	s := open(t, store.Config{Client: client, Logger: log.Logger()})
	storetest.Put(t, s, storetest.Wasm("a"))
	return s, f
}

// A watch that is stuck reports neither events nor an error.
func TestAMirrorRecoversFromAWatchThatIsStuck(t *testing.T) {
	t.Parallel()
	for what, part := range map[string]string{"all watches": "", "one of the watches": "/services/"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var log testkit.Log
			s, f := frozenStore(t, &log)
			m := mirror(t, s)
			wait(t, m, storetest.Publish(t, s, storetest.Service("before", 1, storetest.Wasm("a")), 0).GetVersion())

			for n := range uint64(2) { // also the stream that replaced the first one
				was := f.stream()
				f.freeze(was, part)
				began := time.Now()
				name := fmt.Sprint("during", n)
				storetest.Publish(t, s, storetest.Service(name, 1, storetest.Wasm("a")), 0)
				testkit.Within(t, recovery, "the mirror shows what its watch has missed", func() bool { return m.Snapshot().Services[name] != nil })
				t.Logf("recovered after %v", time.Since(began))
				if got := m.Stuck(); got != n+1 {
					t.Errorf("counted %d times, want %d", got, n+1)
				}
				testkit.Eventually(t, "another stream is used", func() bool { return f.stream() != was })
				began = time.Now()
				const changes = 5
				for i := range changes {
					wait(t, m, storetest.Publish(t, s, storetest.Service(fmt.Sprint("after", n, "-", i), 1, storetest.Wasm("a")), 0).GetVersion())
				}
				if mean := time.Since(began) / changes; mean > beatEvery/2 {
					t.Errorf("the new watches took %v for a change: for a heartbeat", mean)
				}
			}
			if got := strings.Count(log.String(), "the watch of the store makes no progress"); got != 2 {
				t.Errorf("logged %d times, want 2:\n%s", got, log.String())
			}
		})
	}
}

// A store that never answers the request for a watch does not hold up the mirror.
func TestAMirrorRecoversFromAWatchThatIsNeverCreated(t *testing.T) {
	t.Parallel()
	var log testkit.Log
	s, f := frozenStore(t, &log)
	f.freeze("mirror-0", "")
	f.freeze("mirror-1", "")
	m := mirror(t, s)
	storetest.Publish(t, s, storetest.Service("one", 1, storetest.Wasm("a")), 0)
	testkit.Within(t, recovery, "the mirror shows what it should have watched", func() bool { return m.Snapshot().Services["one"] != nil })
	storetest.Publish(t, s, storetest.Service("two", 1, storetest.Wasm("a")), 0)
	testkit.Within(t, recovery, "the mirror gives up the second stream as well", func() bool { return m.Snapshot().Services["two"] != nil })
	wait(t, m, storetest.Publish(t, s, storetest.Service("three", 1, storetest.Wasm("a")), 0).GetVersion())
	if m.Stuck() != 2 || f.stream() != "mirror-2" {
		t.Errorf("stuck %d times, now on %s", m.Stuck(), f.stream())
	}
}

// Writes that the watches do not report, because the mirror does not show them,
// are no sign of a stuck watch.
func TestWritesOfOthersKeysMakeNoWatchStuck(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	m := mirror(t, s)
	for range stuckBeats + 2 {
		r, err := s.client.Put(t.Context(), "/elsewhere", "x")
		if err != nil {
			t.Fatal(err)
		}
		wait(t, m, r.Header.Revision)
		testkit.Eventually(t, "the next beat", func() bool { p := m.lastProbe.Load(); return p != nil && p.revision >= r.Header.Revision })
	}
	if m.Stuck() != 0 {
		t.Errorf("stuck %d times", m.Stuck())
	}
}

// The watches end one after the other, because an etcd in this process does not
// survive that many of them are cancelled together.
func TestTheWatchesAreNotCancelledTogether(t *testing.T) {
	s := fresh(t)
	o := &order{Watcher: s.client.Watcher}
	s.client.Watcher = o
	m := mirror(t, s)
	wait(t, m, member(t, s, "cores/c1", &ruedov1.Core{Url: "u"}))
	m.listAgain(errRelist)
	testkit.Eventually(t, "all watches are there again", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.ended == len(m.watched()) && o.open == len(m.watched())
	})
	if o.together > 1 {
		t.Errorf("%d watches were cancelled before the client had removed them", o.together)
	}
}

// order counts watches that are cancelled at the same time.
type order struct {
	clientv3.Watcher
	mu                                sync.Mutex
	open, ended, cancelling, together int
}

func (o *order) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	from, to := o.Watcher.Watch(ctx, key, opts...), make(chan clientv3.WatchResponse)
	o.mu.Lock()
	o.open++
	o.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.cancelling++
		o.together = max(o.together, o.cancelling)
	})
	go func() {
		for r := range from {
			select {
			case to <- r:
			case <-ctx.Done():
			}
		}
		o.mu.Lock()
		o.open--
		o.ended++
		if !stop() {
			o.cancelling--
		}
		o.mu.Unlock()
		close(to)
	}()
	return to
}
