package store

import (
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/storetest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestACoreDoesNotStartOnWhatIsLeftOfACluster(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{})
	if _, err := e.Client().Put(t.Context(), "/ruedo/main/cores/c1", ""); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Config{Client: e.Client(), Cluster: "main"})
	testkit.WantReason(t, err, fault.StoreEmpty, "registered cores", "--accept-empty")
	open(t, Config{Client: e.Client(), AcceptEmpty: true})
}

func TestAWriteIsNotAcknowledgedIfTheDirectoryWentMeanwhile(t *testing.T) {
	checks := 0
	s := open(t, Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client(), Check: func() error {
		if checks++; checks == 2 { // after the transaction
			return fault.New(fault.DataDirLost, "gone")
		}
		return nil
	}})
	_, err := s.CreateDecorator(storetest.Context(t), decorator("small"))
	testkit.WantReason(t, err, fault.DataDirLost)
}

func TestWritesEndWithTheWriteThatFilledTheDisk(t *testing.T) {
	checks := 0
	s := open(t, Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client(), Check: func() error {
		if checks++; checks >= 2 { // after the transaction
			return fault.New(fault.StoreFull, "full").WithFix("make room")
		}
		return nil
	}})
	if _, err := s.CreateDecorator(storetest.Context(t), decorator("small")); err != nil {
		t.Fatalf("a write that filled the disk: %v", err)
	}
	_, err := s.CreateDecorator(storetest.Context(t), decorator("large"))
	testkit.WantReason(t, err, fault.StoreFull, "make room")
	if _, err := s.Decorator(t.Context(), "small"); err != nil {
		t.Errorf("a read: %v", err)
	}
}

func TestALostServiceIsPublishedAfterItsHighestRevision(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	live, err := s.Published(t.Context(), "greet")
	if err != nil || !proto.Equal(live, &ruedov1.Service{Name: "greet"}) {
		t.Fatalf("a new service: %v, %v", live, err)
	}
	version := int64(0)
	for n := range uint64(11) {
		version = storetest.Publish(t, s, storetest.Service("greet", n+1, storetest.Wasm("a")), version).GetVersion()
		if latest, err := s.revisions("greet").Latest(t.Context()); err != nil || latest != n+1 {
			t.Fatalf("latest %d, %v, want %d", latest, err, n+1)
		}
	}
	if live, err = s.Published(t.Context(), "greet"); err != nil || live.GetVersion() != version {
		t.Fatalf("%v, %v", live, err)
	}
	if _, err := s.client.Delete(t.Context(), "/ruedo/main/services/greet"); err != nil {
		t.Fatal(err)
	}
	// Numbers may have gaps.
	if _, err := s.client.Delete(t.Context(), "/ruedo/main/revisions/greet/00000000000000000008"); err != nil {
		t.Fatal(err)
	}
	live, err = s.Published(t.Context(), "greet")
	if err != nil || live.GetLatest() != 11 || live.GetVersion() != 0 {
		t.Fatalf("%v, %v", live, err)
	}
	storetest.Publish(t, s, storetest.Service("greet", live.GetLatest()+1, storetest.Wasm("a")), live.GetVersion())
}

func TestRevisionsComeInPages(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	version := int64(0)
	for n := range uint64(300) {
		svc := storetest.Service("greet", n+1, storetest.Wasm("a"))
		if n >= 290 {
			svc.Revision.Example = make([]byte, 60<<10)
		}
		version = storetest.Publish(t, s, svc, version).GetVersion()
	}
	if _, err := s.client.Put(t.Context(), "/ruedo/main/revisions/greet/00000000000000000005", "\xff\xff"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Delete(t.Context(), "/ruedo/main/revisions/greet/00000000000000000200"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []Page{{Items: 1, Bytes: 1}, {Items: 7, Bytes: 1 << 20}, {Items: 1000, Bytes: 1 << 20}, {Items: 1000, Bytes: 200 << 10}} {
		want, pages := uint64(300), 0
		for {
			revs, next, err := s.Revisions(t.Context(), "greet", p)
			if err != nil {
				t.Fatal(err)
			}
			if pages++; len(revs) > p.Items {
				t.Fatalf("%d items in a page of %d", len(revs), p.Items)
			}
			size := 0
			for _, r := range revs {
				if want == 200 {
					want--
				}
				if r.GetNumber() != want || (r.GetModule() == "") != (want == 5) {
					t.Fatalf("%+v: revision %d, want %d: %v", p, r.GetNumber(), want, r)
				}
				want--
				size += proto.Size(r)
			}
			if len(revs) > 1 && size > p.Bytes+64*len(revs) {
				t.Errorf("%d bytes in a page of %d", size, p.Bytes)
			}
			if next == 0 {
				break
			}
			p.From = next
		}
		if want != 0 {
			t.Errorf("%+v: ends before revision %d", p, want)
		}
		t.Logf("items %d, bytes %d: %d pages", p.Items, p.Bytes, pages)
	}
}

// noise returns a module that does not compress.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

func TestFullStoreSaysSo(t *testing.T) {
	s := open(t, Config{Client: etcdtest.Start(t, etcdembed.Config{QuotaBytes: 4 << 20}).Client()})
	_, err := s.CreateDecorator(storetest.Context(t), decorator("old"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; err == nil && i < 200; i++ {
		data := append(noise(512<<10), byte(i))
		err = s.PutModule(storetest.Context(t), storetest.Module(data), data)
	}
	testkit.WantReason(t, err, fault.StoreFull, "the store is full")
	_, err = s.CreateDecorator(storetest.Context(t), decorator("small"))
	testkit.WantReason(t, err, fault.StoreFull)
	if _, err := s.StatModule(t.Context(), storetest.Digest(append(noise(512<<10), 0))); err != nil {
		t.Errorf("reads do not go on: %v", err)
	}
	// Deletions are the way out; their records wait for room.
	if _, err := s.DeleteDecorator(storetest.Context(t), "old"); err != nil {
		t.Errorf("a deletion: %v", err)
	}
	if !s.Chain().Owes() {
		t.Error("nothing is left to be recorded")
	}
	// A core can still start on it.
	open(t, Config{Client: s.client})
}
