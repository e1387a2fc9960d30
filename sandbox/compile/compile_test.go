package compile_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

func TestSecondStartLoads(t *testing.T) {
	wasm, err := goGuest()
	if err != nil {
		t.Fatal(err)
	}
	dir, child := filepath.Join(t.TempDir(), "modules"), plain(t)
	ctx := t.Context()
	once := func(hit bool) compile.Report {
		c := open(t, func(cfg *compile.Config) { cfg.Dir, cfg.Command = dir, child })
		rt := wazero.NewRuntimeWithConfig(ctx, c.RuntimeConfig())
		defer rt.Close(ctx)
		m, report, err := c.Compile(ctx, rt, wasm, compile.Usual)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close(ctx)
		if report.Hit != hit {
			t.Fatalf("got %+v, want hit %t", report, hit)
		}
		return report
	}
	first := once(false)
	second := once(true)
	for range 4 {
		if again := once(true); again.Took < second.Took {
			second = again
		}
	}
	ratio := float64(second.Took) / float64(first.Took)
	t.Logf("%d KB of module, %d KB of code: first %s (compiler %s, %d MB), second start %s: %.1f %%", len(wasm)>>10, first.Size>>10,
		first.Took.Round(time.Millisecond), first.Compile.Round(time.Millisecond), first.Memory>>20, second.Took.Round(time.Millisecond), ratio*100)
	if ratio > 0.3 {
		t.Errorf("the second start takes %.0f %% of the first", ratio*100)
	}
}

// The parent must never compile: wazero rewrites the file if it does.
func TestWazeroTakesWhatWasPrepared(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	c := open(t, func(cfg *compile.Config) {
		cfg.Dir, cfg.Private = filepath.Join(dir, "modules"), filepath.Join(dir, "private")
	})
	p, err := c.Prepare(ctx, returns(8), compile.Usual)
	if err != nil {
		t.Fatal(err)
	}
	pattern := filepath.Join(dir, "private", "work-*", "code", "wazero-*", "*")
	found := func() []string {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		return paths
	}
	before := found()
	if len(before) != 1 {
		t.Fatalf("prepared: %v", before)
	}
	stBefore, err := os.Stat(before[0])
	if err != nil {
		t.Fatal(err)
	}
	rt := wazero.NewRuntimeWithConfig(ctx, config().WithCompilationCache(c.Cache()))
	defer rt.Close(ctx)
	m, err := rt.CompileModule(ctx, returns(8))
	if err != nil {
		t.Fatal(err)
	}
	after := found()
	if len(after) != 1 || after[0] != before[0] {
		t.Fatalf("wazero compiled for itself: %v, then %v", before, after)
	}
	stAfter, err := os.Stat(after[0])
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(stBefore, stAfter) || !stBefore.ModTime().Equal(stAfter.ModTime()) {
		t.Error("wazero wrote the file anew: it did not take what was prepared")
	}
	p.Release()
	p.Release()
	if left := found(); len(left) != 0 {
		t.Errorf("left after Release: %v", left)
	}
	if got := answerOf(t, rt, m); got != 8 {
		t.Errorf("got %d", got)
	}
}

func TestOneChildForAll(t *testing.T) {
	wasm, err := goGuest()
	if err != nil {
		t.Fatal(err)
	}
	child := plain(t)
	c := open(t, func(cfg *compile.Config) { cfg.Command = child })
	const callers = 16
	prepared := make([]*compile.Prepared, callers)
	var wg sync.WaitGroup
	for i := range prepared {
		wg.Go(func() {
			p, err := c.Prepare(t.Context(), wasm, compile.Usual)
			if err != nil {
				t.Error(err)
				return
			}
			prepared[i] = p
		})
	}
	wg.Wait()
	if got := c.Stats(); got.Compiled != 1 || got.Loaded != 0 {
		t.Errorf("got %+v, want one compiled", got)
	}
	missed := 0
	for _, p := range prepared {
		if p == nil {
			t.FailNow()
		}
		if !p.Hit {
			missed++
		}
	}
	if missed != 1 {
		t.Errorf("%d compiled it, want 1", missed)
	}
	// All but one release it, and the file stays.
	for _, p := range prepared[1:] {
		p.Release()
	}
	if p, err := c.Prepare(t.Context(), wasm, compile.Usual); err != nil || !p.Hit || c.Stats().Loaded != 0 {
		t.Errorf("got %v, %+v", err, c.Stats())
	} else {
		p.Release()
	}
	prepared[0].Release()
	if p, err := c.Prepare(t.Context(), wasm, compile.Usual); err != nil || !p.Hit || c.Stats().Loaded != 1 {
		t.Errorf("got %v, %+v", err, c.Stats())
	} else {
		p.Release()
	}
}

