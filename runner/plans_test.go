package runner

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor/executortest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/runner/logs"
	"github.com/ruedo-dev/ruedo/runner/modules"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// shelf is a table of plans with its dependencies. Its janitor never ticks:
// tests call sweep.
type shelf struct {
	*plans
	t   *testing.T
	src *executortest.Source
}

func newShelf(t *testing.T, change func(*plansConfig)) *shelf {
	t.Helper()
	dir := SharedCache
	cache, err := modules.Open(modules.Config{Dir: filepath.Join(dir, "modules")})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := sandbox.New(t.Context(), sandbox.Config{CacheDir: filepath.Join(dir, "compiled")})
	if err != nil {
		t.Fatal(err)
	}
	cfg := plansConfig{
		engine: engine, modules: cache, log: discard, logs: logs.New(logs.Config{}),
		maxPlans: DefaultMaxPlans, maxBytes: 1 << 30, grace: time.Hour,
	}
	if change != nil {
		change(&cfg)
	}
	s := &shelf{plans: newPlans(cfg), t: t, src: executortest.NewSource()}
	t.Cleanup(func() {
		s.stop()
		if err := s.close(t.Context()); err != nil {
			t.Error(err)
		}
		cache.Close()
		if err := engine.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// add creates a revision of a service and returns the id of its plan.
func (s *shelf) add(wasm []byte, service string, revision int) string {
	id, _ := s.src.Add(wasm, func(p *runnerv1.Plan) {
		p.Service, p.Revision = service, uint64(revision)
		p.Env = map[string]string{"REVISION": fmt.Sprint(revision)}
	})
	return id
}

// get starts using a plan.
func (s *shelf) get(id string) *prepared {
	s.t.Helper()
	e, err := s.acquire(s.t.Context(), &runnerv1.PrepareRequest{Id: id}, s.src)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// touch uses a plan for a moment.
func (s *shelf) touch(id string) { s.get(id).Release() }

// stay checks which plans are in the table.
func (s *shelf) stay(want ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.table) != len(want) {
		s.t.Errorf("%d plans stay, want %d", len(s.table), len(want))
	}
	for i, id := range want {
		if s.table[id] == nil {
			s.t.Errorf("plan %d of these is gone", i)
		}
	}
	if h := s.cfg.engine.Held(); h.Templates != len(s.table) {
		s.t.Errorf("%d templates are open for %d plans", h.Templates, len(s.table))
	}
}

// numbered returns a different module for each number.
func numbered(n int) []byte {
	return wasmtest.Function(wasmtest.I32(int32(n)), wasmtest.Drop(), wasmtest.I32(0)).Bytes()
}

// large returns a module with a snapshot of 1 MiB.
func large() []byte {
	m := wasmtest.New()
	m.Memory(16, -1)
	m.Data(0, bytes.Repeat([]byte{1}, 1<<20))
	m.AsFunction(m.Func(">i", wasmtest.I32(0)))
	return m.Bytes()
}

func TestIdlePlansLeaveMemory(t *testing.T) {
	s := newShelf(t, func(cfg *plansConfig) { cfg.maxPlans = 2 })
	guest := executortest.Guest(t)
	ids := make([]string, 4)
	for i := range ids {
		ids[i] = s.add(guest, fmt.Sprint("service-", i), 1)
	}
	zero, one, two := s.get(ids[0]), s.get(ids[1]), s.get(ids[2])
	s.stay(ids[0], ids[1], ids[2]) // all are in use
	for _, e := range []*prepared{zero, one, two} {
		if _, err := e.template.Call(t.Context(), sandbox.Request{Input: []byte("echo x")}); err != nil {
			t.Errorf("a plan in use does not work: %v", err)
		}
		e.Release()
	}
	s.touch(ids[0])
	three := s.get(ids[3]) // 1 and 2 are the least recently used
	s.stay(ids[0], ids[3])
	three.Release()
	if n := s.src.Asked(ids[1]); n != 1 {
		t.Errorf("asked %d times", n)
	}
	s.touch(ids[1]) // it comes back
	if n := s.src.Asked(ids[1]); n != 2 {
		t.Errorf("asked %d times", n)
	}

	// Under load, with more plans than it can hold, it returns the right one for
	// each call.
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 8 {
				e, err := s.acquire(t.Context(), &runnerv1.PrepareRequest{Id: ids[(g+i)%len(ids)]}, s.src)
				if err != nil {
					t.Error(err)
					return
				}
				out, err := e.template.Call(t.Context(), sandbox.Request{Input: fmt.Appendf(nil, "echo %d", g)})
				if err != nil || string(out.Output) != fmt.Sprint(g) {
					t.Errorf("got %q, %v", out.Output, err)
				}
				e.Release()
			}
		})
	}
	wg.Wait()
}

func TestAPlanGoesWhenItsServiceHasANewerOneAndItsCallsHaveEnded(t *testing.T) {
	s := newShelf(t, nil)
	old, current, other := s.add(numbered(1), "a", 1), s.add(numbered(2), "a", 2), s.add(numbered(1), "b", 1)
	call := s.get(old)
	s.touch(other)
	s.touch(current)
	for range 3 {
		s.sweep()
		s.stay(old, current, other) // a call is in flight
	}
	call.Release()
	s.sweep()
	s.stay(old, current, other) // the grace period has begun
	s.sweep()
	s.stay(current, other)

	s.touch(old) // a rollback
	s.sweep()
	s.sweep()
	s.stay(old, other)
}

