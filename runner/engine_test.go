package runner

import (
	"sync"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor/executortest"
)

// TestRunnersThatShareASandboxLoadAModuleOnce also proves that what either of them
// needs stays on disk, and that the sandbox outlives the one that came second.
func TestRunnersThatShareASandboxLoadAModuleOnce(t *testing.T) {
	dir := t.TempDir()
	open := func(id string, other *Runner) *Runner {
		r, err := New(t.Context(), Config{ID: id, Cluster: "test", CacheDir: dir, ShareWith: other})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := open("first", nil)
	second := open("second", first)
	src := executortest.NewSource()
	both, _ := src.Add(numbered(1), func(p *runnerv1.Plan) { p.Service = "both" })
	own, _ := src.Add(numbered(2), func(p *runnerv1.Plan) { p.Service = "own" })
	prepare := func(r *Runner, id string) *prepared {
		t.Helper()
		if _, err := r.Bind(src).Prepare(t.Context(), &runnerv1.PrepareRequest{Id: id}); err != nil {
			t.Fatal(err)
		}
		return r.plans.peek(id)
	}
	call := func(r *Runner) {
		t.Helper()
		if _, err := r.Bind(src).Execute(t.Context(), &runnerv1.ExecuteRequest{Service: "both", Plan: both}); err != nil {
			t.Error(err)
		}
	}
	var at sync.WaitGroup // the same time
	for _, r := range []*Runner{first, second} {
		at.Go(func() {
			if _, err := r.Bind(src).Prepare(t.Context(), &runnerv1.PrepareRequest{Id: both}); err != nil {
				t.Error(err)
			}
		})
	}
	at.Wait()
	shared, alone := prepare(first, both), prepare(second, own)
	call(first)
	call(second)
	if n := src.Asked(shared.files.module); n != 1 {
		t.Errorf("the module that both need was fetched %d times", n)
	}
	code, module := func(f files) string { return f.code }, func(f files) string { return f.module }
	if h := first.engine.Held(); h.Templates != 3 || h.Codes != 2 {
		t.Errorf("%d plans hold %d compiled modules, want 3 and 2", h.Templates, h.Codes)
	}
	if n := first.engine.needed(code); len(n) != 2 || !n[shared.files.code] || !n[alone.files.code] {
		t.Errorf("%v is needed, want the code of both modules", n)
	}
	if n := first.engine.needed(module); len(n) != 2 || !n[shared.files.module] || !n[alone.files.module] {
		t.Errorf("%v are needed, want both modules", n)
	}

	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	call(first)
	if h := first.engine.Held(); h.Templates != 1 || h.Codes != 1 {
		t.Errorf("%d plans hold %d compiled modules after one runner has ended, want 1 and 1", h.Templates, h.Codes)
	}
	if n := first.engine.needed(code); len(n) != 1 || !n[shared.files.code] {
		t.Errorf("%v is needed after one runner has ended", n)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
