package runner_test

import (
	"context"
	"sync"
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
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

// BenchmarkSilentExecute is a call that logs nothing on two runners in turn: a
// new one, and one that keeps as many logs as it can and has readers that wait.
// kept/new is the ratio of their times: what keeping logs costs a call that has
// none.
func BenchmarkSilentExecute(b *testing.B) {
	src := executortest.NewSource()
	id, plan := src.Add(executortest.Guest(b), nil)
	open := func() executor.Runner { return newRunner(b, runner.Config{}).Bind(src) }
	call := func(r executor.Runner, input string) time.Duration {
		began := time.Now()
		if _, err := r.Execute(b.Context(), &runnerv1.ExecuteRequest{Plan: id, Service: plan.Service, CallId: "bench", Input: []byte(input)}); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	fresh, kept := open(), open()
	for range 1000 {
		call(kept, "log something to keep")
		call(fresh, "echo hola")
	}
	ctx, cancel := context.WithCancel(b.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	for range 16 {
		readers.Go(func() {
			_, _ = kept.(executor.LogReader).ReadLogs(ctx, &runnerv1.ReadLogsRequest{
				Service: plan.Service, AfterNanos: time.Now().UnixNano(), WaitNanos: int64(time.Minute),
			})
		})
	}
	var without, with time.Duration
	b.ReportAllocs()
	for b.Loop() {
		without += call(fresh, "echo hola")
		with += call(kept, "echo hola")
	}
	b.ReportMetric(with.Seconds()/without.Seconds(), "kept/new")
}
