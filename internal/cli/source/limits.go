package source

import (
	"slices"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// localLimits returns what the decorators next to the service add up to. Only
// the core knows what other decorators set.
func localLimits(decorators []*ruedov1.Decorator, names []string) sandbox.Limits {
	local := slices.DeleteFunc(slices.Clone(decorators), func(d *ruedov1.Decorator) bool { return !slices.Contains(names, d.GetName()) })
	sum, _ := limits.Combine(local)
	return runner.SandboxLimits(sum)
}
