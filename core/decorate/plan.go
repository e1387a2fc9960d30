package decorate

import (
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
)

// Plan returns what a runner needs to execute a revision under these rules, and
// its id; see [executor.PlanID].
func (r *Rules) Plan(rev *ruedov1.Revision) (id string, plan *runnerv1.Plan, err error) {
	plan = &runnerv1.Plan{
		Service:     rev.GetService(),
		Revision:    rev.GetNumber(),
		Module:      rev.GetModule(),
		ModuleBytes: rev.GetModuleBytes(),
		Kind:        rev.GetKind(),
		Limits:      r.Limits,
		Env:         rev.GetEnv(),
		Args:        rev.GetArgs(),
		Example:     rev.GetExample(),
		Isolation:   rev.GetIsolation(),
		Placement:   rev.GetPlacement(),

		HttpExamples: rev.GetHttpExamples(),
		Egress:       r.Egress,
	}
	id, err = executor.PlanID(plan)
	return id, plan, err
}
