package modules_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/runner/modules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type origin struct {
	bytes []byte
	opens atomic.Int32
	err   error
}

func (o *origin) open(context.Context) (io.ReadCloser, error) {
	o.opens.Add(1)
	if o.err != nil {
		return nil, o.err
	}
	return io.NopCloser(bytes.NewReader(o.bytes)), nil
}

func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func open(t *testing.T, dir string, change func(*modules.Config)) *modules.Cache {
	cfg := modules.Config{Dir: dir}
	if change != nil {
		change(&cfg)
	}
	c, err := modules.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestFetchedOnceForAllAndForGood(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	c := open(t, dir, nil)
	o := &origin{bytes: bytes.Repeat([]byte("wasm"), 1<<18)}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			b, err := c.Get(t.Context(), digest(o.bytes), uint64(len(o.bytes)), o.open)
			if err != nil || !bytes.Equal(b, o.bytes) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
	wg.Wait()
	again := open(t, dir, nil) // another process, later
	if _, err := again.Get(t.Context(), digest(o.bytes), 0, o.open); err != nil {
		t.Error(err)
	}
	if o.opens.Load() != 1 {
		t.Errorf("fetched %d times", o.opens.Load())
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", st.Mode(), err)
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

func TestTamperedFileIsNeverUsed(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, nil)
	o := &origin{bytes: []byte("the real module")}
	path := filepath.Join(dir, digest(o.bytes)+".wasm")
	for _, bad := range []string{"something worse!", "", "the real"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		before := o.opens.Load()
		b, err := c.Get(t.Context(), digest(o.bytes), 0, o.open)
		if err != nil || !bytes.Equal(b, o.bytes) || o.opens.Load() != before+1 {
			t.Errorf("%q: %q, %v", bad, b, err)
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, o.bytes) {
			t.Errorf("the file was not mended: %q, %v", b, err)
		}
	}
}

func TestWrongBytesAreRefused(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, func(cfg *modules.Config) { cfg.MaxModule = 100 })
	right := []byte("the real module")
	for name, test := range map[string]struct {
		digest string
		size   uint64
		o      *origin
		want   fault.Reason
	}{
		"digest":   {digest(right), uint64(len(right)), &origin{bytes: []byte("the fake module")}, fault.Integrity},
		"short":    {digest(right), uint64(len(right)), &origin{bytes: right[:3]}, fault.Integrity},
		"long":     {digest(right), 5, &origin{bytes: right}, fault.Integrity},
		"endless":  {digest(right), 0, &origin{bytes: make([]byte, 1<<20)}, fault.Integrity},
		"too long": {digest(right), 101, &origin{bytes: right}, fault.WasmLimit},
		"path":     {"../../../../etc/passwd", 0, &origin{bytes: right}, fault.Integrity},
		"upper":    {strings.ToUpper(digest(right)), 0, &origin{bytes: right}, fault.Integrity},
		"source":   {digest(right), 0, &origin{err: fault.New(fault.ModuleNotFound, "gone")}, fault.ModuleNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.Get(t.Context(), test.digest, test.size, test.o.open); !errors.Is(err, test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
}

func TestWhatIsNeededGoesLast(t *testing.T) {
	dir := t.TempDir()
	module := func(i byte) []byte { return bytes.Repeat([]byte{i}, 100) }
	needed := map[string]bool{digest(module(1)): true}
	c := open(t, dir, func(cfg *modules.Config) {
		cfg.MaxBytes, cfg.Needed = 250, func() map[string]bool { return needed }
	})
	there := func(i byte) bool {
		_, err := os.Stat(filepath.Join(dir, digest(module(i))+".wasm"))
		return err == nil
	}
	for i := byte(1); i <= 4; i++ {
		o := &origin{bytes: module(i)}
		if _, err := c.Get(t.Context(), digest(o.bytes), 100, o.open); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-time.Duration(10-i) * time.Minute)
		if err := os.Chtimes(filepath.Join(dir, digest(module(i))+".wasm"), when, when); err != nil {
			t.Fatal(err)
		}
	}
	if !there(1) || there(2) || there(3) || !there(4) {
		t.Errorf("left: 1 %t, 2 %t, 3 %t, 4 %t", there(1), there(2), there(3), there(4))
	}
}

func TestOldestUnusedGoesFirst(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, func(cfg *modules.Config) { cfg.MaxBytes = 250 })
	get := func(i byte) *origin {
		o := &origin{bytes: bytes.Repeat([]byte{i}, 100)}
		if _, err := c.Get(t.Context(), digest(o.bytes), 100, o.open); err != nil {
			t.Fatal(err)
		}
		return o
	}
	age := func(i byte, d time.Duration) {
		path := filepath.Join(dir, digest(bytes.Repeat([]byte{i}, 100))+".wasm")
		when := time.Now().Add(-d)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	get(1)
	age(1, 3*time.Minute)
	get(2)
	age(2, 2*time.Minute)
	get(1) // used again, so 2 is the least recently used
	get(3)
	if n := get(1).opens.Load(); n != 0 {
		t.Error("the one in use is gone")
	}
	if n := get(2).opens.Load(); n != 1 {
		t.Error("the oldest one stayed")
	}
	files, _ := os.ReadDir(dir)
	if len(files) > 2 {
		t.Errorf("over the limit: %v", files)
	}
}

func TestBrokenDiskCostsNoCall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, dir, nil)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file in place of the directory
		t.Fatal(err)
	}
	o := &origin{bytes: []byte("module")}
	if b, err := c.Get(t.Context(), digest(o.bytes), 6, o.open); err != nil || !bytes.Equal(b, o.bytes) {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := modules.Open(modules.Config{Dir: dir}); !errors.Is(err, fault.DataDir) {
		t.Errorf("opening: %v", err)
	}
}

func TestADirectoryThatIsGoneIsMadeAgain(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "cache", "modules")
	var heard bytes.Buffer
	c := open(t, dir, func(cfg *modules.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&heard, nil)) })
	for n, gone := range []string{dir, filepath.Dir(dir)} {
		o := &origin{bytes: fmt.Appendf(nil, "module %d", n)}
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second is on disk
			if b, err := c.Get(t.Context(), digest(o.bytes), 0, o.open); err != nil || !bytes.Equal(b, o.bytes) {
				t.Errorf("%q, %v", b, err)
			}
		}
		if n := o.opens.Load(); n != 1 {
			t.Errorf("fetched %d times", n)
		}
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", st, err)
	}
	if heard.Len() > 0 {
		t.Errorf("logged: %s", &heard)
	}
}

