// Package invoke is the hallway from what a caller said to what shall run.
//
// The API, the HTTP gateway and whatever comes later all go through
// [Hall.Invoke], so that a limit that holds on one way in holds on all. The
// walk is: resolve the name in the catalog, pass the service's rules, hand the
// call to the dispatcher.
//
// # The catalog
//
// It is made from the store's mirror and made again only where the mirror has
// changed; what did not change is kept, compiled schemas among it. Resolving a
// name is two atomic loads and a map lookup: no store read, no lock.
//
// Building it compiles no schema. The goroutine that [Hall.Start] starts does, or
// the first call that needs one. So a call never waits for the schema of another
// service, and a schema that cannot be used keeps only its own services from
// being called.
//
// # Concurrency
//
// All methods may be called from many goroutines at once.
package invoke

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/mirror"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/exec"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// grace is how long past a service's own timeout the core waits for the
// runner's word before it gives up on it. The runner stops the guest in time;
// this bounds what a lost answer can cost.
const grace = 2 * time.Second

// Mirror is where the catalog comes from: the store's mirror.
type Mirror interface {
	Snapshot() *mirror.Snapshot
	Changed() <-chan struct{}
}

// Config says what a Hall is made of.
type Config struct {
	Mirror Mirror
	// Executor takes the calls that pass: the dispatcher, or an in-process
	// runner.
	Executor exec.Executor
	// Observe is told of each call of a service that exists, when it is over:
	// outcome is "" where it succeeded. Nil is told nothing.
	Observe func(service string, outcome fault.Reason, took time.Duration, info *ruedov1.CallInfo)
	// Logger gets services that cannot be resolved; nil discards.
	Logger *slog.Logger
}

// Hall resolves and passes on calls.
type Hall struct {
	cfg     Config
	log     *slog.Logger
	catalog atomic.Pointer[Catalog]
	build   sync.Mutex // one rebuild at a time
	pending sync.Map   // plan id -> *runnerv1.Plan, being published

	compiler *decorate.Compiler
	down     context.Context // ends with Close
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// New makes a hall; it starts nothing before Start.
func New(cfg Config) *Hall {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Hall{cfg: cfg, log: log, compiler: decorate.NewCompiler()}
	h.down, h.stop = context.WithCancel(context.Background())
	return h
}

// Compiler compiles the schemas of decorators. Who creates them uses it too, so
// that each is compiled once.
func (h *Hall) Compiler() *decorate.Compiler { return h.compiler }

// Call is what a caller said.
type Call struct {
	Service string
	Input   []byte
	// ContentType of the input; "" means application/json.
	ContentType string
	// Logs asks for what the guest logs.
	Logs bool
}

// Result is the answer to a call.
type Result struct {
	Output      []byte
	ContentType string
	Info        *ruedov1.CallInfo
}

// JSON is the media type of typed calls.
const JSON = "application/json"

// Invoke executes a call once. A failure is a *fault.Error that carries the
// call's CallInfo as a detail.
func (h *Hall) Invoke(ctx context.Context, call *Call) (*Result, error) {
	entry, err := h.Resolve(call.Service)
	if err != nil {
		return nil, err
	}
	contentType := call.ContentType
	if contentType == "" {
		contentType = JSON
	}
	req := &runnerv1.ExecuteRequest{
		Plan:        entry.PlanID,
		CallId:      ulid.Make().String(),
		Service:     call.Service,
		Input:       call.Input,
		ContentType: contentType,
		Logs:        call.Logs,
	}
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, entry.Rules.Limits.GetTimeout().AsDuration()+grace, dispatch.ErrUnanswered)
	defer cancel()
	if entry.Rules.Idempotent {
		ctx = dispatch.WithIdempotent(ctx)
	}
	res, err := entry.executor.Execute(ctx, req)
	if err != nil {
		e, callInfo := failed(err, entry, req)
		h.observe(call.Service, e.Reason, began, callInfo)
		return nil, e
	}
	callInfo := info(entry, req, res.GetOutcome())
	h.observe(call.Service, "", began, callInfo)
	return &Result{Output: res.GetOutput(), ContentType: outputType(entry, req, res), Info: callInfo}, nil
}

