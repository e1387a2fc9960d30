package etcdembed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// disk mounts a small file system of its own for a test.
func disk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=80m,mode=0700"); err != nil {
		t.Skipf("a file system of its own cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill takes all the room that is left on a disk; remove the file to make room.
func fill(t *testing.T, disk string) (file string) {
	t.Helper()
	file = filepath.Join(disk, "filler")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return file
}

// recovers waits until etcd runs again.
func recovers(t *testing.T, s *Server) {
	t.Helper()
	var err error
	if !testkit.Poll(20*time.Second, func() bool { err = s.Check(); return err == nil }) {
		t.Fatalf("etcd does not run again: %v", err)
	}
}

// checks checks the reason and the message of Check.
func checks(t *testing.T, s *Server, want fault.Reason, says string) {
	t.Helper()
	err := s.Check()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Reason != want || !strings.Contains(e.Message, says) || e.Fix == "" {
		t.Errorf("Check: %v, want %s and %q", err, want, says)
	}
}

func TestAFullDiskIsNoticedBeforeEtcdFails(t *testing.T) {
	root := disk(t)
	s := start(t, Config{Dir: filepath.Join(root, "store")})
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	filler := fill(t, root)
	checks(t, s, fault.StoreFull, "16 MiB are reserved")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// exhaust writes until etcd fails because the disk is full.
func exhaust(t *testing.T, s *Server) {
	t.Helper()
	for i := 0; s.stopped() == nil; i++ {
		if i > 5000 {
			t.Fatal("etcd does not fail")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		began := time.Now()
		_, _ = s.Client().Put(ctx, "filler"+strconv.Itoa(i%50), strings.Repeat(strconv.Itoa(i%10), 100<<10))
		cancel()
		if took := time.Since(began); took > 3*time.Second {
			t.Fatalf("a write took %v", took)
		}
	}
}

func TestEtcdThatFailedOnAFullDiskRunsAgainWhenThereIsRoom(t *testing.T) {
	if alone(t) {
		return
	}
	root := disk(t)
	s := start(t, Config{Dir: filepath.Join(root, "store"), ListenClient: "127.0.0.1:0"})
	put(t, s.Client(), "before", "1")
	watch := s.Client().Watch(t.Context(), "after")
	for round := range 3 {
		filler := fill(t, root)
		exhaust(t, s)
		t.Log(s.stopped().cause)
		checks(t, s, fault.StoreFull, "")
		for _, c := range []*clientv3.Client{s.Client()} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			if _, err := c.Get(ctx, "before"); err == nil {
				t.Error("a failed etcd answers")
			}
			cancel()
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("a read took %v", took)
			}
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		recovers(t, s)
		if got := get(t, s.Client(), "before"); got != "1" {
			t.Errorf("read %q, want 1", got)
		}
		want := strconv.Itoa(round)
		put(t, s.Client(), "after", want)
		select {
		case r := <-watch:
			if r.Err() != nil || len(r.Events) != 1 || string(r.Events[0].Kv.Value) != want {
				t.Fatalf("the watch reports %v, %v", r.Events, r.Err())
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the watch did not continue")
		}
		other, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, DialTimeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if got := get(t, other, "after"); got != want {
			t.Errorf("read %q over the listener, want %s", got, want)
		}
		_ = other.Close()
		if _, err := s.Client().Delete(t.Context(), "filler", clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
	if got := get(t, start(t, Config{Dir: filepath.Join(root, "store")}).Client(), "after"); got != "2" {
		t.Errorf("read %q after a restart, want 2", got)
	}
}

func TestAServerOnAFullDiskEnds(t *testing.T) {
	if alone(t) {
		return
	}
	root := disk(t)
	s := start(t, Config{Dir: filepath.Join(root, "store")})
	fill(t, root)
	exhaust(t, s)
	began := time.Now()
	stop(t, s)
	if took := time.Since(began); took > failedTimeout+2*time.Second {
		t.Errorf("the end took %v", took)
	}
}

func TestAStartOnAFullDisk(t *testing.T) {
	if alone(t) {
		return
	}
	root := disk(t)
	dir := filepath.Join(root, "store")
	filler := fill(t, root)
	if msg := refused(t, dir, fault.DataDir); !strings.Contains(msg, "has no space left") {
		t.Error(msg)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{Dir: dir})
	put(t, s.Client(), "a", "1")
	stop(t, s)
	fill(t, root)
	s = start(t, Config{Dir: dir}) // on its ballast
	checks(t, s, fault.StoreFull, "")
	if got := get(t, s.Client(), "a"); got != "1" {
		t.Errorf("read %q, want 1", got)
	}
}

func TestADirectoryThatTurnsReadOnly(t *testing.T) {
	if alone(t) {
		return
	}
	root := disk(t)
	dir := filepath.Join(root, "store")
	s := start(t, Config{Dir: dir})
	put(t, s.Client(), "a", "1")
	// The file system itself stays writable while files are open; a mount over
	// the directory is read-only foreverything that is opened by name.
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	checks(t, s, fault.DataDirReadOnly, "read-only file system")
	for i := 0; s.stopped() == nil && i < 3*snapshotEvery; i++ { // until a snapshot fails
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, _ = s.Client().Put(ctx, "b", strconv.Itoa(i))
		cancel()
	}
	if s.stopped() == nil {
		t.Fatal("etcd does not fail")
	}
	t.Log(s.stopped().cause)
	checks(t, s, fault.DataDirReadOnly, "")
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	recovers(t, s)
	if got := get(t, s.Client(), "a"); got != "1" {
		t.Errorf("read %q, want 1", got)
	}
}
