package schema

import (
	"unicode/utf8"

	"github.com/ruedo-dev/ruedo/core/decorate/input"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

func (c *Checker) typed(r *rule, at uint32) bool {
	kind := c.in.Kind(at)
	if !r.types.has(kind) {
		return false
	}
	if kind == input.Number && r.integer {
		return input.PlainInteger(c.in.Raw(at)) || c.decimal(at).Integer()
	}
	return true
}

// decimal returns the number at an index. It is valid until the next call.
func (c *Checker) decimal(at uint32) input.Decimal {
	literal := c.in.Raw(at)
	c.spend(2 + len(literal)/16)
	return input.ParseDecimal(literal, &c.digits)
}

func (c *Checker) string(r *rule, at uint32, quiet bool) bool {
	if r.length == (extent{}) && r.pattern == nil {
		return true
	}
	if !c.spend(c.in.TextWork(at)) {
		return false
	}
	ok := true
	text := c.in.Text(at)
	if r.length != (extent{}) {
		if !c.spend(len(text) / 8) {
			return false
		}
		if n := utf8.RuneCount(text); !r.length.accepts(n) {
			ok = c.miscounted(r.length, n, "characters; must", quiet)
		}
	}
	if r.pattern != nil && (ok || !quiet) {
		if !c.spend(r.pattern.Work(len(text))) {
			return false
		}
		if !r.pattern.Match(text) {
			ok = c.fail(quiet, "does not match the pattern %s", fault.Cut(r.pattern.String(), maxQuoted))
		}
	}
	return ok
}

func (c *Checker) number(r *rule, at uint32, quiet bool) bool {
	if r.bounds == nil && r.multipleOf == nil {
		return true
	}
	ok := true
	double, short := input.Float(c.in.Raw(at))
	for _, b := range r.bounds {
		var s int
		switch {
		case short && double < b.float:
			s = -1
		case short && double > b.float:
			s = +1
		default:
			s = c.decimal(at).Compare(b.Decimal)
		}
		if s == b.bad || s == 0 && b.exclusive {
			ok = c.fail(quiet, "is %s; must be %s %s", c.literal(at), b.text(), shorten(b.limit.text))
		}
	}
	if m := r.multipleOf; m != nil && (ok || !quiet) {
		got := c.decimal(at)
		if !c.spend(got.Work() + m.Work()) {
			return false
		}
		if !got.MultipleOf(m.Decimal) {
			ok = c.fail(quiet, "is %s; must be a multiple of %s", c.literal(at), shorten(m.text))
		}
	}
	return ok
}

// literal returns a number of the input in the form that errors quote.
func (c *Checker) literal(at uint32) string {
	raw := c.in.Raw(at)
	return shorten(string(raw[:min(len(raw), 2*maxLiteral)]))
}
