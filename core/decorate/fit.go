package decorate

import (
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// Fit returns DECORATOR_INVALID if a service cannot carry its decorators, because
// of its kind: a schema checks the whole input of a call, and a service of kind
// http has none.
func (r *Rules) Fit(service string) error {
	for _, d := range r.decorators {
		if r.kind != ruedov1.Kind_KIND_HTTP || !d.HasSchema() {
			continue
		}
		return fault.New(fault.DecoratorInvalid, "service %s is of kind http and cannot carry decorator %s, which has an input schema: a schema checks the input of a function", service, d.GetName()).
			With("service", service, "decorator", d.GetName()).
			WithFix("remove decorator %s from service %s, or the schema from the decorator, and check requests in the handler", d.GetName(), service)
	}
	what, decorator := limits.Over(r.kind, r.limiting())
	if what == "" {
		return nil
	}
	e := fault.New(fault.DecoratorInvalid, "service %s cannot have the limits of its decorators: %s", service, what).With("service", service)
	if decorator != "" {
		e.With("decorator", decorator)
	}
	return e.WithFix("lower the limit in decorator %s, or let %s carry another one", decorator, service)
}
