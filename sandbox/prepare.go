package sandbox

import (
	"cmp"
	"context"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/logs"
	"github.com/ruedo-dev/ruedo/sandbox/limit"
	"github.com/ruedo-dev/ruedo/sandbox/pristine"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// warmCalls is how often the example is called before the snapshot: caches that
// a guest fills in its first calls become part of the snapshot.
const warmCalls = 3

// prepare starts the module and takes its snapshot.
func (t *Template) prepare(ctx context.Context, examples []Request) *fault.Error {
	if t.report.Kind == Command {
		return t.prepareCommand(ctx, examples)
	}
	began := time.Now()
	i, failure := t.model(ctx)
	if failure != nil {
		return failure
	}
	defer i.close()
	if len(t.rewritten.Reasons) > 0 {
		// The snapshot does not contain what the start does to tables or segments:
		// every instance starts on its own.
		if failure := t.snapshot(i); failure != nil {
			return failure
		}
	}
	if err := i.initialize(); err != nil {
		return t.startFailure(i, 0, err, "the service cannot start: ")
	}
	t.report.Start = time.Since(began)
	if failure := t.warm(ctx, i, examples); failure != nil {
		return failure
	}
	t.report.Memory = i.memory.Size()
	if t.image == nil {
		if failure := t.snapshot(i); failure != nil {
			return failure
		}
		t.started = true
		t.keepGlobals(i)
	}
	return t.rehearse(ctx, examples)
}

// prepareCommand takes the snapshot of a program: its data. The program starts
// with each call.
func (t *Template) prepareCommand(ctx context.Context, examples []Request) *fault.Error {
	began := time.Now()
	i, failure := t.model(ctx)
	if failure != nil {
		return failure
	}
	defer i.close()
	if failure := t.snapshot(i); failure != nil {
		return failure
	}
	t.report.Start, t.report.Memory = time.Since(began), i.memory.Size()
	return t.rehearse(ctx, examples)
}

// maxMemory returns how large the guest's memory can become: its limit, or its
// own maximum.
func (t *Template) maxMemory() uint64 { return uint64(t.rewritten.MemoryMaxPages) * limit.Page }

// model returns the instance from which the snapshot is taken, with the
// module's data in its memory.
func (t *Template) model(ctx context.Context) (*instance, *fault.Error) {
	c := t.newCall(ctx, &Request{})
	memory, err := pristine.NewTemplateMemory(t.maxMemory())
	if err != nil {
		return nil, t.noMemory(err)
	}
	i, err := t.newInstance(memory, c, "")
	if err != nil {
		return nil, t.startFailure(i, 0, err, "the service cannot start: ")
	}
	i.begin(c)
	all := memory.Bytes()
	for _, s := range t.rewritten.Segments {
		if uint64(s.Offset)+uint64(len(s.Bytes)) > uint64(len(all)) {
			i.close()
			return nil, fault.New(fault.CompileFailed, "the module cannot be set up: a data segment of %d bytes at %d does not fit into its memory of %d bytes",
				len(s.Bytes), s.Offset, len(all)).WithFix("build it again")
		}
		copy(all[s.Offset:], s.Bytes)
	}
	return i, nil
}

// examples returns what the module is called with.
func (t *Template) examples(spec Spec) []Request {
	var all []Request
	if spec.Example != nil {
		r := Request{Input: spec.Example}
		if t.report.Kind == HTTP {
			r.Head = abi.AppendField(abi.AppendField(nil, abi.HeadMethod, "POST"), abi.HeadPath, "/")
		}
		all = append(all, r)
	}
	for _, e := range spec.Examples {
		all = append(all, Request{Head: e.Head, Input: e.Input})
	}
	return all
}

// warm calls the examples before the snapshot.
func (t *Template) warm(ctx context.Context, i *instance, examples []Request) *fault.Error {
	for n := range warmCalls * len(examples) {
		req := examples[n/warmCalls]
		if t.report.Kind == HTTP && n%warmCalls == 1 {
			// What a guest does for streams belongs to the snapshot, too.
			req.Body, req.Input, req.Responder = stream.Slow(req.Input), nil, stream.Discard
		}
		c := t.newCall(ctx, &req)
		i.begin(c)
		status, err := i.answer()
		c.Finish(status, err)
		t.report.Warm = time.Since(c.began)
		failure := t.classify(i, status, err, t.report.Warm)
		c.endStreams(failure != nil)
		failure = cmp.Or(failure, t.awaitStreams(c))
		if failure == nil {
			continue
		}
		failure = c.said(doing("the example input fails: ", failure))
		if failure.Reason == fault.GuestError {
			// The guest answered with an error; the next answer can be different.
			t.report.Example = failure
			return nil
		}
		return failure
	}
	return nil
}

// rehearse calls the examples like any call, twice: if instances are reused, the
// second call gets the one that the first left. It is not used for shared
// instances, which would remember it.
func (t *Template) rehearse(ctx context.Context, examples []Request) *fault.Error {
	if t.report.Isolation == Shared {
		return nil
	}
	for n := range 2 * len(examples) {
		res, err := t.Call(ctx, examples[n/2])
		t.report.Warm = res.Duration
		if err == nil {
			continue
		}
		failure := doing("the example input fails: ", fault.FromError(err))
		if len(res.Logs) > 0 {
			failure.With("logs", logs.Tail(res.Logs, maxSaid))
		}
		if failure.Reason != fault.GuestError && failure.Reason != fault.GuestExit {
			return failure
		}
		t.report.Example = failure
	}
	return nil
}

// snapshot takes the memory that instances begin with.
func (t *Template) snapshot(i *instance) *fault.Error {
	image, err := pristine.NewImage(i.memory.Bytes(), pristine.Config{})
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the host cannot take a snapshot of %d bytes", i.memory.Size())
	}
	t.image = image
	return nil
}

func (t *Template) keepGlobals(i *instance) {
	for _, g := range i.globals {
		t.globals = append(t.globals, g.Get())
	}
}

// maxSaid bounds how much is reported of the logs of a module that fails: a
// panic of Go with its stack fits.
const maxSaid = 6 << 10

// startFailure returns why the model did not start, and finishes its call.
func (t *Template) startFailure(i *instance, status uint32, err error, what string) *fault.Error {
	i.call.Finish(status, err)
	failure := t.classify(i, status, err, time.Since(i.call.began))
	if failure == nil {
		failure = fault.New(fault.GuestExit, "it exited with code 0 before its first call")
	}
	return i.call.said(doing(what, failure))
}

// said adds the end of the guest's logs to an error.
func (c *call) said(e *fault.Error) *fault.Error {
	if text := c.Logs(); len(text) > 0 {
		e.With("logs", logs.Tail(text, maxSaid))
	}
	return e
}

// doing prefixes the message with what was being done.
func doing(what string, e *fault.Error) *fault.Error {
	e.Message = what + e.Message
	return e
}
