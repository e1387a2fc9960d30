package runner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/executor/executortest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/runner"
)

func debugLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// breaking is a source that fails halfway.
type breaking struct {
	executor.Source
	plan, module, read error
	panics             bool
}

func (b breaking) Plan(ctx context.Context, id string) (*runnerv1.Plan, error) {
	if b.plan != nil {
		return nil, b.plan
	}
	return b.Source.Plan(ctx, id)
}

func (b breaking) Module(ctx context.Context, digest string) (io.ReadCloser, error) {
	switch {
	case b.panics:
		panic("out of cheese in /etc/ruedo")
	case b.module != nil:
		return nil, b.module
	case b.read != nil:
		return io.NopCloser(io.MultiReader(strings.NewReader("\x00asm"), failing{b.read})), nil
	}
	return b.Source.Module(ctx, digest)
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// telling are texts that no caller may read: paths, addresses, texts of the
// system, and words that make sense only to an author of this program.
var telling = regexp.MustCompile(`/[a-z]|\.go\b|goroutine|127\.0\.0\.1|dial|refused|no such file|not a directory|denied|space left|read-only|exit status|signal|panic|cheese|hunter2`)

// A caller gets a reason and a fix, and the operator finds the rest in the
// runner's log.
func TestNothingOfTheHostIsInWhatCallersSee(t *testing.T) {
	osErr := &fs.PathError{Op: "open", Path: "/var/lib/ruedo/hunter2", Err: syscall.EACCES}
	netErr := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("127.0.0.1:7833: connection refused")}
	wire := faultrpc.FromError(connect.NewError(connect.CodeUnavailable, netErr))
	shell := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	for _, test := range []struct {
		name   string
		src    breaking
		cfg    runner.Config
		spoil  func(dir string) error
		wasm   []byte
		want   fault.Reason
		logged string
	}{
		{name: "the plan cannot be read", src: breaking{plan: osErr}, want: fault.Internal, logged: "hunter2"},
		{name: "the core is gone before the plan", src: breaking{plan: wire}, want: fault.CoreUnreachable, logged: "127.0.0.1:7833"},
		{name: "the module cannot be opened", src: breaking{module: osErr}, want: fault.Internal, logged: "hunter2"},
		{name: "the core is gone before the module", src: breaking{module: wire}, want: fault.CoreUnreachable, logged: "127.0.0.1:7833"},
		{name: "the module breaks off", src: breaking{read: osErr}, want: fault.Internal, logged: "hunter2"},
		{name: "the core is gone in the middle of the module", src: breaking{read: wire}, want: fault.CoreUnreachable, logged: "127.0.0.1:7833"},
		{name: "getting the module panics", src: breaking{panics: true}, want: fault.Internal, logged: "failures_test.go"},
		{name: "there is no compiler", cfg: runner.Config{Compiler: []string{"/does/not/exist"}}, want: fault.Internal, logged: "/does/not/exist"},
		{name: "the compiler cannot start", cfg: runner.Config{Compiler: shell("echo hunter2 in /lib64 >&2; exit 7")}, want: fault.Internal, logged: "hunter2"},
		{name: "the compiler breaks down", cfg: runner.Config{Compiler: shell(`echo '{"Verdict":"ready"}'; echo panic: hunter2 >&2; exit 2`)}, want: fault.CompileFailed, logged: "hunter2"},
		{name: "the compiler cannot write", cfg: runner.Config{Compiler: shell(`echo '{"Verdict":"disk","Text":"/hunter2: no space left"}'`)}, want: fault.RunnerDisk, logged: "hunter2"},
		{name: "the cache directory is a file", spoil: func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) }, want: fault.RunnerDisk, logged: "not a directory"},
		{name: "the module is not valid", wasm: wasmtest.Function(wasmtest.Drop()).Bytes(), want: fault.CompileFailed},
		{name: "the service traps at its start", wasm: starting(wasmtest.Unreachable()), want: fault.GuestTrap},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := &testkit.Log{}
			src := executortest.NewSource()
			test.src.Source = src
			test.cfg.Logger, test.cfg.CacheDir = debugLogger(log), filepath.Join(t.TempDir(), "cache")
			r := newRunner(t, test.cfg)
			if test.spoil != nil {
				if err := test.spoil(test.cfg.CacheDir); err != nil {
					t.Fatal(err)
				}
			}
			if test.wasm == nil {
				test.wasm = wasmtest.Function(wasmtest.I32(0)).Bytes()
			}
			id, plan := src.Add(test.wasm, nil)
			bound := r.Bind(test.src)
			for _, ask := range []func() error{
				func() error {
					_, err := bound.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id, Service: plan.Service})
					return err
				},
				func() error {
					req := &runnerv1.PrepareRequest{Id: id, Plan: plan}
					if test.src.plan != nil {
						req.Plan = nil
					}
					_, err := bound.Prepare(t.Context(), req)
					return err
				},
			} {
				err := ask()
				e, ok := errors.AsType[*fault.Error](err)
				if !ok || e.Reason != test.want || !e.NotStarted {
					t.Fatalf("got %#v, want %s and not started", err, test.want)
				}
				seen := faultrpc.ToConnect(err)
				text := fmt.Sprint(seen.Message(), e.Fix, e.Meta, e.Fields)
				if found := telling.FindString(text); found != "" || strings.Contains(text, test.cfg.CacheDir) {
					t.Errorf("callers read %q: %s", found, text)
				}
			}
			if !strings.Contains(log.String(), test.logged) {
				t.Errorf("%q is not in the log:\n%s", test.logged, log)
			}
		})
	}
}

