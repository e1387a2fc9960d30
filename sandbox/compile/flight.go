package compile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox/compile/budget"
)

type counters struct{ compiled, failed, loaded atomic.Int64 }

// entry is a file of code in the working directory. Compiler.mu guards it.
type entry struct {
	key    string
	path   string // empty if there is no file to share
	size   int64
	stored <-chan struct{} // closed when the code is in Config.Dir; nil if it came from there
	refs   int
}

// flight is the creation of an entry for all who wait for it. Compiler.mu
// guards waiters; the rest is set before done is closed.
type flight struct {
	waiters int
	cancel  context.CancelFunc
	done    chan struct{}
	entry   *entry
	report  Report
	err     *fault.Error
}

// job is a module to compile.
type job struct {
	key    string // of its entry
	wasm   []byte
	budget Budget
}

// name identifies a job. One with a larger budget does not wait for another one
// that may fail sooner.
func (j job) name() string { return fmt.Sprintf("%s %d", j.key, j.budget) }

// join returns the entry of a module, with one more reference: the existing
// one, the one being made, or a new one.
func (c *Compiler) join(ctx context.Context, j job) (*entry, Report, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, Report{}, closedError()
	}
	if e := c.placed[j.key]; e != nil {
		e.refs++
		c.mu.Unlock()
		return e, Report{Hit: true, Size: e.size}, nil
	}
	if err := c.failed.Of(j.name(), time.Now()); err != nil {
		c.mu.Unlock()
		return nil, Report{}, err
	}
	f := c.flights[j.name()]
	first := f == nil
	if first {
		f = &flight{done: make(chan struct{})}
		var fctx context.Context
		fctx, f.cancel = context.WithCancel(c.ctx)
		c.flights[j.name()] = f
		c.wg.Go(func() { c.fly(fctx, f, j) })
	}
	f.waiters++
	c.mu.Unlock()

	select {
	case <-f.done:
	case <-ctx.Done():
		if c.leave(f, j) {
			return nil, Report{}, canceled(ctx)
		}
		<-f.done
	}
	if f.err != nil {
		if c.ctx.Err() != nil && f.err.Reason == fault.Canceled {
			return nil, Report{}, closedError()
		}
		return nil, Report{}, f.err
	}
	report := f.report
	if !first {
		report.Hit, report.Compile, report.Memory = true, 0, 0
	}
	return f.entry, report, nil
}

// leave stops waiting. It returns false if it is too late, because the flight
// has landed. The last one to leave ends the flight, and the next caller starts
// again.
func (c *Compiler) leave(f *flight, j job) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-f.done:
		return false
	default:
	}
	f.waiters--
	if f.waiters == 0 {
		f.cancel()
		delete(c.flights, j.name())
	}
	return true
}

// fly makes an entry and lands.
func (c *Compiler) fly(ctx context.Context, f *flight, j job) {
	defer f.cancel()
	scratch := c.sealed.Fresh("scratch-")
	defer func() {
		if err := os.RemoveAll(scratch); err != nil && !c.sealed.Broken() {
			c.log.Warn("a directory of the compiler cannot be removed", "dir", scratch, "error", err)
		}
	}()
	mended := c.sealed.Mended()
	p, report, failure := c.obtain(ctx, scratch, j)
	if failure != nil && failure.Reason == fault.RunnerDisk && c.sealed.Recover(failure.Err, mended) && os.RemoveAll(scratch) == nil {
		p, report, failure = c.obtain(ctx, scratch, j)
	}
	switch {
	case failure == nil:
		c.sealed.Worked()
	case failure.Reason == fault.RunnerDisk:
		c.sealed.Failed(failure.Err)
	}
	c.land(f, j, p, report, failure)
}