func TestADiskThatCannotBeUsedIsSaidOnceAndRecovers(t *testing.T) {
	for name, test := range map[string]struct {
		spoil, mend func(t *testing.T, dir string)
	}{
		"a file in its place": {
			func(t *testing.T, dir string) {
				must(t, os.RemoveAll(dir))
				must(t, os.WriteFile(dir, nil, 0o600))
			},
			func(t *testing.T, dir string) { must(t, os.Remove(dir)) },
		},
		"full":      {full, lift},
		"read-only": {readOnly, lift},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "modules")
			var heard bytes.Buffer
			c := open(t, dir, func(cfg *modules.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&heard, nil)) })
			get := func(n int) {
				t.Helper()
				o := &origin{bytes: bytes.Repeat([]byte{byte(n)}, 1<<20)}
				if b, err := c.Get(t.Context(), digest(o.bytes), 0, o.open); err != nil || !bytes.Equal(b, o.bytes) {
					t.Errorf("%d bytes, %v", len(b), err)
				}
			}
			test.spoil(t, dir)
			for n := range 3 {
				get(n)
			}
			if n := strings.Count(heard.String(), "not stored on disk"); n != 1 || !strings.Contains(heard.String(), "path="+dir) {
				t.Errorf("said %d times: %s", n, &heard)
			}
			test.mend(t, dir)
			get(4)
			if n := strings.Count(heard.String(), "stored on disk again"); n != 1 {
				t.Errorf("said %d times: %s", n, &heard)
			}
			if files, _ := os.ReadDir(dir); len(files) != 1 {
				t.Errorf("kept: %v", files)
			}
		})
	}
}

func TestOnAFullDiskModulesThatWereKeptMakeRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "modules")
	must(t, os.Mkdir(dir, 0o700))
	full(t, dir) // at 64 KiB
	var heard bytes.Buffer
	c := open(t, dir, func(cfg *modules.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&heard, nil)) })
	var last *origin
	for n := range 10 {
		last = &origin{bytes: bytes.Repeat([]byte{byte(n)}, 16<<10)}
		if b, err := c.Get(t.Context(), digest(last.bytes), 0, last.open); err != nil || !bytes.Equal(b, last.bytes) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
	if _, err := c.Get(t.Context(), digest(last.bytes), 0, last.open); err != nil || last.opens.Load() != 1 {
		t.Errorf("the last one is not kept: fetched %d times, %v", last.opens.Load(), err)
	}
	if !strings.Contains(heard.String(), "make room") || strings.Contains(heard.String(), "not stored") {
		t.Errorf("logged: %s", &heard)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLeftoversOfACrashGo(t *testing.T) {
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, ".fetch-1"), filepath.Join(dir, ".fetch-2")
	for _, p := range []string{old, fresh} {
		if err := os.WriteFile(p, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	when := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, when, when); err != nil {
		t.Fatal(err)
	}
	open(t, dir, nil)
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Error("the old one stayed")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("another process's fetch was removed")
	}
}

func TestAnotherSourceGetsAChance(t *testing.T) {
	c := open(t, t.TempDir(), nil)
	right := []byte("module")
	started, release := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() {
		_, err := c.Get(t.Context(), digest(right), 0, func(context.Context) (io.ReadCloser, error) {
			close(started)
			<-release
			return nil, fault.New(fault.CoreUnreachable, "that core is gone")
		})
		first <- err
	}()
	<-started
	second := make(chan error)
	o := &origin{bytes: right}
	go func() {
		_, err := c.Get(t.Context(), digest(right), 0, o.open)
		second <- err
	}()
	close(release)
	if err := <-first; !errors.Is(err, fault.CoreUnreachable) {
		t.Errorf("first: %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("second: %v", err)
	}
}
