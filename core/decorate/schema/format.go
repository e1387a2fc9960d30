package schema

import "regexp/syntax"

// formatted reports whether the string at an index has the format of a rule.
func (c *Checker) formatted(r *rule, at uint32) bool {
	if !c.spend(formatWork(r.format.Name, len(c.in.Raw(at)))) {
		return false
	}
	text := string(c.in.Text(at))
	if r.format.Name == "regex" {
		// It is parsed, not compiled, so that (x{1000}){1000} does not cost its
		// full size.
		_, err := syntax.Parse(text, syntax.Perl)
		return err == nil
	}
	return r.format.Validate(text) == nil
}

// formatWork returns what checking the format of a string of n bytes costs.
func formatWork(name string, n int) int {
	if name == "regex" {
		return 64 + 512*n // classes of Unicode have hundreds of ranges
	}
	return 8 + n
}
