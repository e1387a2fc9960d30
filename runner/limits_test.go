package runner_test

import (
	"testing"

	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sandbox"
)

func TestTheSandboxGetsItsLimits(t *testing.T) {
	base := limits.Combine(nil)
	for _, r := range limits.Table() {
		l := limits.Combine(nil)
		r.Set(l, 2*max(r.Get(l), 1))
		if changed := runner.SandboxLimits(l) != runner.SandboxLimits(base); r.Home == limits.Sandbox && !changed {
			t.Errorf("the sandbox is to enforce %s, and is not told", r.Name)
		}
	}
	// The sandbox is a library with defaults of its own. They must match, so that
	// a plan means the same even if its core resolves fewer limits.
	if got, want := runner.SandboxLimits(base), (sandbox.Limits{}).WithDefaults(); got != want {
		t.Errorf("the defaults are %+v in the table and %+v in the sandbox", got, want)
	}
}
