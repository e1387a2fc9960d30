package sandbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/tetratelabs/wazero"
)

// Template is a loaded module, ready for calls.
type Template struct {
	engine   *Engine
	compiled wazero.CompiledModule
	system   wazero.ModuleConfig
	limits   Limits
	report   Report
	gate     gate
}

// Load admits a module, compiles it and starts it once: _initialize,
// ruedo_warm, and one call with the example if there is one. All errors are
// [*Error]. Compiling does not end with ctx; starting does.
func (e *Engine) Load(ctx context.Context, spec Spec) (*Template, error) {
	if !e.gate.enter() {
		return nil, closedError("engine")
	}
	defer e.gate.leave()
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	limits := spec.Limits.WithDefaults()
	info, err := wasmbin.Admit(spec.Wasm, wasmbin.Limits{
		// Its size was the core's to judge; here it is whatever arrived.
		Size:        max(int64(len(spec.Wasm)), 1),
		MemoryPages: uint32(max(limits.Memory/page, 1)),
	})
	if err != nil {
		return nil, admission(err)
	}
	began := time.Now()
	compiled, failure := e.compile(ctx, clampTables(spec.Wasm))
	if failure != nil {
		return nil, failure
	}
	t := &Template{
		engine:   e,
		compiled: compiled,
		system:   e.system(spec),
		limits:   limits,
		report:   Report{Kind: info.Kind, Compile: time.Since(began), Imports: info.Imports},
	}
	if err := t.start(ctx, spec.Example); err != nil {
		if err.Meta["kind"] == stackOverflow {
			e.release()
		}
		if cerr := compiled.Close(context.WithoutCancel(ctx)); cerr != nil {
			e.log.Error("closing a compiled module failed", "error", cerr)
		}
		return nil, err
	}
	e.mu.Lock()
	e.templates[t] = struct{}{}
	e.mu.Unlock()
	return t, nil
}

// checkSpec refuses what WASI cannot carry. Values may be secrets and are not
// named.
func checkSpec(spec Spec) error {
	for k, v := range spec.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			return newError(ReasonSpec, "the environment variable %q cannot be given to a service", k).
				fix("names must not be empty nor have = in them, and neither names nor values a NUL")
		}
	}
	for i, a := range spec.Args {
		if strings.Contains(a, "\x00") {
			return newError(ReasonSpec, "argument %d cannot be given to a service: it has a NUL in it", i+1)
		}
	}
	return nil
}

// start tries the module once.
func (t *Template) start(ctx context.Context, example []byte) *Error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, t.limits.Timeout, errTimeout)
	defer cancel()
	i := t.newInstance(newCall(ctx, t.limits, Request{Input: example}))
	defer i.close()
	if err := i.begin(ctx); err != nil {
		failure := t.outcome(i, 0, err, time.Since(began))
		if failure == nil {
			return nil // a command that is done already
		}
		return failure.at("the service cannot start: ")
	}
	t.report.Start, t.report.Memory = time.Since(began), i.memory.peak
	if example == nil {
		return nil
	}
	status, err := i.serve(ctx)
	failure := t.outcome(i, status, err, time.Since(began))
	if failure == nil {
		return nil
	}
	failure.at("the example input fails: ")
	if failure.Reason == ReasonError {
		// The guest answered, if with an error: that may lie in the moment.
		t.report.Example = failure
		return nil
	}
	return failure
}

// at says in front of the message what was being done.
func (e *Error) at(what string) *Error {
	e.Message = what + e.Message
	return e
}

// Report says what Load found out.
func (t *Template) Report() Report {
	r := t.report
	r.Imports = slices.Clone(r.Imports)
	return r
}

// Call runs the module once, in an instance of its own. It is safe for
// concurrent use; how many run at a time is the caller's to bound. The result's
// logs, memory and duration are set also where the call failed. All errors are
// [*Error].
func (t *Template) Call(ctx context.Context, req Request) (Result, error) {
	if !t.gate.enter() {
		return Result{}, closedError("template")
	}
	defer t.gate.leave()
	if n := int64(len(req.Input)); n > t.limits.Input {
		return Result{}, newError(ReasonInputTooLarge, "the input has %d bytes, the limit is %d", n, t.limits.Input).
			fix("send less, or raise input in a decorator").with("limit", t.limits.Input, "actual", n)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, t.limits.Timeout, errTimeout)
	defer cancel()
	i := t.newInstance(newCall(ctx, t.limits, req))
	var status uint32
	err := i.begin(ctx)
	if err == nil {
		status, err = i.serve(ctx)
	}
	i.close()
	res := Result{
		Logs:        i.call.logs.text,
		LogsDropped: i.call.logs.dropped,
		Memory:      i.memory.peak,
		ExitCode:    exitCode(err),
		Duration:    time.Since(began),
	}
	failure := t.outcome(i, status, err, res.Duration)
	if failure == nil || t.report.Kind == Command && failure.Reason == ReasonExit {
		res.Output, res.ContentType = i.call.output, i.call.contentType
	}
	if failure == nil {
		return res, nil
	}
	if failure.Meta["kind"] == stackOverflow {
		t.engine.release()
	}
	return res, failure
}

// Close waits for the calls in flight and frees the compiled code. If ctx ends
// sooner it gives ctx's error, and may be called again. Calls after it fail with
// [ErrClosed].
func (t *Template) Close(ctx context.Context) error {
	if err := t.gate.close(ctx); err != nil {
		return fmt.Errorf("calls are still running: %w", err)
	}
	t.engine.mu.Lock()
	_, open := t.engine.templates[t]
	delete(t.engine.templates, t)
	t.engine.mu.Unlock()
	if !open {
		return nil
	}
	return t.compiled.Close(context.WithoutCancel(ctx))
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
