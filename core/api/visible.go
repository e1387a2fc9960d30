package api

import (
	"context"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
)

// visible returns a filter for items that the caller may read and that another filter
// accepts; nil accepts all.
func visible[T interface{ GetName() string }](ctx context.Context, noun access.Noun, other func(T) bool) func(T) bool {
	may := access.Visible(ctx, noun)
	return func(item T) bool { return may(item.GetName()) && (other == nil || other(item)) }
}

// visibleRunner is visible for runners, which are named by their id or by a name that
// is easier to remember.
func visibleRunner(ctx context.Context) func(*ruedov1.Runner) bool {
	may := access.Visible(ctx, access.Runner)
	return func(r *ruedov1.Runner) bool { return may(r.GetId()) || r.GetName() != "" && may(r.GetName()) }
}