func TestPlansThatAreCalledInTurnsStay(t *testing.T) {
	s := newShelf(t, nil)
	one, two := s.add(numbered(1), "a", 1), s.add(numbered(2), "a", 2)
	for range 5 { // two cores, one of which lags behind
		s.touch(one)
		s.touch(two)
		s.sweep()
	}
	s.stay(one, two)
	for _, id := range []string{one, two} {
		if n := s.src.Asked(id); n != 1 {
			t.Errorf("a plan was loaded %d times", n)
		}
	}
}

// A runner does the same on its own, and the grace period is a setting.
func TestSupersededPlansAreClosedInTime(t *testing.T) {
	s := newShelf(t, func(cfg *plansConfig) { cfg.grace = 10 * time.Millisecond })
	old, current := s.add(numbered(1), "a", 1), s.add(numbered(2), "a", 2)
	s.touch(old)
	s.touch(current)
	// A plan leaves the table before its template is closed.
	testkit.Eventually(t, "the old plan is gone", func() bool { return s.peek(old) == nil && s.cfg.engine.Held().Templates == 1 })
	s.stay(current)
}

func TestPlansAreBoundedByTheBytesThatTheyHold(t *testing.T) {
	const limit = 5 << 19 // room for two
	s := newShelf(t, func(cfg *plansConfig) { cfg.maxBytes = limit })
	a, b, c := s.add(large(), "a", 1), s.add(large(), "b", 1), s.add(large(), "c", 1)
	s.touch(a)
	s.touch(b)
	s.stay(a, b)
	s.touch(c) // a is the least recently used
	s.stay(b, c)
	if h := s.cfg.engine.Held(); h.Bytes > limit {
		t.Errorf("%d bytes are held, at most %d may be", h.Bytes, limit)
	}

	// A superseded plan is closed before one that is only older.
	newer := s.add(large(), "c", 2)
	s.touch(newer)
	s.stay(b, newer)

	// Plans in use are never closed.
	d := s.add(large(), "d", 1)
	inUse := []*prepared{s.get(b), s.get(newer), s.get(d)}
	s.stay(b, newer, d)
	for _, e := range inUse {
		e.Release()
	}
	s.sweep()
	s.stay(newer, d)
}

// TestAPlanThatWasClosedToMakeRoomComesBack calls plans in turns that do not fit
// together. Callers see only that it takes longer, and the files that the plans
// need stay marked.
func TestAPlanThatWasClosedToMakeRoomComesBack(t *testing.T) {
	s := newShelf(t, func(cfg *plansConfig) { cfg.maxBytes = 5 << 19 }) // room for two
	var ids []string
	for n := range 4 {
		ids = append(ids, s.add(large(), fmt.Sprint("service-", n), 1))
	}
	for range 3 {
		for _, id := range ids {
			e := s.get(id)
			if _, err := e.template.Call(t.Context(), sandbox.Request{}); err != nil {
				t.Error(err)
			}
			e.Release()
		}
	}
	if n, bytes := s.usage(); n != 2 || bytes > 5<<19 || bytes < 2<<20 {
		t.Errorf("%d plans are ready and hold %d bytes", n, bytes)
	}
	if n := len(s.closed); n != 2 {
		t.Errorf("%d services are remembered, want the 2 whose plans were closed", n)
	}
	if names := s.needed(func(f files) string { return f.code }); len(names) != 1 || names[""] {
		t.Errorf("needed code: %v, want that of the one module", names)
	}
	s.touch(ids[0])
	s.touch(ids[1])
	if len(s.closed) != 2 || s.closed["service-0"] != (files{}) {
		t.Errorf("remembered: %v", s.closed)
	}
}

// A revision that was replaced is not needed any more.
func TestFilesOfSupersededPlansAreNotNeeded(t *testing.T) {
	s := newShelf(t, nil)
	old, current := s.add(numbered(1), "a", 1), s.add(numbered(2), "a", 2)
	s.touch(old)
	s.touch(current)
	module := func(f files) string { return f.module }
	if n := len(s.needed(module)); n != 2 {
		t.Errorf("%d modules are needed while both are ready", n)
	}
	s.sweep()
	s.sweep()
	s.stay(current)
	if names := s.needed(module); len(names) != 1 || !names[s.peek(current).files.module] {
		t.Errorf("needed: %v", names)
	}
}

func TestManyRevisionsOfOneServiceHoldNoMoreThanAFew(t *testing.T) {
	for name, wasm := range map[string]func(i int) []byte{
		"one module":        func(int) []byte { return large() },
		"different modules": numbered,
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t, nil)
			s.touch(s.add(wasm(0), "a", 0))
			first := s.cfg.engine.Held()
			descriptors := openFiles(t)
			var last string
			for i := range 100 {
				last = s.add(wasm(i), "a", i)
				s.touch(last)
			}
			h := s.cfg.engine.Held()
			if h.Templates > 1+maxSuperseded || h.Codes > h.Templates {
				t.Errorf("%d templates of %d modules are open", h.Templates, h.Codes)
			}
			if name == "one module" && h.Codes != 1 {
				t.Errorf("%d compiled modules of one", h.Codes)
			}
			if h.Bytes > first.Bytes*(1+maxSuperseded)*11/10 {
				t.Errorf("%d bytes are held, one revision had %d", h.Bytes, first.Bytes)
			}
			filesAtMost(t, descriptors+2*maxSuperseded)
			s.sweep()
			s.sweep()
			s.stay(last)
			filesAtMost(t, descriptors)
		})
	}
}

// filesAtMost waits until at most this many files are open: the compiler can
// still be removing a directory.
func filesAtMost(t *testing.T, limit int) {
	t.Helper()
	if !testkit.Poll(testkit.Patience, func() bool { return openFiles(t) <= limit }) {
		t.Errorf("%d files are open, want at most %d", openFiles(t), limit)
	}
}

// openFiles returns how many descriptors this process has, or 0 if the system
// does not report it.
func openFiles(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
