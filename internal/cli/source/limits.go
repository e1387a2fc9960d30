package source

import (
	"slices"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Carried returns the decorators of the service, as far as they are known here.
func (src *Source) Carried() []*ruedov1.Decorator {
	names := src.Request.GetDecorators()
	known := slices.Concat(src.Decorators, src.stored)
	return slices.DeleteFunc(known, func(d *ruedov1.Decorator) bool { return !slices.Contains(names, d.GetName()) })
}

// limits returns what those decorators add up to.
func (src *Source) limits() sandbox.Limits {
	sum := limits.Combine(src.Kind(), src.Carried())
	return runner.SandboxLimits(sum)
}

// granted reports whether a decorator of the service grants it some of the network,
// or one that is not known here may do so.
func (src *Source) granted() bool {
	known := src.Carried()
	return len(known) < len(src.Request.GetDecorators()) ||
		slices.ContainsFunc(known, func(d *ruedov1.Decorator) bool { return len(d.GetGrants().GetEgress()) > 0 })
}

// fetchDecorators asks the cluster for the decorators that are neither defined
// next to the service nor written before it. A nil core means the one that the
// settings name.
func (src *Source) fetchDecorators(s *session.Session, core *client.Client) (err error) {
	src.stored = nil
	for _, name := range src.Request.GetDecorators() {
		if slices.ContainsFunc(src.Decorators, func(d *ruedov1.Decorator) bool { return d.GetName() == name }) {
			continue
		}
		if i := slices.IndexFunc(src.Ahead, func(d *ruedov1.Decorator) bool { return d.GetName() == name }); i >= 0 {
			src.stored = append(src.stored, src.Ahead[i])
			continue
		}
		if core == nil {
			if core, err = s.Connect(); err != nil {
				return err
			}
		}
		res, err := core.Decorators.GetDecorator(s.Ctx, &ruedov1.GetDecoratorRequest{Name: name})
		if err != nil {
			return session.About(err, "decorator %s", name)
		}
		src.stored = append(src.stored, res.GetDecorator())
	}
	return nil
}
