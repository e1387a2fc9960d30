package records_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/records"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = []byte("32 bytes that nobody else can know")

// core is one core's audit.
type core struct {
	*records.Records
	store *store.Store
}

func open(t *testing.T, etcd *clientv3.Client) *core {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Client: etcd, Cluster: "main", OpTimeout: testkit.Patience, AuditKey: func() []byte { return key }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &core{records.New(records.Config{Cluster: s.Cluster(), Guard: s.Guard(), Chain: s.Chain()}), s}
}

// began is the time of the first record. Each is a second later than the one before.
var began = time.Unix(1_700_000_000, 0)

// log is what several cores have written, and the names of the records in order.
type log struct {
	cores []*core
	names []string
	turn  int
}

// write has the cores write by turns, so many records at a time.
func (l *log) write(t *testing.T, n, atATime int) {
	t.Helper()
	for n > 0 {
		var notes chain.Notes
		for range min(n, atATime) {
			at := began.Add(time.Duration(len(l.names)) * time.Second)
			name := fmt.Sprint("n", len(l.names))
			notes = append(notes, chain.Note{First: at, Action: "look", Noun: "thing", Name: name, Count: 1})
			l.names = append(l.names, name)
		}
		l.turn++
		if err := l.cores[l.turn%len(l.cores)].Write(t.Context(), notes); err != nil {
			t.Fatal(err)
		}
		n -= len(notes)
	}
}

func fresh(t *testing.T, cores int) (*log, *clientv3.Client) {
	t.Helper()
	etcd := etcdtest.Start(t, etcdembed.Config{}).Client()
	l := &log{}
	for range cores {
		l.cores = append(l.cores, open(t, etcd))
	}
	return l, etcd
}

// list returns the names of the records of a range.
func (c *core) list(t *testing.T, which records.Range) (names []string, last *ruedov1.AuditRecord) {
	t.Helper()
	_, all, err := c.List(t.Context(), which)
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		names, last = append(names, rec.GetName()), rec
	}
	return names, last
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d records, want %d: %.200s ... want %.200s", what, len(got), len(want), fmt.Sprint(got), fmt.Sprint(want))
	}
}

