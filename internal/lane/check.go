package lane

import (
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
	"github.com/ruedo-dev/ruedo/internal/names"
)

// Bounds of what the other end sends. Texts that are too long are cut;
// impossible figures are refused.
const (
	maxName      = 128     // of a runner, a version, an id of a core
	maxHost      = 255     // of a host
	maxLine      = 1 << 10 // fix, reason of an isolation, value of a fact
	maxFacts     = 32      // of a failure
	maxMediaType = 4 << 10
	maxID        = 64 // of a plan or a call
	maxTrace     = 4 << 10

	maxSpan   = 24 * time.Hour   // of anything that a call does
	maxMemory = uint64(64 << 30) // of a guest, 16 times what Wasm can address
	maxFuel   = uint64(1) << 60
)

// introduce returns the runner of a hello, with only the fields that a runner
// may set itself, and with its texts cut. It drops fields that only cores set,
// and unknown fields.
func introduce(r *ruedov1.Runner) *ruedov1.Runner {
	i := &ruedov1.Runner{
		Id:          r.GetId(),
		Name:        printable(r.GetName(), maxName),
		Host:        printable(r.GetHost(), maxHost),
		Version:     printable(r.GetVersion(), maxName),
		Concurrency: r.GetConcurrency(),
		Queue:       r.GetQueue(),
		Streams:     r.GetStreams(),
		Labels:      r.GetLabels(),
	}
	if t := r.GetStartTime(); t.IsValid() {
		i.StartTime = timestamppb.New(t.AsTime())
	}
	return i
}

// checkInfo refuses figures that no call can have, and removes what the runner
// may not set. Callers get the rest as it is. A nil info is fine.
func checkInfo(info *ruedov1.CallInfo, runner string) error {
	if info == nil {
		return nil
	}
	if !areSpans(info.Duration, info.CpuTime, info.RestoreTime) || info.MemoryBytes > maxMemory || info.Fuel > maxFuel {
		return absurd(runner, "call").With("figures", "duration, cpu, restore, memory, fuel")
	}
	info.CallId, info.Revision = "", 0
	info.Trace = lines(info.Trace, maxTrace)
	info.ProtoReflect().SetUnknown(nil)
	return nil
}

// checkPreparation does the same for a preparation, and cuts its text.
func checkPreparation(p *ruedov1.Preparation, runner string) error {
	if p == nil {
		return nil
	}
	if !areSpans(p.CompileTime, p.StartTime, p.WarmTime) || p.MemoryBytes > maxMemory {
		return absurd(runner, "preparation").With("figures", "compile, start, warm, memory")
	}
	p.Error, p.Late = "", false
	p.IsolationReason = printable(p.IsolationReason, maxLine)
	if _, known := ruedov1.Isolation_name[int32(p.Isolation)]; !known {
		p.Isolation = ruedov1.Isolation_ISOLATION_UNSPECIFIED
	}
	p.ProtoReflect().SetUnknown(nil)
	return nil
}

// areSpans reports whether a call can take each of these times. nil is one.
func areSpans(times ...*durationpb.Duration) bool {
	for _, d := range times {
		if d == nil {
			continue
		}
		if d.CheckValid() != nil || d.AsDuration() < 0 || d.AsDuration() > maxSpan {
			return false
		}
		d.ProtoReflect().SetUnknown(nil)
	}
	return true
}

func absurd(runner, what string) *fault.Error {
	return fault.New(fault.Internal, "runner %s reported impossible figures for a %s: times are 0 to %s, memory is up to %d bytes, fuel up to %d",
		runner, what, maxSpan, maxMemory, maxFuel).
		WithFix("stop this runner")
}

// checkRequest refuses a call that no core would send.
func checkRequest(e *runnerv1.Execute) error {
	req := e.GetRequest()
	switch {
	case req == nil:
		return fault.New(fault.RequestInvalid, "the call has no request")
	case len(req.Plan) > maxID || len(req.CallId) > maxID || len(req.Service) > names.Max:
		return fault.New(fault.RequestInvalid, "the call has a plan of %d bytes, an id of %d and a service of %d; the limits are %d, %[4]d and %[5]d",
			len(req.Plan), len(req.CallId), len(req.Service), maxID, names.Max)
	case len(req.ContentType) > maxMediaType:
		return fault.New(fault.RequestInvalid, "the content type has %d bytes, the limit is %d", len(req.ContentType), maxMediaType)
	case !executor.ValidCaller(req.Caller):
		return fault.New(fault.RequestInvalid, "the name of the caller has %d bytes, the limit is %d, or it has characters that no core sends", len(req.Caller), executor.MaxCaller)
	case len(req.Head) > stream.MaxHead:
		return fault.New(fault.RequestInvalid, "the head has %d bytes, the limit is %d", len(req.Head), stream.MaxHead)
	case e.GetTimeoutNanos() < 0:
		return fault.New(fault.Deadline, "the caller's deadline passed before the call arrived")
	case e.GetInputBytes() > MaxBody:
		return fault.New(fault.InputTooLarge, "input of %d bytes is over the limit of %d for a lane", e.GetInputBytes(), MaxBody)
	}
	return nil
}

// cutError bounds the texts of an error that the other end sent.
func cutError(e *fault.Error) *fault.Error {
	c := *e
	c.Message, c.Fix = clip(e.Message), cut(e.Fix, maxLine)
	if len(e.Meta) > 0 {
		c.Meta = make(map[string]string, min(len(e.Meta), maxFacts))
		for k, v := range e.Meta {
			if len(c.Meta) == maxFacts {
				break
			}
			c.Meta[cut(k, maxID)] = cut(v, maxLine)
		}
	}
	return &c
}

// printable cuts a text to one line that can be logged and shown.
func printable(s string, limit int) string {
	if len(s) > limit {
		s = cut(s, limit)
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// lines cuts a text to lines that can be shown, without an effect on a terminal.
func lines(s string, most int) string {
	if len(s) > most {
		s = cut(s, most)
	}
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// clip bounds a text and makes it valid UTF-8: a guest may have chosen it.
func clip(s string) string { return cut(s, maxText) }

func cut(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
