package compile_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

// place holds the directories of a compiler.
type place struct{ top, dir, private string }

func newPlace(top string) place {
	return place{top, filepath.Join(top, "modules"), filepath.Join(top, "private")}
}

func (p place) open(t *testing.T, heard *testkit.Log) *compile.Compiler {
	return open(t, func(cfg *compile.Config) { cfg.Dir, cfg.Private, cfg.Logger = p.dir, p.private, heard.Logger() })
}

// said checks how often the log says something.
func said(t *testing.T, log *testkit.Log, text string, want int) {
	t.Helper()
	if n := strings.Count(log.String(), text); n != want {
		t.Errorf("%q is logged %d times, want %d:\n%s", text, n, want, log)
	}
}

// unwritable checks that a module is refused because of the disk, with an error
// that does not name a path.
func (p place) unwritable(t *testing.T, c *compile.Compiler, wasm []byte) {
	t.Helper()
	e := fails(t, c, wasm, fault.RunnerDisk)
	if text := e.Message + e.Fix; strings.Contains(text, "/") || strings.Contains(text, "no such file") || strings.Contains(text, "space left") {
		t.Errorf("the answer tells too much: %s", text)
	}
	if e.Err == nil {
		t.Error("the answer has no cause for the log")
	}
}

func remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDirectoriesThatAreGoneAreMadeAgain(t *testing.T) {
	heard := &testkit.Log{}
	p := newPlace(t.TempDir())
	c := p.open(t, heard)
	works := func(n uint64) {
		t.Helper()
		if got, report := run(t, c, returns(int32(n))); got != n || report.Hit {
			t.Errorf("got %d, %+v", got, report)
		}
	}
	works(1)
	remove(t, p.dir)
	works(2)
	remove(t, p.private)
	works(3)
	remove(t, p.dir, p.private)
	works(4)
	remove(t, p.top)
	works(5)
	said(t, heard, "level=", 0)

	// The new directories work like the old ones: another compiler leaves them
	// alone, and finds what was stored.
	other := p.open(t, heard)
	if got, report := run(t, other, returns(5)); got != 5 || !report.Hit {
		t.Errorf("got %d, %+v", got, report)
	}
	works(6)
	for _, dir := range []string{p.dir, p.private} {
		if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, st, err)
		}
	}
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if work, _ := filepath.Glob(filepath.Join(p.private, "work-*")); len(work) != 1 {
		t.Errorf("working directories: %v, want that of the other compiler alone", work)
	}
}

func TestATemporaryDirectoryThatIsGoneIsMadeAgain(t *testing.T) {
	top := t.TempDir()
	t.Setenv("TMPDIR", top)
	c := open(t, func(cfg *compile.Config) { cfg.Dir = "" })
	for n := range 3 {
		if got, _ := run(t, c, returns(int32(n))); got != uint64(n) {
			t.Errorf("got %d", got)
		}
		work, _ := filepath.Glob(filepath.Join(top, "ruedo-compile-*"))
		remove(t, work...)
	}
}

func TestModulesThatCannotBeKeptAreUsed(t *testing.T) {
	for name, b := range breakages() {
		t.Run(name, func(t *testing.T) {
			heard := &testkit.Log{}
			p := newPlace(t.TempDir())
			p.dir = b.prepare(t, p.dir)
			c := p.open(t, heard)
			mend := b.do(t, p.dir)
			for n := range 3 {
				if got, _ := run(t, c, returns(int32(10+n))); got != uint64(10+n) {
					t.Errorf("got %d", got)
				}
			}
			said(t, heard, "not kept on disk", 1)
			said(t, heard, "dir="+p.dir+" ", 1)
			mend()
			run(t, c, returns(20))
			said(t, heard, "can be used again", 1)
			if kept := files(t, p.dir); len(kept) != 1 {
				t.Errorf("kept: %v", kept)
			}
		})
	}
}

func TestWithoutAPlaceToWorkModulesAreRefusedUntilThereIsOne(t *testing.T) {
	for name, b := range breakages() {
		for _, how := range []string{"in a child", "in this process"} {
			t.Run(name+" "+how, func(t *testing.T) {
				heard := &testkit.Log{}
				p := newPlace(t.TempDir())
				p.private = b.prepare(t, p.private)
				c := open(t, func(cfg *compile.Config) {
					cfg.Dir, cfg.Private, cfg.Logger = p.dir, p.private, heard.Logger()
					if how == "in this process" {
						cfg.Command = nil
					}
				})
				mend := b.do(t, p.private)
				for n := range 3 {
					p.unwritable(t, c, returns(int32(n)))
				}
				said(t, heard, "modules cannot be compiled", 1)
				mend()
				for n := range 3 {
					if got, _ := run(t, c, returns(int32(n))); got != uint64(n) {
						t.Errorf("got %d", got)
					}
				}
				said(t, heard, "can be used again", 1)
			})
		}
	}
}

func TestOnAFullDiskCodeThatWasKeptMakesRoom(t *testing.T) {
	b, ok := breakages()["full"]
	if !ok {
		t.Skip("needs a file system that can be mounted")
	}
	p := newPlace(b.prepare(t, filepath.Join(t.TempDir(), "disk")))
	c := open(t, func(cfg *compile.Config) { cfg.Dir, cfg.Private, cfg.Command = p.dir, p.private, nil })
	const before = 40
	for n := range before {
		run(t, c, returns(int32(n)))
	}
	b.do(t, p.top) // permanently
	for n := range 3 {
		if got, _ := run(t, c, returns(int32(100+n))); got != uint64(100+n) {
			t.Errorf("got %d", got)
		}
	}
	if s := c.Stats(); s.Evicted == 0 || s.Evicted >= before {
		t.Errorf("%d of %d entries made room", s.Evicted, before)
	}
	if got, report := run(t, c, returns(102)); got != 102 || !report.Hit {
		t.Errorf("got %d, %+v: what was compiled last is not kept", got, report)
	}
}

// Whatever a module meets while directories come and go, it is compiled or
// refused because of the disk, and the compiler works afterwards.
func TestDirectoriesThatGoUnderLoadHarmNothing(t *testing.T) {
	p := newPlace(t.TempDir())
	c := open(t, func(cfg *compile.Config) { cfg.Dir, cfg.Private, cfg.Command = p.dir, p.private, nil })
	var compiled, refused atomic.Int64
	var load sync.WaitGroup
	for g := range 4 {
		load.Go(func() {
			for n := range 50 {
				ready, err := c.Prepare(t.Context(), returns(int32(100*g+n)), compile.Usual)
				if err == nil {
					compiled.Add(1)
					ready.Release()
					continue
				}
				refused.Add(1)
				if e, ok := errors.AsType[*fault.Error](err); !ok || e.Reason != fault.RunnerDisk || strings.Contains(e.Message, "/") {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				// A directory that is filled meanwhile can stay.
				_ = os.RemoveAll([]string{p.dir, p.private, p.top}[n%3])
			}
		}
	}()
	load.Wait()
	close(done)
	<-stopped
	t.Logf("%d compiled, %d refused", compiled.Load(), refused.Load())
	if compiled.Load() == 0 {
		t.Error("nothing was compiled")
	}
	for n := range 3 {
		if got, _ := run(t, c, returns(int32(n))); got != uint64(n) {
			t.Errorf("got %d", got)
		}
	}
}
