package modules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testModules are modules with direct access to their etcd.
type testModules struct {
	*Modules
	client *clientv3.Client
}

// fresh returns the modules of an etcd of their own, each of at most max bytes.
func fresh(t *testing.T, max int64) testModules {
	t.Helper()
	return over(t, etcdtest.Start(t, etcdembed.Config{}).Client(), max)
}

func over(t *testing.T, client *clientv3.Client, max int64) testModules {
	t.Helper()
	cluster, err := fleet.Open(fleet.Config{Client: client, Cluster: "main", OpTimeout: testkit.Patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	g, err := guard.Open(t.Context(), guard.Config{Cluster: cluster})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{Cluster: cluster, Guard: g, MaxBytes: max})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return testModules{m, client}
}

// count returns how many keys there are under a prefix.
func count(t *testing.T, s testModules, prefix string) int64 {
	t.Helper()
	got, err := s.client.Get(t.Context(), prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return got.Count
}

// noise returns a module that does not compress.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

func TestModulesComeBackWhole(t *testing.T) {
	s := fresh(t, 0)
	for _, size := range []int{0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 3*chunkBytes + 17, 12 << 20} {
		for _, data := range [][]byte{noise(size), make([]byte, size)} {
			storetest.Put(t, s, data)
			got, err := s.ReadModule(t.Context(), storetest.Digest(data))
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes come back as %d, %v", size, len(got), err)
			}
			m, err := s.StatModule(t.Context(), storetest.Digest(data))
			if err != nil {
				t.Fatal(err)
			}
			if m.GetSizeBytes() != uint64(size) || m.GetDigest() != storetest.Digest(data) || m.GetCreateTime() == nil || m.GetKind() != ruedov1.Kind_KIND_FUNCTION {
				t.Errorf("%d bytes are described as %v", size, m)
			}
		}
	}
}

func TestKnownModuleWritesNothing(t *testing.T) {
	s := fresh(t, 0)
	data := noise(2 * chunkBytes)
	storetest.Put(t, s, data)
	before, err := s.client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Put(t, s, data)
	after, err := s.client.Get(t.Context(), "x")
	if err != nil || after.Header.Revision != before.Header.Revision {
		t.Errorf("revision %d after %d, %v", after.Header.Revision, before.Header.Revision, err)
	}
}

func TestModulesAreRefused(t *testing.T) {
	s := fresh(t, 1000)
	data := noise(1001)
	testkit.WantReason(t, s.PutModule(storetest.Context(t), storetest.Module(data), data), fault.UploadTooLarge, "1001 bytes", "limit of 1000")
	data = data[:1000]
	wrong := storetest.Module(data)
	wrong.Digest = storetest.Digest([]byte("other"))
	testkit.WantReason(t, s.PutModule(storetest.Context(t), wrong, data), fault.DigestMismatch, storetest.Digest(data), wrong.GetDigest())
	if n := count(t, s, "/ruedo/main/modules/"); n != 0 {
		t.Errorf("%d keys were written", n)
	}
	for _, d := range []string{"", "..", "ABC", storetest.Digest(data)[:63], storetest.Digest(data) + "/"} {
		_, err := s.ReadModule(t.Context(), d)
		testkit.WantReason(t, err, fault.RequestInvalid)
		_, err = s.StatModule(t.Context(), d)
		testkit.WantReason(t, err, fault.RequestInvalid)
	}
	_, err := s.StatModule(t.Context(), storetest.Digest(data))
	testkit.WantReason(t, err, fault.ModuleNotFound, storetest.Digest(data))
}

func TestUploadThatBrokeOffShowsNowhereAndMayBeRepeated(t *testing.T) {
	client := etcdtest.Start(t, etcdembed.Config{}).Client()
	ctx, cancel := context.WithCancel(t.Context())
	broken := &breaking{KV: client.KV}
	client.KV = broken
	s := over(t, client, 0)
	broken.end = func() {
		if !testkit.Poll(testkit.Patience, func() bool { return count(t, s, "/ruedo/main/modules/") > 0 }) {
			t.Error("no chunk is stored")
		}
		cancel()
	}
	data := noise(9 * chunkBytes)
	broken.left.Store(3)
	if err := s.PutModule(ctx, storetest.Module(data), data); err != context.Canceled {
		t.Errorf("%v, want canceled", err)
	}
	_, err := s.StatModule(t.Context(), storetest.Digest(data))
	testkit.WantReason(t, err, fault.ModuleNotFound)
	_, err = s.ReadModule(t.Context(), storetest.Digest(data))
	testkit.WantReason(t, err, fault.ModuleNotFound)
	storetest.Put(t, s, data)
	if got, err := s.ReadModule(t.Context(), storetest.Digest(data)); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the repeated upload: %v", err)
	}
}

// breaking calls end before the transaction with which left reaches zero.
type breaking struct {
	clientv3.KV
	left atomic.Int64
	end  func()
}

func (b *breaking) Txn(ctx context.Context) clientv3.Txn {
	if b.left.Add(-1) == 0 {
		b.end()
	}
	return b.KV.Txn(ctx)
}

