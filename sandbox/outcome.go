package sandbox

import (
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero/sys"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/panics"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sandbox/fuel"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/logs"
	"github.com/ruedo-dev/ruedo/sandbox/limit"
	"github.com/ruedo-dev/ruedo/sandbox/trace"
	"github.com/ruedo-dev/ruedo/sandbox/trap"
)

// classify returns why a call failed, from the runtime's error and from what
// the host functions recorded; nil if it succeeded.
func (t *Template) classify(i *instance, status uint32, err error, took time.Duration) *fault.Error {
	c := i.call
	exit, exited := errors.AsType[*sys.ExitError](err)
	panicked, _ := errors.AsType[*panics.Error](err)
	if exited {
		// For some codes, the runtime's error is a context's error.
		err = fmt.Errorf("it exited with code %d", exit.ExitCode())
	}
	switch {
	case c.Excess > 0:
		return t.limits.OutputOver(c.Excess)
	case c.InputExcess() > 0 && (err != nil || status != 0 || c.Failure != nil):
		return t.limits.InputOver(c.InputExcess())
	case err == nil && c.Failure != nil:
		return guestError(c, nil)
	case err == nil && status == 0:
		return nil
	case err == nil && i.memory.Refused() > 0:
		return t.outOfMemory(i, fmt.Sprintf("it returned %d", int32(status)), nil)
	case err == nil:
		return fault.New(fault.GuestError, "the service returned %d without an error message", int32(status)).
			WithFix("see its logs").With("status", int32(status))
	case errors.Is(err, errHostMemory):
		return t.noMemory(err)
	case panicked != nil:
		t.engine.log.Error("running a guest panicked", "in", i.in, "panic", panicked.Value, "stack", string(panicked.Stack))
		return fault.Wrap(err, fault.Internal, "internal error in the sandbox while running %s", i.in)
	case c.Stopped != fuel.Running:
		used := limit.Used{CPU: i.meter.CPU(), Time: took, Fuel: i.meter.Fuel(), HTTP: t.report.Kind == HTTP, In: i.in}
		return where(t.limits.Stopped(c.Stopped, used, err), err)
	case exited && c.Failure != nil:
		return guestError(c, err)
	case exited && t.report.Kind == Command && exit.ExitCode() == 0:
		return nil
	case exited && i.memory.Refused() > 0:
		return t.outOfMemory(i, fmt.Sprintf("it exited with code %d", exit.ExitCode()), err)
	case exited:
		return t.exited(i, exit.ExitCode(), err)
	}
	return t.trapped(i, err)
}

// exitCode returns the exit code of a guest, or 0.
func exitCode(err error) int {
	if exit, ok := errors.AsType[*sys.ExitError](err); ok {
		return int(exit.ExitCode())
	}
	return 0
}

// notRun is the error of a call whose caller was gone before it began.
func (t *Template) notRun(c *call, err error) *fault.Error {
	if fuel.StopOf(err) == fuel.StopCanceled {
		return fault.Wrap(err, fault.Canceled, "the service was not run: its caller is gone").With("actual_ms", 0)
	}
	return fault.Wrap(err, fault.GuestTimeout, "the service was not run: its caller's deadline has passed").
		WithFix("give the call more time").
		With("limit_ms", t.limits.Timeout.Milliseconds(), "actual_ms", 0, "deadline", "caller")
}

// where adds to the error of a call that the host ended where the guest was.
func where(e *fault.Error, err error) *fault.Error {
	_, frames := trace.Cut(err.Error())
	if in := frames.In(); in != "" {
		e.Message += "; it was in " + in
		e.With("trace", frames)
	}
	return e
}

func (t *Template) outOfMemory(i *instance, how string, err error) *fault.Error {
	if own := t.maxMemory(); own < t.limits.Memory {
		return fault.Wrap(err, fault.GuestMemory, "the service ran out of memory: it wanted %s, its own maximum is %s; %s", text.Exact(i.memory.Refused()), text.Exact(own), how).
			WithFix("build it with a larger maximum of memory").
			With("limit", own, "actual", i.memory.Refused(), "in", i.in)
	}
	return fault.Wrap(err, fault.GuestMemory, "the service ran out of memory: it wanted %s, the limit is %s; %s", text.Exact(i.memory.Refused()), text.Exact(t.limits.Memory), how).
		WithFix("use less, or raise memory in a decorator").
		With("limit", t.limits.Memory, "actual", i.memory.Refused(), "in", i.in)
}

func guestError(c *call, err error) *fault.Error {
	msg := c.Failure.Message
	if msg == "" {
		msg = "the service failed without an error message"
	}
	e := fault.Wrap(err, fault.GuestError, "%s", msg)
	e.Code = c.Failure.Code
	return e
}

func (t *Template) exited(i *instance, code uint32, err error) *fault.Error {
	e := fault.Wrap(err, fault.GuestExit, "the service exited with code %d in %s", code, i.in).
		WithFix("see its logs").With("exit_code", code, "in", i.in)
	if t.report.Kind != Command {
		e.WithFix("a function answers by returning from its handler: remove the exit, or see its logs")
	}
	return e
}

// trapped is the error of a guest that the runtime ended.
func (t *Template) trapped(i *instance, err error) *fault.Error {
	trapped := trap.Read(err)
	kind := trapped.Kind
	switch {
	case trapped.OfHost:
		t.engine.log.Error("a host function panicked", "in", i.in, "error", err)
		return fault.Wrap(errors.New(logs.Clean(err.Error(), 200)), fault.Internal, "internal error in the sandbox while running %s", i.in)
	case i.module == nil && !trapped.OfGuest:
		return fault.Wrap(err, fault.CompileFailed, "the module cannot be set up: %s", logs.Clean(err.Error(), 400)).
			WithFix("its data or table segments do not fit: build it again")
	case kind == trap.StackOverflow:
		return t.limits.StackOver(i.in, err)
	}
	e := fault.Wrap(errors.New(kind), fault.GuestTrap, "the service trapped in %s: %s", i.in, kind).
		WithFix("this is a bug in the service: see the trace and its logs").
		With("in", i.in)
	if i.memory.Refused() > 0 {
		e = t.outOfMemory(i, "it trapped: "+kind, err)
	}
	e.With("kind", kind)
	if len(trapped.Stack) > 0 {
		e.With("trace", trapped.Stack)
	}
	return e
}

// noMemory is the error of a call for which the host had no memory.
func (t *Template) noMemory(err error) *fault.Error {
	return fault.Wrap(err, fault.Internal, "the host has no memory left for a service that may use %d bytes", t.limits.Memory)
}
