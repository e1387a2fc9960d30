package chain_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/chain/chaintest"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is an etcd with one cluster.
type site struct {
	*testing.T
	etcd  *clientv3.Client
	space keys.Space
}

func newSite(t *testing.T) *site {
	t.Helper()
	return &site{t, etcdtest.Start(t, etcdembed.Config{}).Client(), "/ruedo/main/"}
}

// open opens the store as a process does, over a way to etcd on which something
// happens from then on; nil means that nothing does.
func (s *site) open(cfg store.Config, w *way) *store.Store {
	s.Helper()
	client := clientv3.NewCtxClient(s.Context())
	client.KV, client.Lease, client.Watcher = s.etcd.KV, s.etcd.Lease, s.etcd.Watcher
	if w != nil {
		w.KV = client.KV
		client.KV = w
		defer func() { w.open = true }()
	}
	cfg.Client, cfg.Cluster, cfg.OpTimeout = client, "main", testkit.Patience
	opened, err := store.Open(s.Context(), cfg)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = opened.Close() })
	return opened
}

func create(t *testing.T, s *store.Store, name string) error {
	_, err := s.CreateDecorator(storetest.Context(t), &ruedov1.Decorator{Name: name, Limits: &ruedov1.Limits{MemoryBytes: 1 << 20}})
	return err
}

func remove(t *testing.T, s *store.Store, name string) error {
	_, err := s.DeleteDecorator(storetest.Context(t), name)
	return err
}

// records returns the records of all chains, in the order of the store, and checks
// that each chain is whole.
func (s *site) records(all ...[]byte) []*ruedov1.AuditRecord {
	s.Helper()
	got, err := s.etcd.Get(s.Context(), s.space.Audit(), clientv3.WithPrefix())
	if err != nil {
		s.Fatal(err)
	}
	all = append(all, chain.PublicKey(s.space))
	var list []*ruedov1.AuditRecord
	chains := map[string]*chaintest.Verifier{}
	last := map[string][]byte{}
	for _, kv := range got.Kvs {
		k, ok := s.space.Parse(string(kv.Key))
		if !ok {
			s.Fatalf("%s is not a key", kv.Key)
		}
		if chains[k.Name] == nil {
			chains[k.Name] = &chaintest.Verifier{Name: k.Name, Keys: all}
		}
		rec, err := chains[k.Name].Next(kv)
		if err != nil {
			s.Fatal(err)
		}
		list, last[k.Name] = append(list, rec), kv.Value
	}
	for name, value := range last {
		key, err := s.space.Key(keys.KindAuditChain, name)
		if err != nil {
			s.Fatal(err)
		}
		if head, err := s.etcd.Get(s.Context(), key); err != nil || len(head.Kvs) != 1 || !bytes.Equal(head.Kvs[0].Value, value) {
			s.Fatalf("the end of chain %s is not its last record: %v", name, err)
		}
	}
	slices.SortStableFunc(list, func(a, b *ruedov1.AuditRecord) int { return cmp.Compare(a.GetVersion(), b.GetVersion()) })
	return list
}

// agrees checks that what the records say was made and deleted is what is there.
func (s *site) agrees() {
	s.Helper()
	want := map[string]int64{}
	for _, r := range s.records() {
		switch r.GetAction() {
		case "create":
			want[r.GetName()] = r.GetAfter()
		case "delete":
			delete(want, r.GetName())
		}
	}
	got, err := s.etcd.Get(s.Context(), s.space.Prefix(keys.KindDecorator), clientv3.WithPrefix())
	if err != nil {
		s.Fatal(err)
	}
	for _, kv := range got.Kvs {
		k, _ := s.space.Parse(string(kv.Key))
		if want[k.Name] != kv.ModRevision {
			s.Errorf("decorator %s is there since %d, the audit says %d", k.Name, kv.ModRevision, want[k.Name])
		}
		delete(want, k.Name)
	}
	for name := range want {
		s.Errorf("the audit says that decorator %s is there", name)
	}
}

