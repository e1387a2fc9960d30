package mirror

import (
	"context"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// The watches of the mirror, by their index in prefixes.
const (
	watchServices = iota
	watchDecorators
	watchRunners
	watchCores
	watchLeader
	watchHandover
	watches
)

// Watches overtake each other, but their events become visible in the store's
// order.
func TestEventsAreHeldBackUntilAllWatchesHavePassedThem(t *testing.T) {
	cluster, err := fleet.Open(fleet.Config{Hosts: []string{"127.0.0.1:1"}, Cluster: "main"}) // it is never contacted
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	m := newMirror(cluster, &guard.Guard{}, nil)
	m.show(newSnapshot(m.tables, 10), 10)
	f := &follower{m: m, seen: []int64{10, 10, 10, 10, 20, 20}}
	event := func(watch int, revision int64, key string, v proto.Message) {
		t.Helper()
		value, err := proto.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		kv := &mvccpb.KeyValue{Key: []byte("/ruedo/main/" + key), Value: value, CreateRevision: revision, ModRevision: revision}
		// The header may be of a later revision than the events.
		r := clientv3.WatchResponse{Header: header(revision + 5), Events: []*clientv3.Event{{Type: clientv3.EventTypePut, Kv: kv}}}
		if news, err := f.take(message{watch, r}); err != nil || !news {
			t.Fatal(news, err)
		}
		f.advance()
	}
	progress := func(watch int, revision int64) {
		t.Helper()
		if news, err := f.take(message{watch, clientv3.WatchResponse{Header: header(revision)}}); err != nil || news {
			t.Fatal(news, err)
		}
		f.advance()
	}
	expect := func(horizon int64, services, decorators int) {
		t.Helper()
		s := m.Snapshot()
		if m.applied.Load() != horizon || len(s.Services) != services || len(s.Decorators) != decorators {
			t.Fatalf("at %d with %d services and %d decorators, want %d, %d, %d",
				m.applied.Load(), len(s.Services), len(s.Decorators), horizon, services, decorators)
		}
	}
	event(watchServices, 12, "services/greet", storetest.Service("greet", 1, storetest.Wasm("a"), "small"))
	expect(10, 0, 0)
	event(watchDecorators, 11, "decorators/small", decorator("small"))
	expect(10, 0, 0)
	progress(watchRunners, 12)
	expect(10, 0, 0)
	changed := m.Changed()
	progress(watchCores, 12)
	expect(11, 0, 1) // the decorators' watch may still report events at 12
	select {
	case <-changed:
	default:
		t.Error("the change is not told")
	}
	shown := m.Snapshot()
	progress(watchDecorators, 11)
	if m.Snapshot() != shown {
		t.Error("the snapshot was replaced, with nothing in it changed")
	}
	progress(watchDecorators, 20)
	expect(12, 1, 1)
	for watch := range watches {
		progress(watch, 20)
	}
	expect(20, 1, 1)
	if len(f.pending) != 0 {
		t.Errorf("%d events are held back", len(f.pending))
	}
}

func TestABrokenWatchIsAnError(t *testing.T) {
	for what, r := range map[string]clientv3.WatchResponse{
		"compacted": {Header: header(1), CompactRevision: 5},
		"canceled":  {Header: header(1), Canceled: true},
	} {
		f := &follower{seen: make([]int64, watches)}
		if _, err := f.take(message{watchServices, r}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func header(revision int64) *etcdserverpb.ResponseHeader {
	return &etcdserverpb.ResponseHeader{Revision: revision}
}

// A store that hangs closes no watch; the mirror ends all the same.
func TestAWatchThatTheStoreNeverClosesEndsWithItsContext(t *testing.T) {
	for what, msgs := range map[string]chan message{"nothing arrives": make(chan message), "nobody receives": nil} {
		watch := make(chan clientv3.WatchResponse, 1)
		if msgs == nil {
			watch <- clientv3.WatchResponse{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			forward(ctx, msgs, 0, watch)
		}()
		cancel()
		select {
		case <-ended:
		case <-time.After(testkit.Patience):
			t.Fatalf("%s: it goes on", what)
		}
	}
}

// A mirror is behind from when the store was found to have a revision that it
// does not show, until it shows that revision.
func TestHowLongAMirrorIsBehind(t *testing.T) {
	cluster, err := fleet.Open(fleet.Config{Hosts: []string{"127.0.0.1:1"}, Cluster: "main"}) // it is never contacted
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	m := newMirror(cluster, &guard.Guard{}, nil)
	m.show(newSnapshot(m.tables, 10), 10)
	m.contact()
	if m.measure(10); m.Behind() != 0 {
		t.Errorf("behind by %v, with everything shown", m.Behind())
	}
	m.measure(12)
	testkit.Eventually(t, "it is behind", func() bool { m.contact(); return m.Behind() > 50*time.Millisecond })
	m.show(nil, 11)
	if m.measure(13); m.Behind() <= 50*time.Millisecond {
		t.Errorf("behind by %v: it still lacks what the store had before", m.Behind())
	}
	m.show(nil, 12)
	if m.Behind() != 0 {
		t.Errorf("behind by %v, although it has caught up with what was measured", m.Behind())
	}
	before := time.Now()
	m.measure(13)
	if behind := m.Behind(); behind > time.Since(before) {
		t.Errorf("behind by %v: the next measurement begins where the last one did", behind)
	}
	// The store was replaced by an older one.
	if m.measure(5); m.Behind() != 0 {
		t.Errorf("behind by %v an older store", m.Behind())
	}
	// It does not answer, so nothing is known.
	m.measure(20)
	m.lastContact.Store(int64(-2 * staleAfter))
	if m.Behind() != 0 {
		t.Errorf("behind by %v a store that does not answer", m.Behind())
	}
}
