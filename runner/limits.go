package runner

import (
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// SandboxLimits returns the limits of a plan that the sandbox enforces. They
// are resolved, as limits.Combine returns them; for a field that is not set,
// the sandbox has the same default.
func SandboxLimits(l *ruedov1.Limits) sandbox.Limits {
	return sandbox.Limits{
		Memory:  l.GetMemoryBytes(),
		Timeout: l.GetTimeout().AsDuration(),
		Idle:    l.GetIdle().AsDuration(),
		Grace:   l.GetGrace().AsDuration(),
		CPU:     l.GetCpuTime().AsDuration(),
		Input:   int64(l.GetInputBytes()),
		Output:  int64(l.GetOutputBytes()),
		Logs:    int64(l.GetLogBytes()),
		Stack:   int64(l.GetStackBytes()),
	}
}