func TestAChangeIsWrittenWithItsRecord(t *testing.T) {
	s := newSite(t)
	st := s.open(store.Config{}, nil)
	wasm := storetest.Wasm("a")
	storetest.Put(t, st, wasm)
	ctx := access.With(t.Context(), &access.Request{
		Principal: &access.Principal{Name: "user/ada", Token: "7kq2m9x4tb", Grants: access.Set{access.Everything}}, From: "192.0.2.1", Via: access.ViaTLS,
	})
	svc, _, err := st.Publish(ctx, store.Publication{
		Service: storetest.Service("greet", 1, wasm, "small"),
		Changes: []store.Change{{Decorator: &ruedov1.Decorator{Name: "small"}, New: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	deleted, err := st.DeleteService(ctx, "greet")
	if err != nil {
		t.Fatal(err)
	}
	list := s.records()
	var said []string
	for _, r := range list {
		said = append(said, fmt.Sprintf("%s %s %s %s", r.GetPrincipal(), r.GetAction(), r.GetNoun(), strings.TrimSpace(r.GetName()+" "+r.GetSummary())))
		if took := time.Since(r.GetTime().AsTime()); took < 0 || took > time.Minute {
			t.Errorf("%s is of %s", r.GetAction(), r.GetTime().AsTime())
		}
	}
	want := []string{
		"user/test upload module " + storetest.Digest(wasm),
		"user/ada publish service greet revision 1",
		"user/ada create decorator small revision 1",
		"user/ada delete service greet",
	}
	if !slices.Equal(said, want) {
		t.Fatalf("got\n\t%s\nwant\n\t%s", strings.Join(said, "\n\t"), strings.Join(want, "\n\t"))
	}
	if r := list[1]; r.GetToken() != "7kq2m9x4tb" || r.GetFrom() != "192.0.2.1" || r.GetVia() != "tls" || r.GetAfter() != svc.GetVersion() || r.GetBefore() != 0 {
		t.Errorf("%v", r)
	}
	if r := list[3]; r.GetAfter() != deleted || r.GetSeq() != 4 || r.GetChain() != list[0].GetChain() {
		t.Errorf("%v", r)
	}
}

func TestNobodyChangesNothing(t *testing.T) {
	s := newSite(t)
	st := s.open(store.Config{}, nil)
	_, err := st.CreateDecorator(t.Context(), &ruedov1.Decorator{Name: "small"})
	testkit.WantReason(t, err, fault.Internal, "nothing says who wants to create decorator small")
	_, err = st.Guard().Commit(storetest.Context(t), chain.Change{Noun: "decorator", Name: "small"}, nil, []clientv3.Op{clientv3.OpPut("/ruedo/main/decorators/small", "")}, nil)
	testkit.WantReason(t, err, fault.Internal, "does not say what is done")
	if n := len(s.records()); n != 0 {
		t.Errorf("%d records", n)
	}
	if _, err := st.Decorator(t.Context(), "small"); !errors.Is(err, fault.DecoratorNotFound) {
		t.Errorf("it was written: %v", err)
	}
}

func TestAChangeThatIsRefusedHasNoRecord(t *testing.T) {
	s := newSite(t)
	st := s.open(store.Config{}, nil)
	if err := create(t, st, "small"); err != nil {
		t.Fatal(err)
	}
	testkit.WantReason(t, create(t, st, "small"), fault.AlreadyExists)
	testkit.WantReason(t, remove(t, st, "large"), fault.DecoratorNotFound)
	if err := remove(t, st, "small"); err != nil {
		t.Fatal(err)
	}
	s.agrees()
	if n := len(s.records()); n != 2 {
		t.Errorf("%d records", n)
	}
}

// way is a way to etcd.
type way struct {
	clientv3.KV
	// on is called with the number of each request, from 1. It sends the request
	// itself, if it wants to.
	on func(n int, send func() error) error

	mu   sync.Mutex
	open bool
	n    int
}

func (w *way) next(send func() error) error {
	if !w.open {
		return send()
	}
	w.mu.Lock()
	w.n++
	n := w.n
	w.mu.Unlock()
	return w.on(n, send)
}

func (w *way) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (res *clientv3.GetResponse, err error) {
	err = w.next(func() (err error) { res, err = w.KV.Get(ctx, key, opts...); return err })
	return res, err
}

func (w *way) Txn(ctx context.Context) clientv3.Txn {
	return &txn{Txn: w.KV.Txn(context.WithoutCancel(ctx)), w: w}
}

type txn struct {
	clientv3.Txn
	w *way
}

func (t *txn) If(c ...clientv3.Cmp) clientv3.Txn  { t.Txn = t.Txn.If(c...); return t }
func (t *txn) Then(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(o...); return t }
func (t *txn) Else(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(o...); return t }

func (t *txn) Commit() (res *clientv3.TxnResponse, err error) {
	err = t.w.next(func() (err error) { res, err = t.Txn.Commit(); return err })
	return res, err
}

var errGone = errors.New("no answer came")

// A process that dies before or after any of its requests leaves no change without
// its record, and no record without its change.
func TestKilledBetweenAnyTwoSteps(t *testing.T) {
	s := newSite(t)
	steps := 0
	for _, sent := range []bool{false, true} {
		for at := 1; ; at++ {
			died := false
			st := s.open(store.Config{}, &way{on: func(n int, send func() error) error {
				if n < at {
					return send()
				}
				if n == at && sent {
					_ = send()
				}
				died = true
				return errGone
			}})
			name := fmt.Sprintf("n-%t-%d", sent, at)
			_, _, _ = create(t, st, name), create(t, st, name+"-other"), remove(t, st, name)
			s.agrees()
			if !died {
				break
			}
			steps++
		}
	}
	if steps < 8 {
		t.Errorf("only %d places to die", steps)
	}
}

// The answer to a write never comes, whether the write was made or not; the next one
// goes on where the chain is.
func TestAnAnswerThatNeverCame(t *testing.T) {
	for _, sent := range []bool{false, true} {
		s := newSite(t)
		st := s.open(store.Config{}, &way{on: func(n int, send func() error) error {
			if n != 2 { // the second creation
				return send()
			}
			if sent {
				_ = send()
			}
			return errGone
		}})
		if err := create(t, st, "one"); err != nil {
			t.Fatal(err)
		}
		if err := create(t, st, "two"); err == nil {
			t.Fatal("no answer is an answer")
		}
		for _, name := range []string{"three", "four"} {
			if err := create(t, st, name); err != nil {
				t.Fatal(err)
			}
		}
		s.agrees()
		want := 3
		if sent {
			want = 4
		}
		list := s.records()
		if len(list) != want || list[0].GetChain() != list[want-1].GetChain() {
			t.Errorf("sent: %t: %d records, want %d of one chain", sent, len(list), want)
		}
	}
}

// A write arrives after its process gave it up: before the next write, which then
// goes on after it, or later, when it comes to nothing.
func TestAWriteThatArrivesLate(t *testing.T) {
	for _, c := range []struct {
		when  int // the request before which it arrives: 3 reads the end of the chain, 4 writes
		there bool
	}{{3, true}, {4, true}, {5, false}} {
		s := newSite(t)
		var late func() error
		st := s.open(store.Config{}, &way{on: func(n int, send func() error) error {
			if n == 2 {
				late = send
				return errGone
			}
			if n == c.when {
				_ = late()
			}
			return send()
		}})
		if err := create(t, st, "one"); err != nil {
			t.Fatal(err)
		}
		if err := create(t, st, "late"); err == nil {
			t.Fatal("no answer is an answer")
		}
		for _, name := range []string{"two", "three", "four"} {
			if err := create(t, st, name); err != nil {
				t.Fatal(err)
			}
		}
		s.agrees()
		there := slices.ContainsFunc(s.records(), func(r *ruedov1.AuditRecord) bool { return r.GetName() == "late" })
		if there != c.there {
			t.Errorf("arrived before request %d, it is there: %t", c.when, there)
		}
	}
}

func TestManyWriteAtTheSameTime(t *testing.T) {
	s := newSite(t)
	const cores, writers, each = 2, 4, 8
	var wg sync.WaitGroup
	for c := range cores {
		st := s.open(store.Config{}, nil)
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					if err := create(t, st, fmt.Sprintf("d-%d-%d-%d", c, w, i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	s.agrees()
	list := s.records()
	chains := map[string]bool{}
	for _, r := range list {
		chains[r.GetChain()] = true
	}
	if len(list) != cores*writers*each || len(chains) != cores {
		t.Errorf("%d records in %d chains", len(list), len(chains))
	}
}

// Whoever waits for its turn gives up with its own context.
func TestATurnIsWaitedForNoLongerThanTheCaller(t *testing.T) {
	s := newSite(t)
	held, free := make(chan struct{}), make(chan struct{})
	st := s.open(store.Config{}, &way{on: func(n int, send func() error) error {
		if n == 1 {
			close(held)
			<-free
		}
		return send()
	}})
	first := make(chan error, 1)
	go func() { first <- create(t, st, "one") }()
	<-held
	ctx, cancel := context.WithTimeout(storetest.Context(t), 10*time.Millisecond)
	defer cancel()
	if _, err := st.CreateDecorator(ctx, &ruedov1.Decorator{Name: "two"}); err != context.DeadlineExceeded {
		t.Errorf("%v", err)
	}
	close(free)
	if err := <-first; err != nil {
		t.Error(err)
	}
	s.agrees()
}

// A full store takes deletions; their records come when there is room.
func TestAFullStore(t *testing.T) {
	s := newSite(t)
	var full error
	st := s.open(store.Config{Quota: func() error { return full }}, nil)
	for _, name := range []string{"one", "two"} {
		if err := create(t, st, name); err != nil {
			t.Fatal(err)
		}
	}
	full = fault.New(fault.StoreFull, "full")
	testkit.WantReason(t, create(t, st, "three"), fault.StoreFull)
	for _, name := range []string{"one", "two"} {
		if err := remove(t, st, name); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.records()); n != 2 {
		t.Fatalf("%d records", n)
	}
	st.Guard().Probe(t.Context()) // there still is none
	full = nil
	st.Guard().Probe(t.Context())
	list := s.records()
	if len(list) != 4 {
		t.Fatalf("%d records after there was room", len(list))
	}
	for i, r := range list[2:] {
		if r.GetAction() != "delete" || !r.GetLate() || r.GetAfter() >= r.GetVersion() || r.GetAfter() <= list[1].GetVersion() {
			t.Errorf("record %d: %v", i, r)
		}
	}
	if err := create(t, st, "three"); err != nil {
		t.Error(err)
	}
	if n := len(s.records()); n != 5 {
		t.Errorf("%d records", n)
	}
}

func TestAnotherKeyBeginsAnotherChain(t *testing.T) {
	s := newSite(t)
	var key []byte
	st := s.open(store.Config{AuditKey: func() []byte { return key }}, nil)
	var chains []string
	secret := []byte("32 bytes that nobody else can know")
	for i, k := range [][]byte{nil, nil, secret, secret} {
		key = k
		if err := create(t, st, fmt.Sprintf("d-%d", i)); err != nil {
			t.Fatal(err)
		}
		list := s.records(secret)
		chains = append(chains, list[len(list)-1].GetChain())
	}
	if chains[0] != chains[1] || chains[1] == chains[2] || chains[2] != chains[3] {
		t.Errorf("%q", chains)
	}
}

func TestAChainThatWasRemovedIsBegunAgain(t *testing.T) {
	s := newSite(t)
	st := s.open(store.Config{}, nil)
	for _, name := range []string{"one", "two"} {
		if err := create(t, st, name); err != nil {
			t.Fatal(err)
		}
		for _, prefix := range []string{s.space.Audit(), s.space.Prefix(keys.KindAuditChain)} {
			if _, err := s.etcd.Delete(t.Context(), prefix, clientv3.WithPrefix()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := create(t, st, "three"); err != nil {
		t.Fatal(err)
	}
	if list := s.records(); len(list) != 1 || list[0].GetSeq() != 1 {
		t.Errorf("%v", list)
	}
}

func TestNotesAreNoChanges(t *testing.T) {
	s := newSite(t)
	st := s.open(store.Config{}, nil)
	by := &access.Request{Principal: &access.Principal{Name: access.Anonymous}, From: "192.0.2.1", Via: access.ViaTCP}
	_, err := st.Guard().Commit(t.Context(), chain.Notes{
		{First: time.Unix(1, 0), By: by, Action: "login", Noun: "user", Name: "\xff" + strings.Repeat("x", 1000), Reason: fault.Unauthenticated, Count: 7},
		{First: time.Unix(2, 0), Action: "flood", Summary: "9 more", Count: 9},
	}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	list := s.records()
	if len(list) != 2 || list[0].GetCount() != 7 || list[0].GetAfter() != 0 || len(list[0].GetName()) > 256 || list[0].GetReason() != "UNAUTHENTICATED" || list[0].GetFrom() != "192.0.2.1" {
		t.Errorf("%v", list)
	}
}

// Whoever changes, removes, moves or adds a record without the key is found.
func TestTampering(t *testing.T) {
	s := newSite(t)
	key := []byte("32 bytes that nobody else can know")
	st := s.open(store.Config{AuditKey: func() []byte { return key }}, nil)
	for i := range 5 {
		if err := create(t, st, fmt.Sprintf("d-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.etcd.Get(t.Context(), s.space.Audit(), clientv3.WithPrefix())
	if err != nil || len(got.Kvs) != 5 {
		t.Fatal(err)
	}
	copied := func() []*mvccpb.KeyValue {
		var kvs []*mvccpb.KeyValue
		for _, kv := range got.Kvs {
			kvs = append(kvs, &mvccpb.KeyValue{Key: bytes.Clone(kv.Key), Value: bytes.Clone(kv.Value)})
		}
		return kvs
	}
	edit := func(kv *mvccpb.KeyValue, change func(*ruedov1.AuditRecord)) {
		r := &ruedov1.AuditRecord{}
		if err := proto.Unmarshal(kv.Value, r); err != nil {
			t.Fatal(err)
		}
		change(r)
		if kv.Value, err = (proto.MarshalOptions{Deterministic: true}).Marshal(r); err != nil {
			t.Fatal(err)
		}
	}
	public := func() []byte { return chain.PublicKey(s.space) }
	for what, tamper := range map[string]func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue{
		"nothing": func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue { return kvs },
		"a record says another name": func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
			edit(kvs[2], func(r *ruedov1.AuditRecord) { r.Principal = "user/bob" })
			return kvs
		},
		"a bit of a record": func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue { kvs[2].Value[3] ^= 1; return kvs },
		"a bit of a code":   func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue { kvs[2].Value[len(kvs[2].Value)-1] ^= 1; return kvs },
		"the code is gone": func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
			kvs[2].Value = kvs[2].Value[:len(kvs[2].Value)-35]
			return kvs
		},
		"a record is gone":  func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue { return slices.Delete(kvs, 2, 3) },
		"the first is gone": func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue { return kvs[1:] },
		"two changed places": func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
			kvs[1].Value, kvs[2].Value = kvs[2].Value, kvs[1].Value
			return kvs
		},
		"a later one is there twice": func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue { kvs[4].Value = kvs[3].Value; return kvs },
		"a record is garbage":        func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue { kvs[0].Value = []byte("\xff"); return kvs },
		"it is another chain": func(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
			for i, kv := range kvs {
				kv.Key = fmt.Appendf(nil, "%sother/%020d", s.space.Audit(), i+1)
			}
			return kvs
		},
	} {
		kvs := tamper(copied())
		v := &chaintest.Verifier{Name: chainOf(s, got.Kvs[0]), Keys: [][]byte{public(), key}}
		var err error
		for _, kv := range kvs {
			if err == nil {
				_, err = v.Next(kv)
			}
		}
		if what == "nothing" {
			if err != nil || !v.Has(key) {
				t.Error(err)
			}
			continue
		}
		if !errors.Is(err, fault.AuditBroken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Without the key, it is not even the beginning of a chain.
	v := &chaintest.Verifier{Name: chainOf(s, got.Kvs[0]), Keys: [][]byte{public()}}
	_, err = v.Next(got.Kvs[0])
	testkit.WantReason(t, err, fault.AuditBroken)
}

// chainOf returns the name of the chain of a record.
func chainOf(s *site, kv *mvccpb.KeyValue) string {
	k, _ := s.space.Parse(string(kv.Key))
	return k.Name
}
