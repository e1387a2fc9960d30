package decorate

import (
	"context"
	"fmt"
	"hash/maphash"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// checker holds one input against the schemas of a service. It counts what that
// costs, see work.go, and stops when the budget is spent or the caller is gone.
type checker struct {
	document
	violations
	left   int // work
	poll   int // look at the context when left is below it
	frames int
	// stopped is why the check was given up, if it was.
	stopped error

	flags   []bool // a stack, see take
	scratch []byte // a stack of canonical forms
	marks   []mark // a stack, see uniqueItems
	first   [maxDigits]byte
}

// newChecker returns a checker for one input; release it.
func (c *Compiler) newChecker(ctx context.Context) *checker {
	k, ok := c.checkers.Get().(*checker)
	if !ok {
		k = &checker{document: document{seed: maphash.MakeSeed()}}
	}
	k.ctx, k.left, k.poll = ctx, maxWork, maxWork-pollEvery
	return k
}

// release keeps the checker's memory for the next input: some ten megabytes after
// a large one, until the garbage collector has run twice.
func (c *Compiler) release(k *checker) {
	if len(k.raw) > largeInput {
		c.quiet.Reset(quietAfter)
	}
	k.raw, k.ctx, k.stopped, k.frames = nil, nil, nil, 0
	k.violations = violations{}
	k.flags, k.scratch, k.marks = k.flags[:0], k.scratch[:0], k.marks[:0]
	c.checkers.Put(k)
}

// spend takes from the budget and reports whether the check goes on.
func (c *checker) spend(work int) bool {
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

// stop gives the check up: spend returns false from now on.
func (c *checker) stop(err error) {
	c.stopped, c.left, c.poll = err, -1, 0
}

// check reports whether the value at index at fits a rule. A violation is added
// to the fields, unless quiet: then the first one ends the check. seen, if not
// nil, is marked with the members or items that the rule has looked at, for
// unevaluatedProperties and unevaluatedItems; it means nothing if the value does
// not fit. When the checker has stopped, the answer means nothing.
func (c *checker) check(r *rule, at uint32, quiet bool, seen []bool) bool {
	if r == nil {
		return true
	}
	if !c.spend(r.work) {
		return false
	}
	if c.frames++; c.frames > maxFrames {
		c.stop(errTooDeep)
		return false
	}
	marks := len(c.flags)
	ok := c.rule(r, at, quiet, seen)
	c.flags = c.flags[:marks]
	c.frames--
	return ok
}

// take returns n flags that are false. They are given back when check returns.
func (c *checker) take(n int) []bool {
	from := len(c.flags)
	for range n {
		c.flags = append(c.flags, false)
	}
	return c.flags[from : from+n : from+n]
}

func (c *checker) rule(r *rule, at uint32, quiet bool, seen []bool) bool {
	v := &c.values[at]
	// What follows a wrong type or choice would only repeat it.
	switch {
	case r.never:
		return c.fail(quiet, "is not accepted")
	case r.types != 0 && !c.typed(r, at):
		return c.fail(quiet, "is of type %s; must be %s", v.kind, r.wantTypes)
	case r.enum != nil && !c.chosen(r.enum, at):
		return c.fail(quiet, "must be %s", r.enum.text)
	case r.format != nil && (v.kind == kindString || v.kind == kindEscaped) && !c.formatted(r, at):
		return c.fail(quiet, "is not a valid %s", r.format.Name)
	}
	if c.stopped != nil {
		return false
	}
	evaluated := seen
	if (r.hasUnevaluatedMem && v.kind == kindObject || r.hasUnevaluatedItems && v.kind == kindArray || seen != nil) && v.count > 0 {
		if !c.spend(int(v.count)/8 + 1) {
			return false
		}
		evaluated = c.take(int(v.count))
	}
	ok := true
	switch v.kind {
	case kindObject:
		ok = c.object(r, at, quiet, evaluated)
	case kindArray:
		ok = c.array(r, at, quiet, evaluated)
	case kindString, kindEscaped:
		ok = c.string(r, at, quiet)
	case kindNumber:
		ok = c.number(r, at, quiet)
	}
	if ok || !quiet && c.stopped == nil {
		ok = c.inPlace(r, at, quiet, evaluated) && ok
	}
	if ok {
		ok = c.unevaluated(r, at, quiet, evaluated)
	}
	if ok && seen != nil {
		for i, is := range evaluated {
			if is {
				seen[i] = true
			}
		}
	}
	return ok && c.stopped == nil
}

func (c *checker) fail(quiet bool, format string, args ...any) bool {
	if !quiet {
		c.report(c.path, "", format, args...)
	}
	return false
}

// report adds a violation; when there is no room for more, the check is over.
func (c *checker) report(path []step, name, format string, args ...any) {
	if c.stopped != nil {
		return
	}
	if !c.violations.add(fault.Field{Path: c.document.at(path, name), Description: cut(fmt.Sprintf(format, args...), maxDescription)}) {
		c.stop(errEnough)
	}
}

// fits checks a part of the value: a member or an item.
func (c *checker) fits(r *rule, at uint32, s step, quiet bool) bool {
	if r == nil {
		return true
	}
	c.path = append(c.path, s)
	ok := c.check(r, at, quiet, nil)
	c.path = c.path[:len(c.path)-1]
	return ok
}

func (c *checker) object(r *rule, at uint32, quiet bool, evaluated []bool) bool {
	count := int(c.values[at].count)
	ok := true
	if r.minMembers != nil && count < *r.minMembers {
		ok = c.fail(quiet, "has %d fields; must have at least %d", count, *r.minMembers)
	}
	if r.maxMembers != nil && count > *r.maxMembers {
		ok = c.fail(quiet, "has %d fields; must have at most %d", count, *r.maxMembers)
	}
	if !ok && quiet {
		return false
	}
	if r.members == nil && r.patterns == nil && !r.hasRest && r.memberNames == nil {
		return ok
	}
	there := c.take(r.watched)
	key := at + 1
	for i := range count {
		name, v := key, key+1
		key = c.values[v].next
		s := memberStep(name)
		if !c.spend(1 + c.textWork(name)) {
			return false
		}
		listed := false
		text := c.text(name)
		if m, is := r.members[string(text)]; is {
			if m.watch > 0 {
				there[m.watch-1] = true
			}
			if listed = m.listed; listed {
				ok = c.fits(m.rule, v, s, quiet) && ok
			}
		}
		for _, p := range r.patterns {
			if !c.spend(p.pattern.work(len(text))) {
				return false
			}
			if p.pattern.Match(text) {
				listed = true
				ok = c.fits(p.rule, v, s, quiet) && ok
			}
		}
		if !listed && r.hasRest {
			listed = true
			ok = c.fits(r.rest, v, s, quiet) && ok
		}
		if r.memberNames != nil && !c.check(r.memberNames, name, true, nil) {
			ok = c.fail(quiet, "has a field name that is not accepted")
		}
		if listed && evaluated != nil {
			evaluated[i] = true
		}
		if !ok && (quiet || c.stopped != nil) {
			return false
		}
	}
	for _, w := range r.required {
		if !there[w.index] {
			if ok = false; quiet || c.stopped != nil {
				return false
			}
			c.report(c.path, w.name, "is required")
		}
	}
	for _, n := range r.needs {
		if !there[n.of.index] {
			continue
		}
		for _, w := range n.names {
			if !there[w.index] {
				if ok = false; quiet {
					return false
				}
				c.report(c.path, w.name, "is required where %s is given", cut(n.of.name, maxToken))
			}
		}
	}
	for _, d := range r.dependents {
		if there[d.of.index] {
			ok = c.check(d.rule, at, quiet, evaluated) && ok
		}
	}
	return ok
}

func (c *checker) array(r *rule, at uint32, quiet bool, evaluated []bool) bool {
	count := int(c.values[at].count)
	ok := true
	if r.minItems != nil && count < *r.minItems {
		ok = c.fail(quiet, "has %d items; must have at least %d", count, *r.minItems)
	}
	if r.maxItems != nil && count > *r.maxItems {
		ok = c.fail(quiet, "has %d items; must have at most %d", count, *r.maxItems)
	}
	if !ok && quiet {
		return false
	}
	if r.uniqueItems && count > 1 {
		if a, b, twice := c.duplicates(at); twice {
			ok = c.fail(quiet, "items %d and %d are equal; all must differ", a, b)
		}
	}
	if r.prefix == nil && !r.hasItems && !r.hasContains {
		return ok
	}
	fit := 0
	v := at + 1
	for i := range count {
		if !c.spend(1) {
			return false
		}
		switch {
		case i < len(r.prefix):
			ok = c.fits(r.prefix[i], v, itemStep(i), quiet) && ok
		case r.hasItems:
			ok = c.fits(r.items, v, itemStep(i), quiet) && ok
		}
		if evaluated != nil && (i < len(r.prefix) || r.hasItems) {
			evaluated[i] = true
		}
		if r.hasContains && c.fits(r.contains, v, itemStep(i), true) {
			fit++
			if evaluated != nil && r.containsEvaluates {
				evaluated[i] = true
			}
		}
		if !ok && (quiet || c.stopped != nil) {
			return false
		}
		v = c.values[v].next
	}
	if r.hasContains {
		if fit < r.minContains {
			ok = c.fail(quiet, "has %d items of a form of which it must have at least %d", fit, r.minContains)
		}
		if r.maxContains != nil && fit > *r.maxContains {
			ok = c.fail(quiet, "has %d items of a form of which it must have at most %d", fit, *r.maxContains)
		}
	}
	return ok
}

// inPlace checks the rules that are about the same value.
func (c *checker) inPlace(r *rule, at uint32, quiet bool, evaluated []bool) bool {
	ok := true
	for _, sub := range r.all {
		if !c.check(sub, at, quiet, evaluated) {
			if ok = false; quiet || c.stopped != nil {
				return false
			}
		}
	}
	if r.hasNot && c.check(r.not, at, true, nil) {
		ok = c.fail(quiet, "is of a form that is not accepted")
	}
	for _, choices := range r.any {
		fits := false
		for _, sub := range choices {
			fits = c.check(sub, at, true, evaluated) || fits
			if fits && evaluated == nil || c.stopped != nil {
				break
			}
		}
		if !fits {
			ok = c.fail(quiet, "fits none of the accepted forms")
		}
	}
	for _, choices := range r.one {
		fits := 0
		for _, sub := range choices {
			if c.check(sub, at, true, evaluated) {
				if fits++; fits > 1 {
					break
				}
			}
			if c.stopped != nil {
				break
			}
		}
		if fits != 1 {
			ok = c.fail(quiet, "must fit exactly one of the accepted forms")
		}
	}
	if c.stopped != nil || !ok && quiet {
		return false
	}
	if r.hasCond {
		branch := r.otherwise
		if c.check(r.cond, at, true, evaluated) {
			branch = r.then
		}
		ok = c.check(branch, at, quiet, evaluated) && ok
	}
	return ok
}

func (c *checker) unevaluated(r *rule, at uint32, quiet bool, evaluated []bool) bool {
	v := &c.values[at]
	ok := true
	switch {
	case v.kind == kindObject && r.hasUnevaluatedMem:
		key := at + 1
		for i := range evaluated {
			name := key
			key = c.values[name+1].next
			if !evaluated[i] {
				ok = c.fits(r.unevaluatedMembers, name+1, memberStep(name), quiet) && ok
			}
			evaluated[i] = true
			if !c.spend(1) || !ok && quiet {
				return false
			}
		}
	case v.kind == kindArray && r.hasUnevaluatedItems:
		item := at + 1
		for i := range evaluated {
			if !evaluated[i] {
				ok = c.fits(r.unevaluatedItems, item, itemStep(i), quiet) && ok
			}
			evaluated[i] = true
			item = c.values[item].next
			if !c.spend(1) || !ok && quiet {
				return false
			}
		}
	}
	return ok
}
