package runner_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor/executortest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/runner"
)

// A runner is patient with a module that was compiled before: with the plan of a
// call, whose service is published, and if the core says so.
func TestWhatWasCompiledBeforeGetsMoreTime(t *testing.T) {
	src := executortest.NewSource()
	r := newRunner(t, runner.Config{
		CacheDir: filepath.Join(t.TempDir(), "cache"), CompileTime: 5 * time.Second,
		Compiler: []string{"/bin/sh", "-c", `echo '{"Verdict":"ready"}'; echo '{"Verdict":"cpu"}'; exit 1`}, // a child that used up its time
	})
	id, plan := src.Add(wasmtest.Function(wasmtest.I32(0)).Bytes(), nil)
	bound := r.Bind(src)
	for name, tt := range map[string]struct {
		ask  func() error
		want string
	}{
		"a new module": {func() error {
			_, err := bound.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: id, Plan: plan})
			return err
		}, "more than 5s"},
		"a module that the core knows": {func() error {
			_, err := bound.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: id, Plan: plan, Compiled: true})
			return err
		}, "more than 20s"},
		"a call": {func() error {
			_, err := bound.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: id, Service: plan.Service})
			return err
		}, "more than 20s"},
	} {
		err := tt.ask()
		if e := fault.FromError(err); err == nil || e.Reason != fault.CompileTimeout || !strings.Contains(e.Message, tt.want) || !e.NotStarted {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}
