package resource

import (
	"errors"
	"slices"
	"unicode/utf8"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/delta"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/route"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// planDecorator compares a decorator with what is stored. publishing names the
// service that it comes along with, if there is one.
func planDecorator(s *session.Session, core *client.Client, d *ruedov1.Decorator, publishing string) (*verb.Plan, error) {
	p := &verb.Plan{Noun: "decorator", Name: d.GetName(), Message: d}
	about := func(err error) error { return session.About(err, "decorator %s", d.GetName()) }
	var was map[string]any
	stored, err := core.Decorators.GetDecorator(s.Ctx, &ruedov1.GetDecoratorRequest{Name: d.GetName()})
	switch {
	case errors.Is(err, fault.DecoratorNotFound):
		p.New = true
	case errors.Is(err, fault.Integrity): // the update replaces what cannot be read
	case err != nil:
		return nil, about(err)
	default:
		was = project.Fields(stored.GetDecorator())
	}
	p.Changes = delta.Of(was, project.Fields(d))
	update := func(force, dry bool) (unchanged bool, err error) {
		res, err := core.Decorators.UpdateDecorator(s.Ctx, &ruedov1.UpdateDecoratorRequest{Decorator: d, Force: force, DryRun: dry, Publishing: publishing})
		return res.GetUnchanged(), err
	}
	// With force, only the decorator itself is checked.
	p.Examine = func([]*verb.Plan) error {
		if _, err := update(true, true); !errors.Is(err, fault.DecoratorNotFound) {
			return about(err)
		}
		return nil
	}
	p.Check = func(force bool) error {
		if _, err := update(force, true); !errors.Is(err, fault.DecoratorNotFound) {
			return about(err)
		}
		return nil
	}
	p.Do = func(force bool) (bool, error) {
		unchanged, err := update(force, false)
		if errors.Is(err, fault.DecoratorNotFound) {
			_, err = core.Decorators.CreateDecorator(s.Ctx, &ruedov1.CreateDecoratorRequest{Decorator: d})
		}
		return unchanged, about(err)
	}
	return p, nil
}

// decoratorsOf returns the decorators that plans define, the last one first: it
// holds if several have one name.
func decoratorsOf(plans []*verb.Plan) []*ruedov1.Decorator {
	var list []*ruedov1.Decorator
	for _, p := range slices.Backward(plans) {
		if d, ok := p.Message.(*ruedov1.Decorator); ok {
			list = append(list, d)
		}
	}
	return list
}

// serviceFields returns what a document of a service says, by the keys of the
// document. The module is its digest, wherever it comes from.
func serviceFields(r *ruedov1.PublishServiceRequest) map[string]any {
	env := map[string]any{}
	for k, v := range r.GetEnv() {
		env[k] = v
	}
	isolation := r.GetIsolation()
	if isolation == ruedov1.Isolation_ISOLATION_UNSPECIFIED {
		isolation = ruedov1.Isolation_ISOLATION_PRISTINE
	}
	example := string(r.GetExample())
	if !utf8.ValidString(example) {
		example = output.Size(uint64(len(example))) + ", " + output.Digest(client.Digest(r.GetExample()))
	}
	var requests any = example
	if len(r.GetHttpExamples()) > 0 {
		requests = project.RequestFields(r.GetHttpExamples())
	}
	fields := map[string]any{
		"description": r.GetDescription(), "tags": texts(r.GetTags()), "decorators": texts(r.GetDecorators()), "env": env, "args": texts(r.GetArgs()),
		"example": requests, "isolation": project.IsolationName(isolation), "placement": r.GetPlacement(), "module": r.GetModule(),
	}
	if len(r.GetRoutes()) > 0 {
		var routes []any
		for _, one := range r.GetRoutes() {
			routes = append(routes, route.Text(one))
		}
		fields["routes"] = routes
	}
	if r.GetInputSchema() != nil {
		fields["input_schema"] = r.GetInputSchema().AsMap()
	}
	if r.GetOutputSchema() != nil {
		fields["output_schema"] = r.GetOutputSchema().AsMap()
	}
	return fields
}

// ServiceFields returns what a document of a published service says, by the keys of
// the document.
func ServiceFields(s *ruedov1.Service) map[string]any { return serviceFields(published(s)) }

// published returns the request that a service was published with.
func published(s *ruedov1.Service) *ruedov1.PublishServiceRequest {
	r := s.GetRevision()
	return &ruedov1.PublishServiceRequest{
		Name: s.GetName(), Description: s.GetDescription(), Tags: s.GetTags(), Module: r.GetModule(), Decorators: r.GetDecorators(), Env: r.GetEnv(),
		Args: r.GetArgs(), Example: r.GetExample(), Isolation: r.GetIsolation(), InputSchema: r.GetInputSchema(), OutputSchema: r.GetOutputSchema(),
		Placement: r.GetPlacement(), HttpExamples: r.GetHttpExamples(), Routes: r.GetRoutes(),
	}
}

// planService compares a service with what is live. definitions are decorators
// that come along.
func planService(s *session.Session, core *client.Client, next *ruedov1.PublishServiceRequest, definitions []*ruedov1.Decorator) (*verb.Plan, error) {
	p := &verb.Plan{Noun: "service", Name: next.GetName()}
	var was map[string]any
	live, err := core.Services.GetService(s.Ctx, &ruedov1.GetServiceRequest{Name: next.GetName()})
	switch {
	case errors.Is(err, fault.ServiceNotFound):
		p.New = true
	case errors.Is(err, fault.Integrity), errors.Is(err, fault.DecoratorNotFound): // the publish replaces what cannot be called
	case err != nil:
		return nil, session.About(err, "service %s", next.GetName())
	default:
		was = serviceFields(published(live.GetService()))
	}
	p.Changes = delta.Of(was, serviceFields(next))
	for _, d := range definitions {
		with, err := planDecorator(s, core, d, next.GetName())
		if err != nil {
			return nil, err
		}
		p.With = append(p.With, with)
	}
	return p, nil
}

// texts returns a list of texts as a list of a document.
func texts(list []string) []any {
	var values []any
	for _, s := range list {
		values = append(values, s)
	}
	return values
}
