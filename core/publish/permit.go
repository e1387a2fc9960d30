package publish

import (
	"context"
	"slices"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
)

// mayAttach returns nil if the request of a context may attach those of the decorators
// that the live revision, which may be nil, does not carry: what a decorator grants is
// not for every publisher.
func (p *Publisher) mayAttach(ctx context.Context, live *ruedov1.Revision, decorators []string) error {
	for _, name := range decorators {
		if slices.Contains(live.GetDecorators(), name) {
			continue
		}
		if err := p.cfg.Check(ctx, access.Use, access.Decorator, name); err != nil {
			return err
		}
	}
	return nil
}

// mayCompare returns nil if the request of a context may learn whether a decorator is
// stored as it is defined.
func mayCompare(ctx context.Context, name string) error {
	r := access.Of(ctx)
	if r == nil || !r.Sees(access.Decorator, name) {
		return mayDefine(ctx, name)
	}
	return nil
}

// mayDefine returns nil if the request of a context may write a decorator, which may
// not exist yet.
func mayDefine(ctx context.Context, name string) error {
	r := access.Of(ctx)
	switch {
	case r == nil:
		return access.Unsaid()
	case r.Allows(access.Write, access.Decorator, name):
		return nil
	}
	return access.Denied(r.Principal, access.Write, access.Decorator, name)
}
