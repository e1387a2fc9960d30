package limits

import ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"

// Combine combines the limits of decorators: it returns the strictest value of
// each limit, or its default, so every field that has a default is set.
func Combine(ds []*ruedov1.Decorator) *ruedov1.Limits {
	sum := &ruedov1.Limits{}
	combine(ds, sum, func(Row, uint64, string, string) {})
	return sum
}

// Effective returns what [Combine] does with one entry per row, in the order of the
// table, that says where the value comes from. If two decorators set the same
// value, the first is named.
func Effective(ds []*ruedov1.Decorator) []*ruedov1.EffectiveLimit {
	var all []*ruedov1.EffectiveLimit
	combine(ds, &ruedov1.Limits{}, func(r Row, value uint64, decorator, follows string) {
		all = append(all, &ruedov1.EffectiveLimit{Limit: r.Name, Value: r.format(value), Decorator: decorator, Follows: follows})
	})
	return all
}

// combine sets each limit of sum, and passes on its value and where that comes
// from: a decorator, or another limit.
func combine(ds []*ruedov1.Decorator, sum *ruedov1.Limits, found func(r Row, value uint64, decorator, follows string)) {
	table := Table()
	for _, r := range table {
		var value uint64
		var decorator, follows string
		for _, d := range ds {
			if v := r.Get(d.GetLimits()); v != 0 && (value == 0 || v < value) {
				value, decorator = v, d.GetName()
			}
		}
		if value == 0 {
			value = r.Default
			for _, leader := range table {
				if leader.Name == r.Follows {
					value, follows = leader.Get(sum), leader.Name
				}
			}
		}
		if value != 0 {
			r.Set(sum, value)
		}
		found(r, value, decorator, follows)
	}
}
