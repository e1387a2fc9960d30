package decorate

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// The limits that hold if no decorator sets one.
const (
	DefaultMemory  = 128 << 20
	DefaultTimeout = 10 * time.Second
	DefaultInput   = 4 << 20
	DefaultOutput  = 4 << 20
	DefaultLogs    = 64 << 10
	DefaultCPUTime = DefaultTimeout
)

// combineLimits takes the strictest value of each limit. Between equals the
// first decorator is named.
func combineLimits(ds []*Decorator) (*ruedov1.Limits, []*ruedov1.EffectiveLimit) {
	rows := []struct {
		name  string
		value func(*ruedov1.Limits) uint64
		deflt uint64
		show  func(uint64) string
	}{
		{"memory_bytes", (*ruedov1.Limits).GetMemoryBytes, DefaultMemory, Size},
		{"timeout", func(l *ruedov1.Limits) uint64 { return uint64(l.GetTimeout().AsDuration()) }, uint64(DefaultTimeout), showDuration},
		{"input_bytes", (*ruedov1.Limits).GetInputBytes, DefaultInput, Size},
		{"output_bytes", (*ruedov1.Limits).GetOutputBytes, DefaultOutput, Size},
		{"log_bytes", (*ruedov1.Limits).GetLogBytes, DefaultLogs, Size},
		{"cpu_time", func(l *ruedov1.Limits) uint64 { return uint64(l.GetCpuTime().AsDuration()) }, uint64(DefaultCPUTime), showDuration},
		{"concurrency", func(l *ruedov1.Limits) uint64 { return uint64(l.GetConcurrency()) }, 0, showConcurrency},
	}
	values := make([]uint64, len(rows))
	effective := make([]*ruedov1.EffectiveLimit, len(rows))
	for i, row := range rows {
		from := ""
		for _, d := range ds {
			if v := row.value(d.GetLimits()); v != 0 && (values[i] == 0 || v < values[i]) {
				values[i], from = v, d.GetName()
			}
		}
		if values[i] == 0 {
			values[i] = row.deflt
		}
		effective[i] = &ruedov1.EffectiveLimit{Limit: row.name, Value: row.show(values[i]), Decorator: from}
	}
	return &ruedov1.Limits{
		MemoryBytes: values[0],
		Timeout:     durationpb.New(time.Duration(values[1])),
		InputBytes:  values[2],
		OutputBytes: values[3],
		LogBytes:    values[4],
		CpuTime:     durationpb.New(time.Duration(values[5])),
		Concurrency: uint32(values[6]),
	}, effective
}

// showConcurrency returns how many calls of one service a runner may execute.
func showConcurrency(n uint64) string {
	if n == 0 {
		return "the runner's own"
	}
	return fmt.Sprint(n)
}

func showDuration(n uint64) string { return time.Duration(n).String() }

// Size returns a number of bytes in the largest binary unit that divides it, else
// in bytes.
func Size(n uint64) string {
	for _, u := range []struct {
		shift int
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n>>u.shift != 0 && n&(1<<u.shift-1) == 0 {
			return fmt.Sprintf("%d %s", n>>u.shift, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
