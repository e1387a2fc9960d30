package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/backup"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	"github.com/ruedo-dev/ruedo/core/store/whole"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/archive"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a store with its mirror, as a core has them.
type site struct {
	store   *store.Store
	mirror  *mirror.Mirror
	backups *backup.Backups
}

// open opens a cluster. Sites of one cluster are like cores on one store.
func open(t *testing.T, etcd *etcdembed.Server, cluster string) *site {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Client: etcd.Client(), Cluster: cluster})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	m, err := mirror.Open(t.Context(), mirror.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return &site{s, m, backup.New(backup.Config{Store: s, Mirror: m, Version: "test"})}
}

// fill publishes n services with two revisions each, and a decorator.
func (s *site) fill(t *testing.T, n int) {
	t.Helper()
	for range 2 {
		if _, err := s.store.CreateDecorator(storetest.Context(t), &ruedov1.Decorator{Name: "small", Limits: &ruedov1.Limits{MemoryBytes: 1 << 20}}); err != nil && !errors.Is(err, fault.AlreadyExists) {
			t.Fatal(err)
		}
	}
	for i := range n {
		name := fmt.Sprint("service-", i)
		wasm := storetest.Wasm(fmt.Sprint(i % 3))
		storetest.Put(t, s.store, wasm)
		first := storetest.Publish(t, s.store, storetest.Service(name, 1, wasm, "small"), 0)
		storetest.Publish(t, s.store, storetest.Service(name, 2, wasm, "small"), first.GetVersion())
	}
}

