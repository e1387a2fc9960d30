// Package headers is the one table of the header fields of POST /call/{service}:
// those that a caller can send, and those that the answer has.
//
// Whoever sets or reads a field of Ruedo's own names it by a constant of this
// package, and [Table] describes all of them. It needs the standard library only.
package headers

import (
	"fmt"
	"time"
)

// Prefix is what the names of all fields begin with.
const Prefix = "Ruedo-"

// Fields of requests.
const (
	// Cluster names the cluster that the caller means.
	Cluster = "Ruedo-Cluster"
	// Timeout says how long the caller waits for the answer, from the arrival of
	// the request on: a duration of Go, up to [MaxTimeout].
	Timeout = "Ruedo-Timeout"
	// MinRevision requires revisions of stores: one as [StoreRevision] has it, or
	// a bare number, or several, separated by commas or spaces. A core considers
	// those of its own store.
	MinRevision = "Ruedo-Min-Revision"
	// Logs asks for what the guest logs: "1". In the answer, it is the end of
	// that, in base64, up to [MaxLogs].
	Logs = "Ruedo-Logs"
)

// Fields of answers.
const (
	CallID   = "Ruedo-Call-Id"
	Runner   = "Ruedo-Runner"
	Revision = "Ruedo-Revision"
	Duration = "Ruedo-Duration"
	CPUTime  = "Ruedo-Cpu-Time"
	Memory   = "Ruedo-Memory"
	Fuel     = "Ruedo-Fuel"
	// Start is [Cold] or [Warm].
	Start = "Ruedo-Start"
	// ExitCode is set if a command exited with a code that is not 0.
	ExitCode = "Ruedo-Exit-Code"
	// LogsDropped is how many bytes of the log are missing.
	LogsDropped = "Ruedo-Logs-Dropped"
	// StoreRevision is a revision of the store that includes what the request has
	// written, with the id of the store.
	StoreRevision = "Ruedo-Store-Revision"
)

// Values of [Start].
const (
	Cold = "cold"
	Warm = "warm"
)

const (
	// MaxTimeout is the longest time that a caller can give in [Timeout].
	MaxTimeout = 24 * time.Hour
	// MaxLogs bounds the log in an answer's header, in bytes before encoding:
	// many proxies accept 8 KiB of header in all.
	MaxLogs = 4 << 10
)

// Field describes a header field.
type Field struct {
	Name string
	// Type of its value, with the unit.
	Type string
	// Example of a value.
	Example string
	// Meaning says what the field does or says, and when it is there.
	Meaning string
	// Default is what holds if a request does not have the field.
	Default string
}

// Requests describes the fields that requests can have.
func Requests() []Field {
	return []Field{
		{
			Name: "Content-Type", Type: "media type", Example: "text/csv", Default: "application/json",
			Meaning: "Media type of the input, which the service gets to see. `application/x-www-form-urlencoded`, which `curl -d` sends, counts as unset.",
		},
		{
			Name: Timeout, Type: fmt.Sprintf("duration, up to %.0fh", MaxTimeout.Hours()), Example: "1.5s", Default: "no deadline",
			Meaning: "How long the caller waits for the answer, from the arrival of the request on. The guest is stopped then, and the answer is `DEADLINE`. The limits of the service hold in any case. Anything that is not one duration is refused with `REQUEST_INVALID`.",
		},
		{
			Name: Logs, Type: "`1`", Example: "1", Default: "no logs",
			Meaning: "Asks for what the service logs in this call. The answer has it in its own `" + Logs + "`, and the JSON object of an error has it in `logs` and `trace`.",
		},
		{
			Name: Cluster, Type: "cluster id", Example: "site-a", Default: "any cluster",
			Meaning: "The cluster that the caller means. A core of another cluster refuses the request with `CLUSTER_MISMATCH`. It works with every request to a core.",
		},
		{
			Name: MinRevision, Type: "revision", Example: "1", Default: "any revision",
			Meaning: "What the call must see: the `" + StoreRevision + "` of the answer to a write, or only its number. A core that is behind waits up to 2s, and no longer than `" + Timeout + "`, then answers `CORE_BEHIND`: nothing was executed; send it again, or to another core. `STORE_BEHIND` says that the store lacks the revision, because it was restored from an older copy. It works with every request for services and decorators, too.",
		},
		{
			Name: "Expect", Type: "`100-continue`", Example: "100-continue",
			Meaning: "Waits with the body until the core has looked at the header, so that an input that is refused for its announced size is not sent.",
		},
	}
}

// Answers describes the fields that answers can have.
func Answers() []Field {
	return []Field{
		{Name: "Content-Type", Type: "media type", Example: "application/json", Meaning: "Media type of the output. Of an error it is `application/json`."},
		{Name: "Content-Length", Type: "bytes", Example: "25", Meaning: "Size of the body."},
		{Name: CallID, Type: "id", Example: "01KAN4W2Z8Q5T0M3V7X1Y6B9CD", Meaning: "Id of the call, in logs, too. Absent if the request was refused before there was a call."},
		{Name: Runner, Type: "id", Example: "edge-1", Meaning: "Id of the runner that executed the call. This field and those about what the call used are absent if no runner executed it."},
		{Name: Revision, Type: "number", Example: "7", Meaning: "Revision of the service that was executed."},
		{Name: Duration, Type: "duration", Example: "1.204ms", Meaning: "Time that the runner spent on the call."},
		{Name: CPUTime, Type: "duration", Example: "830µs", Meaning: "Processor time that the guest used."},
		{Name: Memory, Type: "bytes", Example: "2621440", Meaning: "Linear memory of the guest at the end of the call."},
		{Name: Fuel, Type: "units", Example: "481923", Meaning: "Work that the guest did, in units that do not depend on the machine; 0 if the module is not metered."},
		{Name: Start, Type: "`" + Cold + "` or `" + Warm + "`", Example: Warm, Meaning: "Whether the call had to wait for a new instance."},
		{Name: ExitCode, Type: "number", Example: "1", Meaning: "Exit code of a command that exited with a code other than 0. With output, it has answered, and the output is the body; without output, the call has failed."},
		{Name: Logs, Type: "base64 of UTF-8", Example: "SU5GTyBjYXJ0IGxvYWRlZAo=", Meaning: fmt.Sprintf("The last whole lines that the guest logged, up to %d KiB before encoding. Only of a call that succeeded, if the request asked for logs and there are any.", MaxLogs>>10)},
		{Name: LogsDropped, Type: "bytes", Example: "1822", Meaning: "How much of the log is missing in `" + Logs + "`. Absent if nothing is."},
		{Name: StoreRevision, Type: "revision", Example: "1234@k3j5x2m7qa", Meaning: "Revision of the store that includes what the request has written. Only in the answers of the API to a publish and other changes."},
		{Name: "Retry-After", Type: "seconds", Example: "1", Meaning: "How long to wait before the same request is sent again, rounded up to whole seconds. It is on every error whose reason says that trying again can help. `retry_after_ms` of the error's object has it in milliseconds."},
		{Name: "Allow", Type: "methods", Example: "GET, HEAD, POST", Meaning: "Methods that the path has. Only with status 405."},
		{Name: "Content-Security-Policy", Type: "`sandbox`", Example: "sandbox", Meaning: "Keeps a browser from running scripts in the output of a guest."},
		{Name: "X-Content-Type-Options", Type: "`nosniff`", Example: "nosniff", Meaning: "Keeps a browser from guessing another media type."},
	}
}