func TestUploadsOfOneModuleAtOnce(t *testing.T) {
	s := fresh(t, 0)
	data := noise(5 * chunkBytes)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := s.PutModule(storetest.Context(t), storetest.Module(data), data); err != nil {
				t.Error(err)
			}
			if got, err := s.ReadModule(t.Context(), storetest.Digest(data)); err != nil || !bytes.Equal(got, data) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestTamperedModulesAreNeverGiven(t *testing.T) {
	s := fresh(t, 0)
	data := noise(2*chunkBytes + 100)
	d := storetest.Digest(data)
	manifest, _ := s.space.ModuleManifest(d)
	chunk, _ := s.space.ModuleChunk(d, 1)
	pack := func(b []byte) string { return string(s.pack.EncodeAll(b, nil)) }
	write := func(key, value string) func() error {
		return func() error { _, err := s.client.Put(t.Context(), key, value); return err }
	}
	says := func(edit func(*storev1.Manifest)) func() error {
		return func() error {
			m, _, err := s.manifest(t.Context(), d)
			if err != nil {
				return err
			}
			edit(m)
			value, err := proto.Marshal(m)
			if err != nil {
				return err
			}
			return write(manifest, string(value))()
		}
	}
	// 256 MiB of zeros in a few KiB, as one frame that does not declare its
	// size.
	var bomb bytes.Buffer
	w, err := zstd.NewWriter(&bomb, zstd.WithWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 256 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for what, tamper := range map[string]func() error{
		"other bytes":       write(chunk, pack(noise(chunkBytes))),
		"a bit too few":     write(chunk, pack(data[:chunkBytes-1])),
		"a bit too many":    write(chunk, pack(append(data[:chunkBytes:chunkBytes], 0))),
		"not packed":        write(chunk, "garbage"),
		"empty":             write(chunk, ""),
		"a bomb":            write(chunk, bomb.String()),
		"chunk missing":     func() error { _, err := s.client.Delete(t.Context(), chunk); return err },
		"size too large":    says(func(m *storev1.Manifest) { m.Module.SizeBytes = 1 << 60 }),
		"size too small":    says(func(m *storev1.Manifest) { m.Module.SizeBytes = 10 }),
		"no chunk size":     says(func(m *storev1.Manifest) { m.ChunkBytes = 0 }),
		"huge chunk size":   says(func(m *storev1.Manifest) { m.ChunkBytes = 1 << 31 }),
		"too few chunks":    says(func(m *storev1.Manifest) { m.Chunks = 1 }),
		"unknown codec":     says(func(m *storev1.Manifest) { m.Codec = 99 }),
		"claims to be less": says(func(m *storev1.Manifest) { m.Module.SizeBytes, m.Chunks = 2*chunkBytes, 2 }),
	} {
		t.Run(what, func(t *testing.T) {
			storetest.Put(t, s, data)
			if err := tamper(); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := s.ReadModule(t.Context(), d)
			runtime.ReadMemStats(&after)
			if got != nil {
				t.Errorf("%d bytes are given", len(got))
			}
			testkit.WantReason(t, err, fault.Integrity, d)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
				t.Errorf("%d MiB were allocated", grown>>20)
			}
			// An upload repairs it.
			storetest.Put(t, s, data)
			if got, err := s.ReadModule(t.Context(), d); err != nil || !bytes.Equal(got, data) {
				t.Errorf("after another upload: %v", err)
			}
		})
	}
	t.Run("manifest of garbage", func(t *testing.T) {
		if err := write(manifest, "\xff\xff")(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ReadModule(t.Context(), d); !errors.Is(err, fault.ModuleNotFound) {
			t.Errorf("%v, want MODULE_NOT_FOUND", err)
		}
		storetest.Put(t, s, data)
		if _, err := s.ReadModule(t.Context(), d); err != nil {
			t.Errorf("after another upload: %v", err)
		}
	})
}

func TestADamagedModuleIsAskedForAgain(t *testing.T) {
	s := fresh(t, 0)
	data := noise(2*chunkBytes + 100)
	d := storetest.Digest(data)
	storetest.Put(t, s, data)
	chunk, _ := s.space.ModuleChunk(d, 1)
	if _, err := s.StatModule(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	stored, err := s.client.Get(t.Context(), chunk)
	if err != nil {
		t.Fatal(err)
	}
	for what, tamper := range map[string]func() error{
		"a chunk is missing": func() error { _, err := s.client.Delete(t.Context(), chunk); return err },
		"a chunk is garbage": func() error { _, err := s.client.Put(t.Context(), chunk, "garbage"); return err },
	} {
		if err := tamper(); err != nil {
			t.Fatal(err)
		}
		_, err := s.StatModule(t.Context(), d)
		testkit.WantReason(t, err, fault.ModuleNotFound, "damaged", "upload it again")
		storetest.Put(t, s, data)
		if _, err := s.StatModule(t.Context(), d); err != nil {
			t.Errorf("%s, after another upload: %v", what, err)
		}
		if s.damaged.has(d) {
			t.Errorf("%s: it is remembered as damaged", what)
		}
	}
	// The same bytes are written again, as by two simultaneous uploads.
	if _, err := s.client.Put(t.Context(), chunk, string(stored.Kvs[0].Value)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.StatModule(t.Context(), d); err != nil {
		t.Error(err)
	}
	// A module that a reader found damaged is checked again, whatever the
	// versions say.
	s.damaged.note(d, fault.New(fault.Integrity, ""))
	if _, err := s.StatModule(t.Context(), d); err != nil || s.damaged.has(d) {
		t.Error("a module that is sound stays damaged", err)
	}
	for i := range 3 * maxDamaged {
		s.damaged.note(fmt.Sprint(i), fault.New(fault.Integrity, ""))
	}
	if n := len(s.damaged.digests); n > maxDamaged {
		t.Errorf("%d damaged modules are remembered", n)
	}
}
