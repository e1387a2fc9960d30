package runner

import (
	"fmt"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// toSandbox and fromSandbox translate between the words of the house and those of the
// sandbox.
func toSandbox(i ruedov1.Isolation) sandbox.Isolation {
	switch i {
	case ruedov1.Isolation_ISOLATION_PRISTINE:
		return sandbox.Pristine
	case ruedov1.Isolation_ISOLATION_SHARED:
		return sandbox.Shared
	case ruedov1.Isolation_ISOLATION_FRESH:
		return sandbox.Fresh
	case ruedov1.Isolation_ISOLATION_COMMAND:
		return sandbox.Program
	}
	return ""
}

func fromSandbox(i sandbox.Isolation) ruedov1.Isolation {
	switch i {
	case sandbox.Pristine:
		return ruedov1.Isolation_ISOLATION_PRISTINE
	case sandbox.Shared:
		return ruedov1.Isolation_ISOLATION_SHARED
	case sandbox.Fresh:
		return ruedov1.Isolation_ISOLATION_FRESH
	case sandbox.Program:
		return ruedov1.Isolation_ISOLATION_COMMAND
	}
	return ruedov1.Isolation_ISOLATION_UNSPECIFIED
}

// admit counts a call of the plan in; CONCURRENCY_LIMIT where its decorators
// allow no more on one runner. A call that was admitted must leave.
func (p *prepared) admit() error {
	limit := int64(p.plan.GetLimits().GetConcurrency())
	if limit == 0 {
		return nil
	}
	if p.calls.Add(1) > limit {
		p.calls.Add(-1)
		return refuse(fault.New(fault.ConcurrencyLimit, "%d calls of service %s execute on this runner, its limit", limit, p.plan.GetService()).
			With("limit", fmt.Sprint(limit)).WithFix("call again later, start another runner, or %s", limits.Raise("", limits.Concurrency)))
	}
	return nil
}

func (p *prepared) leave() {
	if p.plan.GetLimits().GetConcurrency() != 0 {
		p.calls.Add(-1)
	}
}