// starting is a module with a given start.
func starting(code ...[]byte) []byte {
	m := wasmtest.New()
	m.Memory(1, -1)
	m.Start(m.Func(">", code...))
	m.AsFunction(m.Func(">i", wasmtest.I32(0)))
	return m.Bytes()
}

// A runner that has lost its directories creates them again. If it cannot, it
// refuses plans that are not ready yet, so that another runner is asked, and
// continues with those that are ready.
func TestALostCacheDirectoryIsMendedOrSaidToCallers(t *testing.T) {
	log := &testkit.Log{}
	dir := filepath.Join(t.TempDir(), "cache")
	src := executortest.NewSource()
	bound := newRunner(t, runner.Config{CacheDir: dir, Logger: debugLogger(log)}).Bind(src)
	call := func(n int) error {
		id, _ := src.Add(wasmtest.Function(wasmtest.I32(int32(n)), wasmtest.Drop(), wasmtest.I32(0)).Bytes(),
			func(p *runnerv1.Plan) { p.Service = fmt.Sprint("service-", n) })
		_, err := bound.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id, Service: fmt.Sprint("service-", n)})
		return err
	}
	remove := func() {
		t.Helper()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 {
		if err := call(n); err != nil {
			t.Fatal(err)
		}
		remove()
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // now it cannot be created again
		t.Fatal(err)
	}
	if err := call(1); err != nil {
		t.Errorf("a plan that is ready: %v", err)
	}
	for n := range 3 {
		err := call(10 + n)
		e := fault.FromError(err)
		if e.Reason != fault.RunnerDisk || !e.NotStarted || e.ConnectCode() != fault.CodeUnavailable || !strings.Contains(e.Message, "cannot store modules on its disk") || e.Fix == "" {
			t.Errorf("got %#v", err)
		}
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 2 { // one of the modules, one of the compiler
		t.Errorf("the log says so %d times:\n%s", n, log)
	}
	remove()
	if err := call(20); err != nil {
		t.Errorf("after the disk is back: %v", err)
	}
	if !strings.Contains(log.String(), "can be used again") {
		t.Errorf("the log does not say that it works again:\n%s", log)
	}
}

// What guests log stands in the runner's own log, with what is needed to find the
// call: of failures always, of successes on request.
func TestTheRunnersLogHasWhatGuestsLogged(t *testing.T) {
	guest := executortest.Guest(t)
	for _, successes := range []bool{false, true} {
		src := executortest.NewSource()
		id, plan := src.Add(guest, nil)
		log := &testkit.Log{}
		bound := newRunner(t, runner.Config{Logger: log.Logger(), LogSuccesses: successes}).Bind(src)
		call := func(callID, input string) error {
			_, err := bound.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id, Service: plan.Service, CallId: callID, Input: []byte(input)})
			return err
		}
		if err := call("fine", "log something"); err != nil {
			t.Fatal(err)
		}
		if err := call("bad", "panic"); err == nil {
			t.Fatal("it did not panic")
		}
		if said := strings.Contains(log.String(), `msg=guest service=guest revision=1 call_id=fine line="INFO said what=something"`); said != successes {
			t.Errorf("successes %t: %s", successes, log)
		}
		if !strings.Contains(log.String(), `msg=guest service=guest revision=1 call_id=bad line="ERROR panic: on purpose"`) {
			t.Errorf("a failure: %s", log)
		}
	}
}
