package protocol

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Cores understand runners of lane protocol 1, so that cores can be upgraded
// first. Such a runner reports calls and preparations in older messages; here
// they are converted to those that everything else uses. Delete this file when
// oldestOfCore becomes 2.

// Info returns the figures of a call, from whichever message the runner sent.
func Info(info *ruedov1.CallInfo, o *runnerv1.Outcome) *ruedov1.CallInfo {
	if info != nil || o == nil {
		return info
	}
	return &ruedov1.CallInfo{
		Duration:    durationpb.New(time.Duration(o.DurationNanos)),
		MemoryBytes: o.MemoryBytes,
		Logs:        o.Logs,
		LogsDropped: o.LogsDropped,
		ExitCode:    o.ExitCode,
		CpuTime:     durationpb.New(time.Duration(o.CpuNanos)),
		Fuel:        o.Fuel,
		Cold:        o.Cold,
		RestoreTime: durationpb.New(time.Duration(o.RestoreNanos)),
	}
}

// Preparation returns a preparation, from whichever fields the runner set.
func Preparation(p *runnerv1.PrepareResponse) *ruedov1.Preparation {
	if p.GetPreparation() != nil || p == nil {
		return p.GetPreparation()
	}
	old := &ruedov1.Preparation{
		CompileTime:     durationpb.New(time.Duration(p.CompileNanos)),
		StartTime:       durationpb.New(time.Duration(p.StartNanos)),
		MemoryBytes:     p.MemoryBytes,
		Isolation:       p.Isolation,
		IsolationReason: p.IsolationReason,
	}
	if p.WarmNanos != 0 {
		old.WarmTime = durationpb.New(time.Duration(p.WarmNanos))
	}
	return old
}
