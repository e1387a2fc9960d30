// Package limits holds the one table of the limits of a call.
//
// [Table] has one row per limit: its name as users write it, its field in
// [ruedov1.Limits], unit, default, reason, and the package that enforces it.
// The name is the same in YAML, in flags, in the columns of the CLI and in
// errors. Everything that lists limits reads the table, so a new limit is a
// field of the message and a row here. The code that enforces it reads the
// field.
//
// [Combine] combines the limits of decorators. [FormatSize] and [ParseSize]
// format and parse sizes.
//
// The table is read-only. All functions are safe for concurrent use.
package limits

import (
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Names of the limits.
const (
	Memory      = "memory"
	Timeout     = "timeout"
	Idle        = "idle"
	CPU         = "cpu"
	Input       = "input"
	Output      = "output"
	Logs        = "logs"
	Concurrency = "concurrency"
	Stack       = "stack"
	Grace       = "grace"
)

// None is the value that users write as the word none: no body reaches it. Zero would
// mean that a decorator does not set the limit.
const None = math.MaxInt64

// Home is the room that enforces a limit.
type Home string

// The homes.
const (
	Core    Home = "core"
	Runner  Home = "runner"
	Sandbox Home = "sandbox"
)

// Row is one limit.
type Row struct {
	// Name as users write it.
	Name string
	// Bounds says what is limited.
	Bounds string
	// Unit of its values.
	Unit Unit
	// Default is the value if no decorator sets the limit. Zero means that there
	// is no limit, or that of Follows.
	Default uint64
	// HTTP is the default for kind http, if it is another one. For a limit that
	// Follows another, it is the most that the default can be.
	HTTP uint64
	// Only is the one kind of service that has the limit; unspecified means all.
	Only ruedov1.Kind
	// Most is the greatest value for a service of another kind than http, if it is
	// less than that of the range.
	Most uint64
	// None says that the limit of a service of kind http can be [None].
	None bool
	// Follows names the row whose value is the default; that row comes earlier
	// in the table.
	Follows string
	// Unset says what applies if Default is zero and the limit follows no
	// other.
	Unset string
	// Reason of the error of a call that exceeds the limit, a fault.Reason.
	// Empty if such a call does not fail.
	Reason string
	// Kind is the fact "kind" of that error, if other failures have the same Reason.
	Kind string
	// Excess says what happens to what exceeds a limit without a Reason.
	Excess string
	// Home says which room enforces the limit.
	Home Home

	get func(*ruedov1.Limits) uint64
	set func(*ruedov1.Limits, uint64)
}

// Table returns the limits, in the order in which they are shown.
func Table() []Row { return slices.Clone(table) }

// table is never changed. Every call that fails looks into it.
var table = []Row{
	{
		Name: Memory, Bounds: "memory of the guest", Unit: Size, Default: 128 << 20, Reason: "GUEST_MEMORY", Home: Sandbox,
		get: (*ruedov1.Limits).GetMemoryBytes,
		set: func(l *ruedov1.Limits, v uint64) { l.MemoryBytes = v },
	},
	{
		Name: Timeout, Bounds: "wall-clock time of a call", Unit: Duration, Default: uint64(10 * time.Second), HTTP: uint64(time.Minute), Most: uint64(time.Hour), Reason: "GUEST_TIMEOUT", Home: Sandbox,
		get: func(l *ruedov1.Limits) uint64 { return nanos(l.GetTimeout()) },
		set: func(l *ruedov1.Limits, v uint64) { l.Timeout = duration(v) },
	},
	{
		Name: Idle, Bounds: "time in a call of kind http in which no byte moves in any direction", Unit: Duration, Default: uint64(5 * time.Minute), Only: ruedov1.Kind_KIND_HTTP, Reason: "GUEST_IDLE", Home: Sandbox,
		get: func(l *ruedov1.Limits) uint64 { return nanos(l.GetIdle()) },
		set: func(l *ruedov1.Limits, v uint64) { l.Idle = duration(v) },
	},
	{
		Name: CPU, Bounds: "processor time of a call; waiting does not count. A call of kind http has it for each minute", Unit: Duration, Follows: Timeout, HTTP: uint64(time.Minute), Reason: "GUEST_CPU", Home: Sandbox,
		get: func(l *ruedov1.Limits) uint64 { return nanos(l.GetCpuTime()) },
		set: func(l *ruedov1.Limits, v uint64) { l.CpuTime = duration(v) },
	},
	{
		Name: Input, Bounds: "input of a call; for kind http, the body", Unit: Size, Default: 4 << 20, HTTP: 64 << 20, Most: 64 << 20, None: true, Reason: "INPUT_TOO_LARGE", Home: Core,
		get: (*ruedov1.Limits).GetInputBytes,
		set: func(l *ruedov1.Limits, v uint64) { l.InputBytes = v },
	},
	{
		Name: Output, Bounds: "output of a call; for kind http, the body", Unit: Size, Default: 4 << 20, HTTP: 64 << 20, Most: 64 << 20, None: true, Reason: "GUEST_OUTPUT_LIMIT", Home: Sandbox,
		get: (*ruedov1.Limits).GetOutputBytes,
		set: func(l *ruedov1.Limits, v uint64) { l.OutputBytes = v },
	},
	{
		Name: Logs, Bounds: "log of a call", Unit: Size, Default: 64 << 10, Excess: "dropped and counted", Home: Sandbox,
		get: (*ruedov1.Limits).GetLogBytes,
		set: func(l *ruedov1.Limits, v uint64) { l.LogBytes = v },
	},
	{
		Name: Concurrency, Bounds: "calls of the service that one runner executes at the same time", Unit: Count, Unset: "the runner's own", Reason: "CONCURRENCY_LIMIT", Home: Runner,
		get: func(l *ruedov1.Limits) uint64 { return uint64(l.GetConcurrency()) },
		set: func(l *ruedov1.Limits, v uint64) { l.Concurrency = uint32(min(v, math.MaxUint32)) },
	},
	{
		Name: Stack, Bounds: "native stack of a call; it is not part of `memory`", Unit: Size, Default: 32 << 20, Reason: "GUEST_TRAP", Kind: "stack overflow", Home: Sandbox,
		get: (*ruedov1.Limits).GetStackBytes,
		set: func(l *ruedov1.Limits, v uint64) { l.StackBytes = v },
	},
	{
		Name: Grace, Bounds: "time that a call of kind http has to clean up when its caller has left", Unit: Duration, Only: ruedov1.Kind_KIND_HTTP, Unset: "none", Excess: "stopped", Home: Sandbox,
		get: func(l *ruedov1.Limits) uint64 { return nanos(l.GetGrace()) },
		set: func(l *ruedov1.Limits, v uint64) { l.Grace = duration(v) },
	},
}

// nanos returns a duration as a value of the table. A negative one sets no limit.
func nanos(d *durationpb.Duration) uint64 { return uint64(max(d.AsDuration(), 0)) }

// duration is the reverse of nanos.
func duration(v uint64) *durationpb.Duration {
	return durationpb.New(time.Duration(min(v, math.MaxInt64)))
}

// Lookup returns the row with a name.
func Lookup(name string) (Row, bool) {
	return find(func(r Row) bool { return r.Name == name })
}

// ByReason returns the row of the limit that a call has exceeded if it fails for
// the reason, and its error has the fact "kind".
func ByReason(reason, kind string) (Row, bool) {
	return find(func(r Row) bool { return r.Reason != "" && r.Reason == reason && (r.Kind == "" || r.Kind == kind) })
}

func find(match func(Row) bool) (Row, bool) {
	for _, r := range table {
		if match(r) {
			return r, true
		}
	}
	return Row{}, false
}

// Names returns the names of all limits, in the order of the table.
func Names() []string {
	var names []string
	for _, r := range table {
		names = append(names, r.Name)
	}
	return names
}

// Get returns the limit's value in l: bytes, nanoseconds or a number. Zero means
// that l does not set it.
func (r Row) Get(l *ruedov1.Limits) uint64 { return r.get(l) }

// Set sets the limit in l to a value as [Row.Get] returns it. A value that is
// too large for the field becomes the field's maximum.
func (r Row) Set(l *ruedov1.Limits, v uint64) { r.set(l, v) }

// Field returns the name of the limit's field in [ruedov1.Limits].
func (r Row) Field() string { return string(r.field().Name()) }

func (r Row) field() (field protoreflect.FieldDescriptor) {
	l := &ruedov1.Limits{}
	r.Set(l, 1)
	l.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		field = f
		return false
	})
	return field
}
