package schema

import (
	"context"
	"fmt"
	"slices"

	"github.com/ruedo-dev/ruedo/core/decorate/input"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Checker checks one input against schemas. It counts the cost and stops when
// the budget is spent or the caller is gone. It is not safe for concurrent use.
// Call Close when done.
type Checker struct {
	compiler *Compiler
	ctx      context.Context
	in       input.Document
	violations
	left   int // work
	poll   int // check the context when left is below it
	frames int
	// stopped is why the check ended early, if it did.
	stopped error

	flags  []bool       // a stack, see take
	digits input.Digits // see decimal
}

// Checker reads an input, for checks against this schema and others. The error
// is an [*InputError] or ctx's error. The checks end when ctx does.
func (s *Schema) Checker(ctx context.Context, raw []byte) (*Checker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k := s.compiler.newChecker(ctx)
	if err := k.read(raw); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

func (c *Compiler) newChecker(ctx context.Context) *Checker {
	k, ok := c.checkers.Get().(*Checker)
	if !ok {
		k = &Checker{compiler: c, in: *input.NewDocument()}
	}
	k.ctx, k.left, k.poll = ctx, maxWork, maxWork-pollEvery
	return k
}

func (c *Checker) read(raw []byte) error {
	if err := c.in.Read(c.ctx, raw); err != nil {
		return err
	}
	c.spend(c.in.ReadWork())
	return nil
}

// Check checks the input against a schema that is ready. It reports whether the
// input can be checked against further schemas; if not, [Checker.Result] says
// why. It adds nothing about a value that an earlier schema has refused.
func (c *Checker) Check(s *Schema) bool {
	c.earlier = len(c.fields)
	c.check(s.shared.rule, 0, false, nil)
	return c.stopped == nil
}

// Result returns the violations that were found. complete is false if there may
// be more than fit into an answer. If a limit or the context ended the check,
// Result returns an [*InputLimit] or the error of the context instead.
func (c *Checker) Result() (violations []fault.Field, complete bool, err error) {
	switch c.stopped {
	case nil:
		return c.fields, true, nil
	case errEnough:
		return c.fields, false, nil
	}
	return nil, false, c.stopped
}

// Close retains the checker's memory for the next input: about ten megabytes
// after a large one, until the garbage collector has run twice.
func (c *Checker) Close() {
	c.in.Release()
	c.ctx, c.stopped, c.frames = nil, nil, 0
	c.violations = violations{}
	c.flags = c.flags[:0]
	c.compiler.checkers.Put(c)
}

// spend subtracts work from the budget and reports whether the check goes on.
func (c *Checker) spend(work int) bool {
	if c.left -= work; c.left >= c.poll {
		return true
	}
	if c.stopped != nil {
		return false
	}
	if c.left < 0 {
		c.stopped = errOverWork
		return false
	}
	c.poll = c.left - pollEvery
	if err := c.ctx.Err(); err != nil {
		c.stop(err)
		return false
	}
	return true
}

// stop ends the check: spend returns false from now on.
func (c *Checker) stop(err error) {
	c.stopped, c.left, c.poll = err, -1, 0
}

// fail reports a violation by the current value, unless quiet is true. It
// returns false.
func (c *Checker) fail(quiet bool, format string, args ...any) bool {
	if !quiet {
		c.report("", format, args...)
	}
	return false
}

// report adds a violation by the current value, or by its member with this
// name. When there is no room for more, the check ends.
func (c *Checker) report(member, format string, args ...any) {
	if c.stopped != nil {
		return
	}
	path := c.in.Path(member)
	if slices.ContainsFunc(c.fields[:c.earlier], func(f fault.Field) bool { return f.Path == path }) {
		return
	}
	if !c.violations.add(fault.Field{Path: path, Description: fault.Cut(fmt.Sprintf(format, args...), maxDescription)}) {
		c.stop(errEnough)
	}
}
