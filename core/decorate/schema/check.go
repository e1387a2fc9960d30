package schema

import (
	"maps"
	"slices"

	"github.com/ruedo-dev/ruedo/core/decorate/input"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// check reports whether the value at index at fits a rule. A violation is added
// to the fields, unless quiet: then the first one ends the check. seen, if not
// nil, marks the members or items that the rule has looked at, for
// unevaluatedProperties and unevaluatedItems; it is meaningless if the value
// does not fit. When the checker has stopped, the result is meaningless.
func (c *Checker) check(r *rule, at uint32, quiet bool, seen []bool) bool {
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

// take returns n flags, all false. They are released when check returns.
func (c *Checker) take(n int) []bool {
	from := len(c.flags)
	c.flags = append(c.flags, make([]bool, n)...)
	return c.flags[from : from+n : from+n]
}

func (c *Checker) rule(r *rule, at uint32, quiet bool, seen []bool) bool {
	kind := c.in.Kind(at)
	// Further violations would only repeat a wrong type or choice.
	switch {
	case r.never:
		return c.fail(quiet, "is not accepted")
	case r.types != 0 && !c.typed(r, at):
		return c.fail(quiet, "is of type %s; must be %s", kind, r.wantTypes)
	case r.enum != nil && !c.chosen(r.enum, at):
		return c.fail(quiet, "must be %s", r.enum.text)
	case r.format != nil && kind == input.String && !c.formatted(r, at):
		return c.fail(quiet, "is not a valid %s", r.format.Name)
	}
	if c.stopped != nil {
		return false
	}
	evaluated := seen
	if count := c.in.Count(at); count > 0 && (seen != nil || r.unevaluates(kind)) {
		if !c.spend(count/8 + 1) {
			return false
		}
		evaluated = c.take(count)
	}
	ok := true
	switch kind {
	case input.Object:
		ok = c.object(r, at, quiet, evaluated)
	case input.Array:
		ok = c.array(r, at, quiet, evaluated)
	case input.String:
		ok = c.string(r, at, quiet)
	case input.Number:
		ok = c.number(r, at, quiet)
	}
	if r.inPlace != nil && (ok || !quiet && c.stopped == nil) {
		ok = c.inPlace(r.inPlace, at, quiet, evaluated) && ok
	}
	if ok && r.unevaluates(kind) {
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

// fits checks a part of the value: a member or an item.
func (c *Checker) fits(r *rule, at uint32, s input.Step, quiet bool) bool {
	if r == nil {
		return true
	}
	c.in.Enter(s)
	ok := c.check(r, at, quiet, nil)
	c.in.Leave()
	return ok
}

func (c *Checker) object(r *rule, at uint32, quiet bool, evaluated []bool) bool {
	count := c.in.Count(at)
	ok := r.size.accepts(count) || c.miscounted(r.size, count, "fields; must", quiet)
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
		key = c.in.Next(v)
		s := input.Member(name)
		if !c.spend(1 + c.in.TextWork(name)) {
			return false
		}
		listed := false
		text := c.in.Text(name)
		if m, is := r.members[string(text)]; is {
			if m.watch > 0 {
				there[m.watch-1] = true
			}
			if listed = m.listed; listed {
				ok = c.fits(m.rule, v, s, quiet) && ok
			}
		}
		for _, p := range r.patterns {
			if !c.spend(p.pattern.Work(len(text))) {
				return false
			}
			if p.pattern.Match(text) {
				listed = true
				ok = c.fits(p.rule, v, s, quiet) && ok
			}
		}
		if !listed && r.hasRest {
			listed = true
			if r.rest != nil && r.rest.never && !quiet {
				c.in.Enter(s)
				ok = c.fail(quiet, "is not accepted%s", c.meant(r, text))
				c.in.Leave()
			} else {
				ok = c.fits(r.rest, v, s, quiet) && ok
			}
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
			c.report(w.name, "is required")
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
				c.report(w.name, "is required where %s is given", fault.Cut(n.of.name, maxName))
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

// meant returns ", did you mean NAME?" if a name that an object can have is near.
func (c *Checker) meant(r *rule, name []byte) (hint string) {
	if work := 20 * len(r.members) * (len(name) + 1); work < c.left/8 && c.spend(work) {
		hint = suggest.DidYouMean(string(name), slices.Sorted(maps.Keys(r.members)))
	}
	if hint != "" {
		hint = ", " + hint
	}
	return hint
}

func (c *Checker) array(r *rule, at uint32, quiet bool, evaluated []bool) bool {
	count := c.in.Count(at)
	ok := r.count.accepts(count) || c.miscounted(r.count, count, "items; must", quiet)
	if !ok && quiet {
		return false
	}
	if r.uniqueItems && count > 1 {
		if !c.spend(c.in.DuplicatesWork(at)) {
			return false
		}
		if a, b, found := c.in.Duplicates(at); found {
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
			ok = c.fits(r.prefix[i], v, input.Item(i), quiet) && ok
		case r.hasItems:
			ok = c.fits(r.items, v, input.Item(i), quiet) && ok
		}
		if evaluated != nil && (i < len(r.prefix) || r.hasItems) {
			evaluated[i] = true
		}
		if r.hasContains && c.fits(r.contains, v, input.Item(i), true) {
			fit++
			if evaluated != nil && r.containsEvaluates {
				evaluated[i] = true
			}
		}
		if !ok && (quiet || c.stopped != nil) {
			return false
		}
		v = c.in.Next(v)
	}
	if r.hasContains && !r.contained.accepts(fit) {
		ok = c.miscounted(r.contained, fit, "items of a form of which it must", quiet)
	}
	return ok
}

// miscounted reports that there are n of something, which an extent does not accept.
// what is for example "items; must".
func (c *Checker) miscounted(e extent, n int, what string, quiet bool) bool {
	if n < e.least {
		c.fail(quiet, "has %d %s have at least %d", n, what, e.least)
	}
	if most := e.below - 1; most >= 0 && n > most {
		c.fail(quiet, "has %d %s have at most %d", n, what, most)
	}
	return false
}

// inPlace checks the same value against the rules that a rule refers to.
func (c *Checker) inPlace(r *inPlace, at uint32, quiet bool, evaluated []bool) bool {
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

// unevaluated checks the members or items that nothing has looked at.
func (c *Checker) unevaluated(r *rule, at uint32, quiet bool, evaluated []bool) bool {
	ok, members, v := true, c.in.Kind(at) == input.Object, at+1
	for i := range evaluated {
		sub, step := r.unevaluatedItems, input.Item(i)
		if members {
			sub, step = r.unevaluatedMembers, input.Member(v)
			v++ // from the name to its value
		}
		if !evaluated[i] {
			ok = c.fits(sub, v, step, quiet) && ok
		}
		evaluated[i] = true
		v = c.in.Next(v)
		if !c.spend(1) || !ok && quiet {
			return false
		}
	}
	return ok
}