func (s *site) write(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.backups.Write(t.Context(), &b, false); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// catalog returns an archive without its modules, which are uploaded to s.
func (s *site) catalog(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := archive.NewReader(bytes.NewReader(data), archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, r.Header())
	if err != nil {
		t.Fatal(err)
	}
	for e, err := r.Next(); err == nil; e, err = r.Next() {
		if _, ok := e.Module(); ok {
			storetest.Put(t, s.store, e.Value)
		} else if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// has says what a site knows without reading the store.
func (s *site) has() string {
	snap := s.mirror.Snapshot()
	return fmt.Sprintf("%d services, %d decorators", len(snap.Services), len(snap.Decorators))
}

func TestACatalogIsCarriedToAnotherCluster(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	from, to := open(t, etcd, "main"), open(t, etcd, "other")
	from.fill(t, 110) // more revisions than a page and a transaction hold
	data := from.write(t)
	if _, sum, err := archive.Verify(bytes.NewReader(data), archive.Limits{}); err != nil || sum.Services != 110 || sum.Revisions != 220 || sum.Modules != 3 {
		t.Fatalf("%+v, %v", sum, err)
	}
	res, err := to.backups.Restore(storetest.Context(t), backup.Request{Archive: to.catalog(t, data)})
	if err != nil {
		t.Fatal(err)
	}
	if got := to.has(); res.GetServices() != 110 || res.GetRevisions() != 220 || got != "110 services, 1 decorators" {
		t.Errorf("%v, the mirror has %s", res, got)
	}
	want, err := from.store.Service(t.Context(), "service-7")
	if err != nil {
		t.Fatal(err)
	}
	got, err := to.store.Service(t.Context(), "service-7")
	if err != nil {
		t.Fatal(err)
	}
	got.Version = want.Version
	storetest.Same(t, got, want)
	// The cluster works on from there.
	if _, err := to.store.DeleteService(storetest.Context(t), "service-7"); err != nil {
		t.Error(err)
	}
}

// What is live can be copied alone; it is a catalog like any other.
func TestOnlyWhatIsLiveIsCopied(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	from, to := open(t, etcd, "main"), open(t, etcd, "other")
	from.fill(t, 2)
	other := storetest.Wasm("not live")
	storetest.Put(t, from.store, other)
	was, err := from.store.Service(t.Context(), "service-0")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Publish(t, from.store, storetest.Service("service-0", 3, other, "small"), was.GetVersion())
	now, err := from.store.Service(t.Context(), "service-0")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Publish(t, from.store, storetest.Service("service-0", 4, storetest.Wasm("0"), "small"), now.GetVersion())

	var b bytes.Buffer
	if _, err := from.backups.Write(t.Context(), &b, true); err != nil {
		t.Fatal(err)
	}
	_, sum, err := archive.Verify(bytes.NewReader(b.Bytes()), archive.Limits{})
	if err != nil || sum.Services != 2 || sum.Revisions != 2 || sum.Decorators != 1 || sum.DecoratorRevisions != 0 || sum.Modules != 2 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if _, err := to.backups.Restore(storetest.Context(t), backup.Request{Archive: to.catalog(t, b.Bytes())}); err != nil {
		t.Fatal(err)
	}
	got, err := to.store.Revision(t.Context(), "service-0", 4)
	if err != nil {
		t.Fatal(err)
	}
	want, err := from.store.Revision(t.Context(), "service-0", 4)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, got, want)
}

// A backup of an older storage format is converted, one of a newer one is refused.
func TestABackupOfAnotherFormat(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	from := open(t, etcd, "main")
	from.fill(t, 3)
	newer, err := store.Open(t.Context(), store.Config{Client: etcd.Client(), Cluster: "newer", Format: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = newer.Close() })
	m, err := mirror.Open(t.Context(), mirror.Config{Store: newer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	converted := 0
	cfg := backup.Config{Store: newer, Mirror: m, Convert: func(from, to uint32, _ string, value []byte) ([]byte, error) {
		if from != 2 || to != 3 {
			t.Errorf("from %d to %d", from, to)
		}
		converted++
		return value, nil
	}}
	to := &site{newer, m, backup.New(cfg)}
	if _, err := to.backups.Restore(storetest.Context(t), backup.Request{Archive: to.catalog(t, from.write(t))}); err != nil {
		t.Fatal(err)
	}
	if got := to.has(); got != "3 services, 1 decorators" || converted != 2*10 { // checked, then written
		t.Errorf("%s, %d values were converted", got, converted)
	}
	if _, err := from.backups.Restore(storetest.Context(t), backup.Request{Archive: from.catalog(t, to.write(t)), Force: true}); !errors.Is(err, fault.BackupInvalid) || !strings.Contains(err.Error(), "of a store of format 3, this core knows 2") {
		t.Errorf("%v", err)
	}
	cfg.Convert = nil
	to.backups = backup.New(cfg)
	if _, err := to.backups.Restore(storetest.Context(t), backup.Request{Archive: to.catalog(t, from.write(t)), Force: true}); !errors.Is(err, fault.BackupInvalid) {
		t.Errorf("%v", err)
	}
}

func TestACatalogIsReplacedOnlyWithForce(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	one, two := open(t, etcd, "main"), open(t, etcd, "main")
	one.fill(t, 2)
	data := one.catalog(t, one.write(t))
	if _, err := one.store.DeleteService(storetest.Context(t), "service-1"); err != nil {
		t.Fatal(err)
	}
	storetest.Publish(t, one.store, storetest.Service("later", 1, storetest.Wasm("0")), 0)
	_, err := one.backups.Restore(storetest.Context(t), backup.Request{Archive: data})
	if !errors.Is(err, fault.StoreNotEmpty) {
		t.Fatalf("without force: %v", err)
	}
	if _, err := one.backups.Restore(storetest.Context(t), backup.Request{Archive: data, Force: true}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*site{one, two} { // the other core follows
		testkit.Eventually(t, "the restored catalog in every core", func() bool {
			snap := s.mirror.Snapshot()
			return len(snap.Services) == 2 && snap.Services["service-1"] != nil && snap.Services["later"] == nil
		})
	}
	storetest.Publish(t, two.store, storetest.Service("later", 1, storetest.Wasm("0")), 0)
}

// A restore that was interrupted leaves all cores with what they had in memory;
// one that is started meanwhile knows nothing and says why. Repeating it mends all.
func TestAnInterruptedRestoreIsSaidAndRepeated(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	one, two := open(t, etcd, "main"), open(t, etcd, "main")
	one.fill(t, 3)
	data := one.catalog(t, one.write(t))
	storetest.Publish(t, one.store, storetest.Service("later", 1, storetest.Wasm("0")), 0)
	cut := errors.New("the plug was pulled")
	for _, s := range []*site{one, two} {
		testkit.Eventually(t, "all services in every core", func() bool { return len(s.mirror.Snapshot().Services) == 4 })
	}
	_, err := whole.Replace(storetest.Context(t), one.store.Cluster(), one.store.Chain(), whole.Replacement{Force: true, Backup: "cluster main of today", Values: broken(cut)})
	if !errors.Is(err, fault.StoreRestoring) || !errors.Is(err, cut) {
		t.Fatalf("%v", err)
	}
	for _, s := range []*site{one, two} {
		testkit.Eventually(t, "the alarm", func() bool { return len(s.mirror.Alarms()) > 0 })
		if got := s.mirror.Alarms()[0]; got.Reason != fault.StoreRestoring || !strings.Contains(got.Message, "cluster main of today") {
			t.Errorf("%v", got)
		}
		if s.mirror.Snapshot().Services["later"] == nil {
			t.Errorf("memory was not kept: %s", s.has())
		}
		if _, err := s.store.DeleteService(storetest.Context(t), "later"); !errors.Is(err, fault.StoreRestoring) {
			t.Errorf("a write: %v", err)
		}
	}
	three := open(t, etcd, "main")
	if err := three.mirror.Snapshot().Fault(keys.KindService, "later"); !errors.Is(err, fault.StoreRestoring) {
		t.Errorf("a core that starts meanwhile: %v", err)
	}
	if _, err := three.backups.Write(t.Context(), new(bytes.Buffer), false); !errors.Is(err, fault.StoreRestoring) {
		t.Errorf("a backup of half a catalog: %v", err)
	}
	if _, err := three.backups.Restore(storetest.Context(t), backup.Request{Archive: data}); err != nil { // needs no force
		t.Fatal(err)
	}
	for _, s := range []*site{one, two, three} {
		testkit.Eventually(t, "the restored catalog in every core", func() bool {
			return len(s.mirror.Alarms()) == 0 && s.has() == "3 services, 1 decorators" && s.mirror.Snapshot().Fault(keys.KindService, "x") == nil
		})
	}
}

// broken yields one value and then an error.
func broken(err error) iter.Seq2[whole.Value, error] {
	return func(yield func(whole.Value, error) bool) {
		if yield(whole.Value{Path: "decorators/small"}, nil) {
			yield(whole.Value{}, err)
		}
	}
}

// Of two restores the later one takes over, and the earlier one cannot write any
// more.
func TestTheLaterOfTwoRestoresWins(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	s := open(t, etcd, "main")
	s.fill(t, 3)
	data := s.catalog(t, s.write(t))
	var second error
	_, err := whole.Replace(storetest.Context(t), s.store.Cluster(), s.store.Chain(), whole.Replacement{Force: true, Backup: "the first", Values: func(yield func(whole.Value, error) bool) {
		_, second = s.backups.Restore(storetest.Context(t), backup.Request{Archive: data})
		yield(whole.Value{Path: "decorators/first"}, nil)
	}})
	if second != nil || !errors.Is(err, fault.StoreRestoring) || !strings.Contains(err.Error(), "takes over") {
		t.Fatalf("the first: %v; the second: %v", err, second)
	}
	if got := s.has(); got != "3 services, 1 decorators" {
		t.Error(got)
	}
}

func TestWhatCannotBeRestoredReplacesNothing(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	from, to := open(t, etcd, "main"), open(t, etcd, "other")
	from.fill(t, 3)
	data := from.catalog(t, from.write(t))
	for name, c := range map[string]struct {
		data []byte
		want fault.Reason
	}{
		"cut off":        {data[:len(data)-10], fault.BackupInvalid},
		"without module": {data, fault.ModuleNotFound},
		"with modules":   {from.write(t), fault.BackupInvalid},
		"something else": {[]byte("hello"), fault.BackupInvalid},
	} {
		if _, err := to.backups.Restore(storetest.Context(t), backup.Request{Archive: c.data, Force: true}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if alarms := to.mirror.Alarms(); len(alarms) > 0 || to.has() != "0 services, 0 decorators" {
		t.Errorf("%v, %s", alarms, to.has())
	}
}

func TestDamageIsNotCopied(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	s := open(t, etcd, "main")
	s.fill(t, 1)
	if _, err := etcd.Client().Put(t.Context(), "/ruedo/main/services/service-0", "\xff"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.backups.Write(t.Context(), new(bytes.Buffer), false); !errors.Is(err, fault.Integrity) || !strings.Contains(err.Error(), "services/service-0") {
		t.Errorf("%v", err)
	}
}

// The backup that a migration begins with goes to a new file, or the error says why
// not and leaves nothing behind.
func TestABackupThatCannotBeSaved(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	s := open(t, etcd, "main")
	s.fill(t, 3)
	dir := t.TempDir()
	path, err := backup.Save(t.Context(), s.store.Cluster(), filepath.Join(dir, "backups"), "test")
	if err != nil {
		t.Fatal(err)
	}
	saved, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, sum, err := archive.Verify(bytes.NewReader(saved), archive.Limits{}); err != nil || sum.Services != 3 || sum.Modules != 3 {
		t.Errorf("%+v, %v", sum, err)
	}
	if _, err := backup.Save(t.Context(), s.store.Cluster(), path, "test"); !errors.Is(err, fault.DataDir) || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("into a file: %v", err)
	}
	if _, err := etcd.Client().Put(t.Context(), "/ruedo/main/modules/"+storetest.Digest(storetest.Wasm("1"))+"/chunks/000000", "damaged"); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Save(t.Context(), s.store.Cluster(), filepath.Dir(path), "test"); !errors.Is(err, fault.Integrity) {
		t.Errorf("with a damaged module: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v is left behind, %v", left, err)
	}
}

func TestBackupsAreBounded(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	s := open(t, etcd, "main")
	s.fill(t, 1)
	// Each message of a backup begins another one, until there are too many.
	running, most := 0, 0
	var refused error
	var send func(*ruedov1.ReadBackupResponse) error
	send = func(*ruedov1.ReadBackupResponse) error {
		if running++; running > 10 {
			return errors.New("they are not bounded")
		}
		most = max(most, running)
		if err := s.backups.Send(t.Context(), nil, send); refused == nil {
			refused = err
		}
		running--
		return nil
	}
	if err := s.backups.Send(t.Context(), nil, send); err != nil {
		t.Error(err)
	}
	if most != backup.MaxParallel || !errors.Is(refused, fault.ServerBusy) {
		t.Errorf("%d at a time, want %d; then %v", most, backup.MaxParallel, refused)
	}
}

// Who may do what is not in a backup, and a restore leaves it as it is: it belongs to
// the cluster, not to the catalog.
func TestABackupHasNoCredentials(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	s := open(t, etcd, "main")
	s.fill(t, 1)
	people := principals.New(principals.Config{Cluster: s.store.Cluster(), Guard: s.store.Guard(), Missing: s.store.Missing})
	ctx := storetest.Context(t)
	if _, err := people.RequireLogin(ctx, func(context.Context) (principals.First, error) {
		return principals.First{Keyring: &storev1.Keyring{File: []byte("canary")}, Authority: &storev1.Authority{Key: []byte("canary")}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	_, err := people.Write(ctx, principals.Batch{
		Change: chain.Change{Action: "create", Noun: "user", Name: "ada"},
		If:     []principals.Seen{{Kind: keys.KindUser, Name: "ada"}, {Kind: keys.KindToken, Name: "t"}, {Kind: keys.KindRole, Name: "r"}},
		Users:  []*storev1.User{{User: &ruedov1.User{Name: "ada"}, Password: "canary"}},
		Tokens: []*storev1.Token{{Token: &ruedov1.Token{User: "ada", Id: "t"}, Hash: []byte("canary")}},
		Roles:  []*storev1.Role{{Role: &ruedov1.Role{Name: "r", Description: "canary"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	// others returns all keys that are neither of the catalog nor new, with their versions.
	others := func() map[string]int64 {
		t.Helper()
		got, err := etcd.Client().Get(ctx, "/ruedo/main/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]int64{}
		for _, kv := range got.Kvs {
			k, ok := s.store.Cluster().Space().Parse(string(kv.Key))
			if !ok {
				t.Errorf("%s", kv.Key)
			}
			switch k.Kind {
			case keys.KindAccess, keys.KindUser, keys.KindToken, keys.KindRole, keys.KindAuthority, keys.KindSeal, keys.KindAuditRecord:
				all[string(kv.Key)] = kv.ModRevision
			}
		}
		return all
	}
	before := others()
	data := s.write(t)
	r, err := archive.NewReader(bytes.NewReader(data), archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for e, err := r.Next(); err == nil; e, err = r.Next() {
		if bytes.Contains(e.Value, []byte("canary")) {
			t.Errorf("%s is in the backup", e.Path)
		}
	}
	if _, err := s.backups.Restore(ctx, backup.Request{Archive: s.catalog(t, data), Force: true}); err != nil {
		t.Fatal(err)
	}
	after := others()
	for key, version := range before {
		if after[key] != version {
			t.Errorf("%s was changed by the restore", key)
		}
	}
	if len(before) < 6 || len(after) != len(before)+2 { // its beginning and its end are recorded
		t.Errorf("%d keys before, %d after", len(before), len(after))
	}
	if got := s.has(); got != "1 services, 1 decorators" {
		t.Error(got)
	}
	// What somebody has put there is refused.
	_, err = whole.Replace(ctx, s.store.Cluster(), s.store.Chain(), whole.Replacement{Force: true, Values: func(yield func(whole.Value, error) bool) {
		yield(whole.Value{Path: "users/eve"}, nil)
	}})
	testkit.WantReason(t, err, fault.StoreRestoring, `"users/eve" is not part of a catalog`)
}
