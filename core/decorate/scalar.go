package decorate

import "unicode/utf8"

func (c *checker) typed(r *rule, at uint32) bool {
	v := &c.values[at]
	if !r.types.has(v.kind) {
		return false
	}
	if v.kind == kindNumber && r.integer {
		return plainInteger(c.raw[v.from:v.to]) || c.decimal(at).integer()
	}
	return true
}

// decimal reads the number at an index. It holds until the next call.
func (c *checker) decimal(at uint32) decimal {
	v := &c.values[at]
	c.spend(2 + int(v.to-v.from)/16)
	return parseDecimal(c.raw[v.from:v.to], &c.first)
}

func (c *checker) formatted(r *rule, at uint32) bool {
	v := &c.values[at]
	if !c.spend(formatWork(r.format.Name, int(v.to-v.from))) {
		return false
	}
	text := string(c.text(at))
	if r.format.Name == "regex" {
		return validRegexp(text) == nil
	}
	return r.format.Validate(text) == nil
}

// textWork is what reading the text of a string costs.
func (d *document) textWork(at uint32) int {
	v := &d.values[at]
	if v.kind == kindEscaped {
		return 4 + int(v.to-v.from)/4
	}
	return int(v.to-v.from) / 32
}

func (c *checker) string(r *rule, at uint32, quiet bool) bool {
	if r.minLength == nil && r.maxLength == nil && r.pattern == nil {
		return true
	}
	if !c.spend(c.textWork(at)) {
		return false
	}
	ok := true
	text := c.text(at)
	if r.minLength != nil || r.maxLength != nil {
		if !c.spend(len(text) / 8) {
			return false
		}
		n := utf8.RuneCount(text)
		if r.minLength != nil && n < *r.minLength {
			ok = c.fail(quiet, "has %d characters; must have at least %d", n, *r.minLength)
		}
		if r.maxLength != nil && n > *r.maxLength {
			ok = c.fail(quiet, "has %d characters; must have at most %d", n, *r.maxLength)
		}
	}
	if r.pattern != nil && (ok || !quiet) {
		if !c.spend(r.pattern.work(len(text))) {
			return false
		}
		if !r.pattern.Match(text) {
			ok = c.fail(quiet, "does not match the pattern %s", cut(r.pattern.String(), maxQuoted))
		}
	}
	return ok
}

func (c *checker) number(r *rule, at uint32, quiet bool) bool {
	if r.bounds == nil && r.multipleOf == nil {
		return true
	}
	ok := true
	v := &c.values[at]
	quick, small := quickFloat(c.raw[v.from:v.to])
	for _, b := range r.bounds {
		var s int
		switch {
		case small && quick < b.float:
			s = -1
		case small && quick > b.float:
			s = +1
		default:
			s = c.decimal(at).compare(b.decimal)
		}
		if s == b.bad || s == 0 && b.exclusive {
			ok = c.fail(quiet, "is %s; must be %s %s", c.literal(at), b.text(), shorten(b.limit.text))
		}
	}
	if m := r.multipleOf; m != nil && (ok || !quiet) {
		got := c.decimal(at)
		if !c.spend(got.work() + m.work()) {
			return false
		}
		if !got.multiple(m.decimal) {
			ok = c.fail(quiet, "is %s; must be a multiple of %s", c.literal(at), shorten(m.text))
		}
	}
	return ok
}

// literal is a number of the input as it is quoted.
func (c *checker) literal(at uint32) string {
	v := &c.values[at]
	return shorten(string(c.raw[v.from:min(v.to, v.from+2*maxLiteral)]))
}
