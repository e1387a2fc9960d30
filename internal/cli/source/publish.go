package source

import (
	"context"
	"errors"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Publish applies the decorators, uploads the module and makes the service live.
func (src *Source) Publish(s *session.Session, core *client.Client) (*ruedov1.PublishServiceResponse, error) {
	for _, d := range src.Decorators {
		result, err := ApplyDecorator(s.Ctx, core, d)
		if err != nil {
			return nil, session.About(err, "decorator %s", d.GetName())
		}
		s.Progressf("decorator %s %s", d.GetName(), result)
	}
	step, done := s.Progress("uploading")
	digest, err := core.Upload(s.Ctx, src.Wasm, step)
	done()
	if err != nil {
		return nil, err
	}
	src.Request.Module = digest
	return core.Services.PublishService(s.Ctx, src.Request)
}

// ApplyDecorator creates or updates a decorator and returns which it did:
// "created", "updated" or "unchanged".
func ApplyDecorator(ctx context.Context, core *client.Client, d *ruedov1.Decorator) (string, error) {
	res, err := core.Decorators.UpdateDecorator(ctx, &ruedov1.UpdateDecoratorRequest{Decorator: d})
	switch {
	case errors.Is(err, fault.DecoratorNotFound):
		_, err = core.Decorators.CreateDecorator(ctx, &ruedov1.CreateDecoratorRequest{Decorator: d})
		return "created", err
	case err != nil:
		return "", err
	case res.GetUnchanged():
		return "unchanged", nil
	}
	return "updated", nil
}
