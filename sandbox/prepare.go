package sandbox

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
	"github.com/ruedo-dev/ruedo/sandbox/pristine"
)

// warmCalls is how often the example is called before the snapshot: caches that
// a guest fills in its first calls become part of the snapshot.
const warmCalls = 3

// rewrite instruments a module for its limits.
func rewrite(wasm []byte, l Limits) (*instrument.Result, error) {
	return instrument.Rewrite(wasm, instrument.Options{
		Meter:          true,
		MemoryMaxPages: uint32(l.Memory / page),
		// The memory itself refuses sizes above the limit, and records them; growing
		// by a page beyond it is also how it shrinks again.
		MemorySlackPages: pristine.Largest / page,
		TableMax:         maxTable,
	})
}

// prepare starts the module and takes its snapshot.
func (t *Template) prepare(ctx context.Context, example []byte) *fault.Error {
	if t.report.Kind == Command {
		return t.prepareCommand(ctx, example)
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
	if failure := t.warm(ctx, i, example); failure != nil {
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
	return t.rehearse(ctx, example)
}

// prepareCommand takes the snapshot of a program: its data. The program starts
// with each call.
func (t *Template) prepareCommand(ctx context.Context, example []byte) *fault.Error {
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
	return t.rehearse(ctx, example)
}

// maxMemory returns how large the guest's memory can become: its limit, or its
// own maximum.
func (t *Template) maxMemory() uint64 { return uint64(t.rewritten.MemoryMaxPages) * page }

// model returns the instance from which the snapshot is taken, with the
// module's data in its memory.
func (t *Template) model(ctx context.Context) (*instance, *fault.Error) {
	c := newCall(ctx, t.limits, Request{})
	memory, err := pristine.NewTemplateMemory(t.maxMemory())
	if err != nil {
		return nil, t.noMemory(err)
	}
	i, err := t.newInstance(memory, c)
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

// warm calls the example before the snapshot.
func (t *Template) warm(ctx context.Context, i *instance, example []byte) *fault.Error {
	if example == nil {
		return nil
	}
	for range warmCalls {
		c := newCall(ctx, t.limits, Request{Input: example})
		i.begin(c)
		status, err := i.answer()
		c.Finish(status, err)
		t.report.Warm = time.Since(c.began)
		failure := t.classify(i, status, err, t.report.Warm)
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

// rehearse calls the example like any call, twice: if instances are reused, the
// second call gets the one that the first left. It is not used for shared
// instances, which would remember it.
func (t *Template) rehearse(ctx context.Context, example []byte) *fault.Error {
	if example == nil || t.report.Isolation == Shared {
		return nil
	}
	for range 2 {
		res, err := t.Call(ctx, Request{Input: example})
		t.report.Warm = res.Duration
		if err == nil {
			continue
		}
		failure := doing("the example input fails: ", fault.FromError(err))
		if len(res.Logs) > 0 {
			failure.With("logs", lastLines(res.Logs, maxSaid))
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
	if logs := c.Logs(); len(logs) > 0 {
		e.With("logs", lastLines(logs, maxSaid))
	}
	return e
}

// lastLines returns the end of logs, as whole lines or as the end of a long one.
func lastLines(text []byte, limit int) string {
	if len(text) > limit {
		text = text[len(text)-limit:]
		if n := bytes.IndexByte(text, '\n') + 1; n < len(text) {
			text = text[n:]
		}
	}
	return strings.ToValidUTF8(string(text), "") // a character can be cut
}

// doing prefixes the message with what was being done.
func doing(what string, e *fault.Error) *fault.Error {
	e.Message = what + e.Message
	return e
}
