package ruedotest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/exchange"
	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/runner"
)

// FrontOptions are options of a front. The zero value has the defaults of a core.
type FrontOptions struct {
	Port    port.Config
	Routes  exchange.Routes
	MaxOpen int
	// Follow is that of package exchange.
	Follow func(ctx context.Context, service string, end func(why error)) (leave func())
	Down   context.Context
	// Passes is that of the exchange, and has the service see the field Authorization.
	Passes func(service string) bool
	// Idle is the limit of that name; 0 means its default.
	Idle time.Duration
	// Observe is called once per completed call. Nil disables it.
	Observe func(of *catalog.Entry, outcome fault.Reason, took time.Duration, info *ruedov1.CallInfo)
	// Wrap wraps what executes calls; nil leaves it unchanged.
	Wrap func(executor.Executor) executor.Executor
	// Logger of the front; nil discards.
	Logger *slog.Logger
	// Runner executes calls; see [FrontRunner]. Nil: one of the test, without a compiler of
	// its own.
	Runner *runner.Runner
}

// FrontRunner returns a runner for fronts. dir has compiled modules, and compiler compiles
// them; see [testkit.Compiler]. Empty: this process does.
func FrontRunner(ctx context.Context, dir string, compiler []string) (*runner.Runner, error) {
	return runner.New(ctx, runner.Config{Name: "test", Cluster: "test", CacheDir: dir, Version: "test", Concurrency: 64, Compiler: compiler})
}

// Front returns a port that serves a module of kind http as the service talk, next
// to the function plain, which is never executed. Calls are executed in this
// process, without a store. They can take 30 s and 64 MiB in each direction.
func Front(t testing.TB, wasm []byte, o FrontOptions) *port.Server {
	t.Helper()
	run := o.Runner
	if run == nil {
		var err error
		if run, err = FrontRunner(t.Context(), t.TempDir(), nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := run.Close(context.Background()); err != nil {
				t.Errorf("runner.Close: %v", err)
			}
		})
	}
	digest := sha256.Sum256(wasm)
	talk, plain := coretest.Service("talk", 1, "roomy"), coretest.Service("plain", 1)
	talk.Revision.Kind, talk.Revision.Module, talk.Revision.ModuleBytes = ruedov1.Kind_KIND_HTTP, hex.EncodeToString(digest[:]), uint64(len(wasm))
	plain.Revision.Kind = ruedov1.Kind_KIND_FUNCTION
	mirror := coretest.NewMirror()
	limits := &ruedov1.Limits{
		Timeout: durationpb.New(30 * time.Second), CpuTime: durationpb.New(30 * time.Second), InputBytes: 64 << 20, OutputBytes: 64 << 20,
	}
	if o.Idle > 0 {
		limits.Idle = durationpb.New(o.Idle)
	}
	roomy := &ruedov1.Decorator{Name: "roomy", Version: 1, Limits: limits, Policy: &ruedov1.CallPolicy{PassAuthorization: o.Passes != nil}}
	mirror.Set([]*ruedov1.Decorator{roomy}, talk, plain)
	src := &source{wasm: wasm}
	bound := run.Bind(src)
	ex := executor.Executor(bound)
	if o.Wrap != nil {
		ex = o.Wrap(ex)
	}
	src.Catalog = catalog.New(catalog.Config{Mirror: mirror, Executor: ex})
	for _, plan := range src.Plans() {
		if plan.GetPlan().GetService() != "talk" {
			continue
		}
		if _, err := bound.Prepare(t.Context(), plan); err != nil { // as publishing does
			t.Fatal(err)
		}
	}
	p := port.New(o.Port)
	exchange.Mount(p, exchange.Config{
		Invoker: invoke.New(invoke.Config{Catalog: src.Catalog, Observe: o.Observe}), Routes: o.Routes, Passes: o.Passes, MaxOpen: o.MaxOpen, Follow: o.Follow, Down: o.Down,
		Fresh: func(h http.Handler) http.Handler { return h }, Logger: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
	})
	return p
}

// source has the plans of a catalog, and one module.
type source struct {
	*catalog.Catalog
	wasm []byte
}

func (s *source) Module(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s.wasm)), nil
}

var _ executor.Source = (*source)(nil)