func (h *Hall) observe(service string, outcome fault.Reason, began time.Time, info *ruedov1.CallInfo) {
	if h.cfg.Observe != nil {
		h.cfg.Observe(service, outcome, time.Since(began), info)
	}
}

// outputType is what the guest said of its output. Where it said nothing, a
// function answers in kind, and a command wrote text or bytes.
func outputType(entry *Entry, req *runnerv1.ExecuteRequest, res *runnerv1.ExecuteResponse) string {
	switch {
	case res.GetContentType() != "":
		return res.GetContentType()
	case entry.Plan.GetKind() == ruedov1.Kind_KIND_FUNCTION:
		return req.GetContentType()
	case utf8.Valid(res.GetOutput()):
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

func info(entry *Entry, req *runnerv1.ExecuteRequest, o *runnerv1.Outcome) *ruedov1.CallInfo {
	return &ruedov1.CallInfo{
		CallId:      req.GetCallId(),
		Runner:      o.GetRunner(),
		Revision:    entry.Service.GetRevision().GetNumber(),
		Duration:    durationpb.New(time.Duration(o.GetDurationNanos())),
		MemoryBytes: o.GetMemoryBytes(),
		Logs:        o.GetLogs(),
		LogsDropped: o.GetLogsDropped(),
		ExitCode:    o.GetExitCode(),
		CpuTime:     durationpb.New(time.Duration(o.GetCpuNanos())),
		Fuel:        o.GetFuel(),
		Cold:        o.GetCold(),
		RestoreTime: durationpb.New(time.Duration(o.GetRestoreNanos())),
	}
}

// failed gives the caller's view of a failure: the runner's Outcome becomes
// the CallInfo, and a limit names the decorator that set it.
func failed(err error, entry *Entry, req *runnerv1.ExecuteRequest) (*fault.Error, *ruedov1.CallInfo) {
	e := *fault.Of(err)
	if e.Reason == fault.Deadline && errors.Is(e.Err, context.DeadlineExceeded) { // this core's own
		e.Message = "no answer within the deadline of the call"
	}
	outcome, _ := fault.Detail[*runnerv1.Outcome](err)
	callInfo := info(entry, req, outcome)
	if !req.GetLogs() {
		callInfo.Logs = nil
	}
	callInfo.Logs, callInfo.LogsDropped = lastLogs(callInfo.GetLogs(), callInfo.GetLogsDropped())
	e.Details = []any{callInfo}
	if row, ok := limits.ByReason(string(e.Reason)); ok {
		if d := entry.Rules.Limit(row.Name).GetDecorator(); d != "" {
			e.With("decorator", d)
		}
	}
	return &e, callInfo
}

// maxErrorLogs bounds the logs that come with an error, in bytes: an error travels
// in headers, and what a guest said last is what tells why it failed.
const maxErrorLogs = 8 << 10

// lastLogs returns the last whole lines of logs, and how much was dropped.
func lastLogs(logs []byte, dropped uint64) ([]byte, uint64) {
	over := len(logs) - maxErrorLogs
	if over <= 0 {
		return logs, dropped
	}
	if i := bytes.IndexByte(logs[over:], '\n'); i >= 0 && over+i+1 < len(logs) {
		over += i + 1
	}
	return logs[over:], dropped + uint64(over)
}

// Undelivered returns the error of a call that was executed and whose answer
// cannot be sent because of err. It says so: the call must not be taken for one
// that may be repeated.
func (r *Result) Undelivered(err error) error {
	e := *fault.Of(err)
	e.Message = "the call was executed, but its answer is not sent: " + e.Message
	e.NotStarted = false
	e.With(fault.MetaStarted, "yes")
	info := proto.CloneOf(r.Info)
	info.Logs, info.LogsDropped = lastLogs(info.GetLogs(), info.GetLogsDropped())
	e.Details = []any{info}
	return &e
}
