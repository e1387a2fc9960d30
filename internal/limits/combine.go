package limits

import (
	"fmt"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Combine combines the limits of the decorators of a service of a kind: it returns
// the strictest value of each limit, or its default, so every field that has a
// default is set. No value is above what the kind can have.
func Combine(kind ruedov1.Kind, ds []*ruedov1.Decorator) *ruedov1.Limits {
	sum := &ruedov1.Limits{}
	combine(kind, ds, sum, func(Row, uint64, string, string) {})
	return sum
}

// Effective returns what [Combine] does with one entry per limit of the kind, in
// the order of the table, that says where the value comes from. If two decorators
// set the same value, the first is named.
func Effective(kind ruedov1.Kind, ds []*ruedov1.Decorator) []*ruedov1.EffectiveLimit {
	var all []*ruedov1.EffectiveLimit
	combine(kind, ds, &ruedov1.Limits{}, func(r Row, value uint64, decorator, follows string) {
		all = append(all, &ruedov1.EffectiveLimit{Limit: r.Name, Value: r.format(value), Decorator: decorator, Follows: follows})
	})
	return all
}

// combine sets each limit of sum, and passes on its value and where that comes
// from: a decorator, or another limit.
func combine(kind ruedov1.Kind, ds []*ruedov1.Decorator, sum *ruedov1.Limits, found func(r Row, value uint64, decorator, follows string)) {
	for _, r := range table {
		if !r.has(kind) {
			continue
		}
		value, decorator := r.strictest(ds)
		follows := ""
		if value == 0 {
			value = r.DefaultFor(kind)
			for _, leader := range table {
				if leader.Name != r.Follows {
					continue
				}
				if v := leader.Get(sum); value == 0 || v <= value {
					value, follows = v, leader.Name
				}
			}
		}
		if most := r.most(kind); most != 0 {
			value = min(value, most)
		}
		if value != 0 {
			r.Set(sum, value)
		}
		found(r, value, decorator, follows)
	}
}

// strictest returns the least value that a decorator sets, and its name; zero if
// none does.
func (r Row) strictest(ds []*ruedov1.Decorator) (value uint64, decorator string) {
	for _, d := range ds {
		if v := r.Get(d.GetLimits()); v != 0 && (value == 0 || v < value) {
			value, decorator = v, d.GetName()
		}
	}
	return value, decorator
}

// has reports whether services of a kind have the limit.
func (r Row) has(kind ruedov1.Kind) bool {
	return r.Only == ruedov1.Kind_KIND_UNSPECIFIED || r.Only == kind
}

// DefaultFor returns the default of the limit for a kind of service. Zero means
// that there is no limit, or that of Follows.
func (r Row) DefaultFor(kind ruedov1.Kind) uint64 {
	if kind == ruedov1.Kind_KIND_HTTP && r.HTTP != 0 {
		return r.HTTP
	}
	return r.Default
}

// most returns the greatest value for a kind of service, zero if it is that of the
// range.
func (r Row) most(kind ruedov1.Kind) uint64 {
	if kind == ruedov1.Kind_KIND_HTTP {
		return 0
	}
	return r.Most
}

// Over says which limit of the decorators is above what a service of the kind can
// have, and the decorator that sets it. Both are empty if none is.
func Over(kind ruedov1.Kind, ds []*ruedov1.Decorator) (what, decorator string) {
	for _, r := range table {
		if value, name := r.strictest(ds); r.most(kind) != 0 && value > r.most(kind) {
			return fmt.Sprintf("%s is %s, and more than %s is only for services of kind http", r.Name, r.format(value), r.format(r.most(kind))), name
		}
	}
	return "", ""
}
