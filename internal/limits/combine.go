package limits

import ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"

// Combine combines the limits of decorators: it returns the strictest value of
// each limit, or its default, so every field that has a default is set. The
// second result has one entry per row, in the order of the table, that says
// where the value comes from. If two decorators set the same value, the first
// is named.
func Combine(ds []*ruedov1.Decorator) (*ruedov1.Limits, []*ruedov1.EffectiveLimit) {
	sum := &ruedov1.Limits{}
	var effective []*ruedov1.EffectiveLimit
	for _, r := range Table() {
		e := &ruedov1.EffectiveLimit{Limit: r.Name}
		var value uint64
		for _, d := range ds {
			if v := r.Get(d.GetLimits()); v != 0 && (value == 0 || v < value) {
				value, e.Decorator = v, d.GetName()
			}
		}
		if value == 0 {
			value = r.Default
			if leader, ok := Lookup(r.Follows); ok {
				value, e.Follows = leader.Get(sum), leader.Name
			}
		}
		if value != 0 {
			r.Set(sum, value)
		}
		e.Value = r.format(value)
		effective = append(effective, e)
	}
	return sum, effective
}
