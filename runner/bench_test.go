package runner_test

import (
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor/executortest"
	"github.com/ruedo-dev/ruedo/runner"
)

// BenchmarkExecute is one call of a Go guest through everything that a runner
// adds to the sandbox.
func BenchmarkExecute(b *testing.B) {
	src := executortest.NewSource()
	id, plan := src.Add(executortest.Guest(b), nil)
	bound := newRunner(b, runner.Config{}).Bind(src)
	req := &runnerv1.ExecuteRequest{Plan: id, Service: plan.Service, CallId: "bench", Input: []byte("echo hola")}
	call := func() {
		if _, err := bound.Execute(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
	call() // the plan is ready from then on
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}
