package source

import (
	"errors"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/delta"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Compare finds out what Publish would change in the decorators, so that it
// prints that. It writes nothing.
func (src *Source) Compare(s *session.Session, core *client.Client) error {
	src.changes = map[string][]delta.Change{}
	for _, d := range src.Decorators {
		stored, err := core.Decorators.GetDecorator(s.Ctx, &ruedov1.GetDecoratorRequest{Name: d.GetName()})
		switch {
		case errors.Is(err, fault.DecoratorNotFound), errors.Is(err, fault.Integrity): // all of it is new
		case err != nil:
			return session.About(err, "decorator %s", d.GetName())
		default:
			src.changes[d.GetName()] = delta.Of(project.Fields(stored.GetDecorator()), project.Fields(d))
		}
	}
	return nil
}

// Publish uploads the module, then makes the service live and writes the
// decorators in one step. force writes them even if other services that carry
// them could not run.
func (src *Source) Publish(s *session.Session, core *client.Client, force bool) (*ruedov1.PublishServiceResponse, error) {
	for _, d := range src.Decorators {
		WarnOfKeywords(s, d)
	}
	if src.derived != nil && !src.reconciled {
		if err := src.fetchDecorators(s, core); err != nil {
			return nil, err
		}
		src.Reconcile(s)
	}
	s.Progressf("uploading %s", output.Size(uint64(len(src.Wasm))))
	step, done := s.Progress("uploading")
	digest, err := core.Upload(s.Ctx, src.Wasm, step)
	done()
	if err != nil {
		return nil, err
	}
	src.Request.Module, src.Request.Definitions, src.Request.Force = digest, src.Decorators, force
	src.Request.Origin = origin(src.path)
	res, err := prepare(s, core, src.Request, firstLook)
	if err != nil {
		return nil, cannotStart(err)
	}
	WarnOf(s, res)
	written := map[string]string{}
	for _, d := range res.GetDefinitions() {
		written[d.GetName()] = "updated"
		if d.GetRevision() == 1 {
			written[d.GetName()] = "created"
		}
	}
	for _, d := range src.Decorators {
		result := written[d.GetName()]
		if result == "" {
			result = "unchanged"
		}
		s.Progressf("decorator %s %s", d.GetName(), result)
		if result == "updated" {
			for _, c := range src.changes[d.GetName()] {
				s.Progressf("  %s", c)
			}
		}
	}
	return res, nil
}

// WarnOf prints the warnings that come with a publish, each of them once.
func WarnOf(s *session.Session, res *ruedov1.PublishServiceResponse) {
	for _, w := range res.GetWarnings() {
		s.WarnOnce(res.GetService().GetName()+": "+w, "%s", output.Safe(w))
	}
}

// WarnOfKeywords warns of keywords in a decorator's schema that mean nothing.
func WarnOfKeywords(s *session.Session, d *ruedov1.Decorator) {
	for _, text := range input.Unknown(d.GetInputSchema().AsMap()) {
		s.Warnf("decorator %s: %s", d.GetName(), output.Safe(text))
	}
}
