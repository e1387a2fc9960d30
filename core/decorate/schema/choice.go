package schema

import "github.com/ruedo-dev/ruedo/core/decorate/input"

// choice is an enum or a const: the canonical forms of the accepted values.
type choice struct {
	kinds   kindSet
	longest int // of the forms, in bytes
	forms   map[string]struct{}
	text    string // "one of ..."
}

// chosen reports whether the value at an index is one of the accepted values.
func (c *Checker) chosen(e *choice, at uint32) bool {
	kind := c.in.Kind(at)
	if !e.kinds.has(kind) || kind == input.String && !c.in.Escaped(at) && len(c.in.Raw(at)) > e.longest {
		return false
	}
	if !c.spend(c.in.FormWork(at)) {
		return false
	}
	_, is := e.forms[string(c.in.Form(at))]
	return is
}