// obtain loads code from the disk or compiles it.
func (c *Compiler) obtain(ctx context.Context, scratch string, j job) (p product, report Report, failure *fault.Error) {
	defer func() {
		if v := recover(); v != nil {
			c.log.Error("compiling a module panicked", "panic", v, "stack", string(debug.Stack()))
			failure = internal(fmt.Errorf("panic: %v", v), "the module could not be compiled")
		}
	}()
	if err := c.sealed.Mend(); err != nil {
		return p, report, noDisk(err)
	}
	if p, ok := c.load(j); ok {
		return p, Report{Hit: true}, nil
	}
	// Others on the same directory, such as the second runner of a machine, want
	// the same code at the same time.
	patience := budget.Limits{CPU: c.cfg.CPU, Timeout: c.cfg.Timeout, Memory: c.cfg.Memory}.For(j.wasm, j.budget).Timeout / claimShare
	waited, release := c.sealed.Claim(ctx, j.key, patience)
	defer func() {
		if p.stored == nil {
			release()
		}
	}()
	if waited {
		if p, ok := c.load(j); ok {
			return p, Report{Hit: true}, nil
		}
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return p, report, canceled(ctx)
	}
	if p, failure = c.produce(ctx, scratch, j); failure != nil {
		if failure.Reason != fault.Canceled {
			c.count.failed.Add(1)
		}
		return product{}, report, failure
	}
	c.count.compiled.Add(1)
	if p.name != "" {
		store, err := c.sealed.Save(j.key, p.name, p.path)
		if err != nil {
			return product{}, report, noDisk(err)
		}
		// Whoever asked for the code loads it meanwhile.
		stored := make(chan struct{})
		c.wg.Go(func() {
			defer close(stored)
			defer release()
			store()
		})
		p.stored = stored
	}
	return p, Report{Compile: p.compile, Memory: p.memory}, nil
}

// claimShare is the part of a child's time that another one is waited for which
// compiles the same: long enough for an honest module.
const claimShare = 4

// load loads code from the disk.
func (c *Compiler) load(j job) (p product, ok bool) {
	p.path, p.name, ok = c.sealed.Load(j.key)
	if ok {
		c.count.loaded.Add(1)
	}
	return p, ok
}

// land puts code in its place and wakes all who wait. If nobody waits, it
// removes the code.
func (c *Compiler) land(f *flight, j job, p product, report Report, failure *fault.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	if c.flights[j.name()] == f {
		delete(c.flights, j.name())
	}
	if failure == nil && f.waiters > 0 {
		f.entry, failure = c.place(j.key, p)
	} else if p.path != "" {
		_ = os.Remove(p.path)
	}
	if failure != nil {
		f.err = failure
		c.failed.Add(j.name(), failure, time.Now())
		return
	}
	if f.entry != nil {
		f.entry.refs += f.waiters
		report.Size = f.entry.size
	}
	f.report = report
}

// place moves code to where wazero finds it.
func (c *Compiler) place(key string, p product) (*entry, *fault.Error) {
	if e := c.placed[key]; e != nil { // of a flight that began after this one was abandoned
		if p.path != "" {
			_ = os.Remove(p.path)
		}
		return e, nil
	}
	e := &entry{key: key, stored: p.stored}
	if p.name != "" {
		e.path = filepath.Join(c.sealed.Path("code"), filepath.FromSlash(p.name))
		st, err := os.Stat(p.path)
		if err == nil {
			e.size = st.Size()
			err = errors.Join(os.MkdirAll(filepath.Dir(e.path), 0o700), os.Rename(p.path, e.path))
		}
		if err != nil {
			return nil, noDisk(err)
		}
	}
	c.placed[key] = e
	return e, nil
}

// release removes one reference. Compiler.mu is held.
func (c *Compiler) release(e *entry) {
	e.refs--
	if e.refs > 0 {
		return
	}
	delete(c.placed, e.key)
	if e.path != "" {
		if err := os.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.log.Warn("a file of the compiler cannot be removed", "file", e.path, "error", err)
		}
	}
}