// Records of all chains come in the order of the store, from either end, and from
// any place in it.
func TestRecordsComeInOrder(t *testing.T) {
	l, etcd := fresh(t, 3)
	if names, _ := l.cores[0].list(t, records.Range{}); len(names) != 0 {
		t.Errorf("%d records of nothing", len(names))
	}
	l.write(t, 900, 50)
	l.write(t, 10, 1)
	l.cores = append(l.cores[:1], open(t, etcd)) // two cores ended, one began
	l.write(t, 300, 25)
	c := l.cores[0]
	all, _ := c.list(t, records.Range{})
	same(t, "all", all, l.names)
	back, _ := c.list(t, records.Range{Backward: true})
	back = slices.Clone(back)
	slices.Reverse(back)
	same(t, "backward", sorted(back), sorted(l.names))
	same(t, "since", first(c.list(t, records.Range{Since: began.Add(905 * time.Second)})), l.names[905:])
	same(t, "since the end", first(c.list(t, records.Range{Since: began.Add(time.Hour)})), nil)

	// Continued after any version, nothing is left out and nothing comes twice.
	_, page, err := c.List(t.Context(), records.Range{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var at int64
	for rec, err := range page {
		if err != nil {
			t.Fatal(err)
		}
		if len(names) > 400 && rec.GetVersion() != at {
			break
		}
		names, at = append(names, rec.GetName()), rec.GetVersion()
	}
	rest, last := c.list(t, records.Range{After: at})
	same(t, "after", append(names, rest...), l.names)
	same(t, "after the last", first(c.list(t, records.Range{After: last.GetVersion()})), nil)
}

func first(names []string, _ *ruedov1.AuditRecord) []string { return names }

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

func TestFollow(t *testing.T) {
	l, _ := fresh(t, 2)
	l.write(t, 10, 5)
	revision, _, err := l.cores[0].List(t.Context(), records.Range{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string)
	ended := make(chan error, 1)
	go func() {
		var failed error
		for rec, err := range l.cores[1].Follow(ctx, revision) {
			if err != nil {
				failed = err
				break
			}
			got <- rec.GetName()
		}
		ended <- failed
	}()
	for range 5 {
		l.write(t, 3, 1)
		for _, want := range l.names[len(l.names)-3:] {
			if name := <-got; name != want {
				t.Errorf("%s, want %s", name, want)
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestFollowingFromWhatWasCompacted(t *testing.T) {
	l, etcd := fresh(t, 1)
	l.write(t, 3, 1)
	_, last := l.cores[0].list(t, records.Range{})
	if _, err := etcd.Compact(t.Context(), last.GetVersion()); err != nil {
		t.Fatal(err)
	}
	for _, err := range l.cores[0].Follow(t.Context(), 1) {
		testkit.WantReason(t, err, fault.Conflict, "compacted")
		return
	}
	t.Error("it ended without an error")
}

// leads makes a core the leader.
func (c *core) leads(t *testing.T) fleet.Fence {
	t.Helper()
	led, err := c.store.Cluster().Campaign(t.Context(), &ruedov1.Leader{Core: "c"}, 0)
	if err != nil || led == nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = led.Resign(context.Background()) })
	return led.Fence()
}

// Old records go, and so do those beyond the number that is kept; what is left still
// is whole, and says what went.
func TestOldRecordsAreRemoved(t *testing.T) {
	l, _ := fresh(t, 2)
	l.write(t, 600, 50)
	gone := l.cores[1]
	l.cores = l.cores[:1]
	l.write(t, 600, 50)
	c := l.cores[0]
	ctx, fence := storetest.Context(t), c.leads(t)
	keep := records.Keep{Since: began.Add(250 * time.Second), Most: 1 << 30}
	if n, err := c.Trim(ctx, fence, keep, true); err != nil || n != 250 {
		t.Errorf("a dry run: %d, %v", n, err)
	}
	same(t, "after a dry run", first(c.list(t, records.Range{})), l.names)
	if n, err := c.Trim(ctx, fence, keep, false); err != nil || n != 250 {
		t.Errorf("%d, %v", n, err)
	}
	names, _ := c.list(t, records.Range{})
	same(t, "what is left", names[:len(names)-2], l.names[250:])
	if done, err := c.Verify(t.Context(), key); err != nil || done != (records.Checked{Chains: 2, Records: 952}) {
		t.Errorf("%+v, %v", done, err)
	}
	if n, err := c.Trim(ctx, fence, keep, false); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}

	keep.Most = 100
	if n, err := c.Trim(ctx, fence, keep, false); err != nil || n != 852 {
		t.Errorf("%d, %v", n, err)
	}
	if done, err := c.Verify(t.Context(), key); err != nil || done.Records < 100 || done.Records > 110 {
		t.Errorf("%+v, %v", done, err)
	}

	// A chain of which nothing is left goes, and its core begins another one.
	keep.Since = began.Add(time.Hour)
	if _, err := c.Trim(ctx, fence, keep, false); err != nil {
		t.Fatal(err)
	}
	if done, err := c.Verify(t.Context(), key); err != nil || done.Chains != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	for range 2 {
		if err := gone.Write(t.Context(), chain.Notes{{First: began.Add(2 * time.Hour), Action: "look", Count: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	if done, err := c.Verify(t.Context(), key); err != nil || done.Chains != 2 {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := c.Trim(ctx, fleet.Fence{}, records.Keep{Since: began.Add(3 * time.Hour)}, false); !errors.Is(err, fault.LeadershipLost) {
		t.Errorf("without a leadership: %v", err)
	}
}

// What was done to the store without the key is found.
func TestVerify(t *testing.T) {
	l, etcd := fresh(t, 2)
	l.write(t, 450, 50)
	c := l.cores[0]
	if done, err := c.Verify(t.Context(), key); err != nil || done != (records.Checked{Chains: 2, Records: 450}) {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := c.Verify(t.Context(), []byte("another key")); !errors.Is(err, fault.AuditBroken) {
		t.Errorf("another key: %v", err)
	}
	records, err := etcd.Get(t.Context(), "/ruedo/main/audit/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	heads, err := etcd.Get(t.Context(), "/ruedo/main/audit-chains/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	ofChain := 0 // of the first chain in the list
	for _, kv := range records.Kvs {
		if bytes.HasPrefix(kv.Key, records.Kvs[0].Key[:len(records.Kvs[0].Key)-20]) {
			ofChain++
		}
	}
	at := func(i int) string { return string(records.Kvs[i].Key) }
	for what, op := range map[string]clientv3.Op{
		"one is changed":              clientv3.OpPut(at(7), string(bytes.Replace(records.Kvs[7].Value, []byte("look"), []byte("book"), 1))),
		"one is another":              clientv3.OpPut(at(7), string(records.Kvs[8].Value)),
		"one is gone":                 clientv3.OpDelete(at(7)),
		"the first is gone":           clientv3.OpDelete(at(0)),
		"many of the first are gone":  clientv3.OpDelete(at(0), clientv3.WithRange(at(30))),
		"the last is gone":            clientv3.OpDelete(at(ofChain - 1)),
		"all are gone but their end":  clientv3.OpDelete(at(0), clientv3.WithRange(at(ofChain-1)+"\x00")),
		"the end is that of another":  clientv3.OpPut(string(heads.Kvs[0].Key), string(heads.Kvs[1].Value)),
		"the end is an earlier place": clientv3.OpPut(string(heads.Kvs[0].Key), string(records.Kvs[ofChain-5].Value)),
		"the end is gone":             clientv3.OpDelete(string(heads.Kvs[0].Key)),
		"the end of another is gone":  clientv3.OpDelete(string(heads.Kvs[1].Key)),
		"the end is garbage":          clientv3.OpPut(string(heads.Kvs[0].Key), "\xff"),
	} {
		if _, err := etcd.Do(t.Context(), op); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Verify(t.Context(), key); !errors.Is(err, fault.AuditBroken) {
			t.Errorf("%s: %v", what, err)
		}
		var puts []clientv3.Op
		for _, kv := range append(records.Kvs[:40:40], append(records.Kvs[ofChain-40:ofChain:ofChain], heads.Kvs...)...) {
			puts = append(puts, clientv3.OpPut(string(kv.Key), string(kv.Value)))
		}
		if what == "all are gone but their end" {
			for _, kv := range records.Kvs[40 : ofChain-40] {
				if _, err := etcd.Put(t.Context(), string(kv.Key), string(kv.Value)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := etcd.Txn(t.Context()).Then(puts...).Commit(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Verify(t.Context(), key); err != nil {
			t.Fatalf("%s, repaired: %v", what, err)
		}
	}
}