func TestWithoutAChild(t *testing.T) {
	c := open(t, func(cfg *compile.Config) { cfg.Command = nil })
	if got, report := run(t, c, returns(10)); got != 10 || report.Hit {
		t.Errorf("got %d, %+v", got, report)
	}
	if got, report := run(t, c, returns(10)); got != 10 || !report.Hit || c.Stats().Loaded != 1 {
		t.Errorf("got %d, %+v, %+v", got, report, c.Stats())
	}
	fails(t, c, []byte("no"), fault.CompileFailed)
}

func TestWithoutADirectory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	c := open(t, func(cfg *compile.Config) { cfg.Dir = "" })
	if got, report := run(t, c, returns(11)); got != 11 || report.Hit {
		t.Errorf("got %d, %+v", got, report)
	}
	if got, report := run(t, c, returns(11)); got != 11 || !report.Hit {
		t.Errorf("got %d, %+v", got, report)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := files(t, os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// wazero's interpreter has no files to share: the child then only tries.
func TestInterpreter(t *testing.T) {
	c := open(t, func(cfg *compile.Config) {
		cfg.Command = nil
		cfg.Runtime = wazero.NewRuntimeConfigInterpreter
	})
	if got, report := run(t, c, returns(12)); got != 12 || report.Hit {
		t.Errorf("got %d, %+v", got, report)
	}
}

func TestSettings(t *testing.T) {
	if _, err := compile.New(compile.Config{}); err == nil {
		t.Error("a compiler without Runtime was made")
	}
	// Other settings mean another module, even if wazero's name is the same.
	dir := filepath.Join(t.TempDir(), "modules")
	entryOf(t, dir, returns(13), 13)
	c := open(t, func(cfg *compile.Config) {
		cfg.Dir, cfg.Command = dir, nil
		cfg.Runtime = func() wazero.RuntimeConfig { return config().WithDebugInfoEnabled(true) }
	})
	if got, report := run(t, c, returns(13)); got != 13 || report.Hit {
		t.Errorf("got %d, %+v", got, report)
	}
}

func BenchmarkChild(b *testing.B) {
	c := open(b, nil)
	n := int32(0)
	for b.Loop() {
		n++
		p, err := c.Prepare(context.Background(), returns(n), compile.Usual)
		if err != nil {
			b.Fatal(err)
		}
		p.Release()
	}
}

func BenchmarkHit(b *testing.B) {
	wasm, err := goGuest()
	if err != nil {
		b.Fatal(err)
	}
	c := open(b, nil)
	for b.Loop() {
		p, err := c.Prepare(context.Background(), wasm, compile.Usual)
		if err != nil {
			b.Fatal(err)
		}
		p.Release()
	}
}

func TestACompilerThatPanicsFailsOneModule(t *testing.T) {
	heard := &testkit.Log{}
	var broken atomic.Bool
	c := open(t, func(cfg *compile.Config) {
		cfg.Command, cfg.Logger = nil, heard.Logger()
		cfg.Runtime = func() wazero.RuntimeConfig {
			if broken.Load() {
				panic("out of cheese")
			}
			return config()
		}
	})
	broken.Store(true)
	if e := fails(t, c, returns(1), fault.Internal); strings.Contains(e.Message, "cheese") {
		t.Errorf("got %q", e.Message)
	}
	if text := heard.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "cheese") || !strings.Contains(text, "compile_test.go") {
		t.Errorf("no stack in the log:\n%s", text)
	}
	broken.Store(false)
	if got, _ := run(t, c, returns(1)); got != 1 {
		t.Errorf("got %d", got)
	}
}
