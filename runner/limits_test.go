package runner_test

import (
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sandbox"
)

func TestTheSandboxGetsItsLimits(t *testing.T) {
	for kind, own := range map[ruedov1.Kind]func(sandbox.Limits) sandbox.Limits{
		ruedov1.Kind_KIND_FUNCTION: sandbox.Limits.WithDefaults,
		ruedov1.Kind_KIND_HTTP:     sandbox.Limits.WithHTTPDefaults,
	} {
		base := limits.Combine(kind, nil)
		for _, r := range limits.Table() {
			l := limits.Combine(kind, nil)
			r.Set(l, 2*max(r.Get(l), 1))
			if changed := runner.SandboxLimits(l) != runner.SandboxLimits(base); r.Home == limits.Sandbox && !changed {
				t.Errorf("the sandbox is to enforce %s, and is not told", r.Name)
			}
		}
		// The sandbox is a library with defaults of its own. They must match, so that
		// a plan means the same even if its core resolves fewer limits.
		got, want := runner.SandboxLimits(base), own(sandbox.Limits{})
		if kind != ruedov1.Kind_KIND_HTTP {
			want.Idle = 0 // no other kind has it
		}
		if got != want {
			t.Errorf("%s: the defaults are %+v in the table and %+v in the sandbox", kind, got, want)
		}
	}
}
