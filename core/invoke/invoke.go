// Package invoke executes calls: it turns a caller's request into an execution.
//
// The API, the HTTP gateway and every other entry point use it, so that a limit
// that applies to one applies to all:
//
//	call, err := inv.Begin(ctx, "greet") // may the caller call it? then it is resolved, once
//	body, err := read(call.InputLimit())
//	res, err := call.Do(ctx, invoke.Input{Body: body})
//
// Do passes the input through the service's rules and hands it to the dispatcher.
//
// # Who may call
//
// [Invoker.Begin] is the one place that asks whether a caller may call a service.
// It asks before anything is looked up, so a service that the caller may not see is
// answered like one that does not exist.
//
// # Services of kind http
//
// [Call.Exchange] is Do for a service that answers requests of HTTP: what streams
// rides in the context, as package executor says. Each refuses services of the
// other kind.
//
// # Concurrency
//
// All methods can be called from many goroutines.
package invoke

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/dispatch"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// grace is how long the core waits for the runner's answer after the time that a
// call can wait and the service's own timeout. The runner stops the guest in
// time; grace bounds the cost of a lost answer.
const grace = 2 * time.Second

// Catalog resolves names; it is a catalog.Catalog.
type Catalog interface {
	Resolve(ctx context.Context, service string) (*catalog.Entry, error)
	ResolveRevision(ctx context.Context, service string, number uint64) (*catalog.Entry, error)
	Missing(ctx context.Context, service string) error
}

// Config configures an Invoker.
type Config struct {
	// Catalog holds what can be called. Required.
	Catalog Catalog
	// Check asks whether the request of a context may do something, as
	// [access.Check] does, which is the default.
	Check func(ctx context.Context, verb access.Verb, noun access.Noun, name string) error
	// Follow has end called when the caller of a context may no longer call a service,
	// until leave is called. Nil: all may go on.
	Follow func(ctx context.Context, service string, end func(why error)) (leave func())
	// MaxWait is how long a call can wait for its turn. Default:
	// [executor.DefaultMaxWait].
	MaxWait time.Duration
	// Observe is called once per completed call. outcome is empty on success. Nil
	// disables it.
	Observe func(of *catalog.Entry, outcome fault.Reason, took time.Duration, info *ruedov1.CallInfo)
}

// Invoker executes calls.
type Invoker struct{ cfg Config }

// New returns an Invoker. It starts no goroutines.
func New(cfg Config) *Invoker {
	cfg.MaxWait = cmp.Or(max(cfg.MaxWait, 0), executor.DefaultMaxWait)
	if cfg.Check == nil {
		cfg.Check = access.Check
	}
	return &Invoker{cfg}
}

// Call is a call of a service that exists. The zero Call is not valid.
type Call struct {
	invoker *Invoker
	entry   *catalog.Entry
}

// Begin asks whether the request of a context may call a service, and resolves it. The
// Call uses the revision and the rules that are live now; "greet@3" names revision 3,
// with the rules that are live now. UNAUTHENTICATED; PERMISSION_DENIED;
// SERVICE_NOT_FOUND suggests the nearest name; other errors say why the service
// cannot be called. See "Why is a call begun before its body is
// read?" in docs/RATIONALE.md.
func (v *Invoker) Begin(ctx context.Context, service string) (Call, error) {
	name, number, numbered := strings.Cut(service, "@")
	if err := v.cfg.Check(ctx, access.Call, access.Service, name); err != nil {
		return Call{}, v.refused(ctx, err, name)
	}
	return v.resolve(ctx, name, number, numbered)
}

// refused returns the error for a caller who may not have a service.
func (v *Invoker) refused(ctx context.Context, err error, service string) error {
	if errors.Is(err, access.ErrHidden) {
		return v.cfg.Catalog.Missing(ctx, service)
	}
	return err
}

// InputLimit returns the size of the largest input that a service accepts, in bytes;
// zero if it cannot be called. It asks nobody, so it is not for callers to know.
func (v *Invoker) InputLimit(service string) uint64 {
	entry, err := v.cfg.Catalog.Resolve(context.Background(), service)
	if err != nil {
		return 0
	}
	return Call{v, entry}.InputLimit()
}

func (v *Invoker) resolve(ctx context.Context, service, number string, numbered bool) (Call, error) {
	if !numbered {
		entry, err := v.cfg.Catalog.Resolve(ctx, service)
		return Call{v, entry}, err
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 {
		return Call{}, fault.New(fault.RequestInvalid, "%s@%s names no revision: a number from 1 is expected after the @", service, fault.Cut(number, 32)).
			With("service", service).WithFix("list the revisions of the service")
	}
	entry, err := v.cfg.Catalog.ResolveRevision(ctx, service, n)
	return Call{v, entry}, err
}

// InputLimit returns the size of the largest input that the service accepts, in
// bytes.
func (c Call) InputLimit() uint64 { return c.entry.InputLimit }

// PassesAuthorization reports whether the service gets to see the field Authorization
// of its requests.
func (c Call) PassesAuthorization() bool { return c.entry.PassesAuthorization() }

// TooLarge returns INPUT_TOO_LARGE, for an input that is not read to its end.
// actual says how large it is, for example "5 bytes".
func (c Call) TooLarge(actual string) error { return c.entry.Rules.TooLarge(c.service(), actual) }

func (c Call) service() string { return c.entry.Name }

// Input is what a service is called with.
type Input struct {
	Body []byte
	// ContentType of the body; "" means application/json.
	ContentType string
	// Logs requests the guest's logs.
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

// Do executes the call once. A failure is a *fault.Error that carries the call's
// CallInfo as a detail.
func (c Call) Do(ctx context.Context, in Input) (*Result, error) {
	if err := c.isCalled(); err != nil {
		return nil, err
	}
	if in.ContentType == "" {
		in.ContentType = JSON
	}
	if token.Within(in.ContentType) {
		e := fault.New(fault.RequestInvalid, "the content type holds what looks like a token").WithFix("send tokens as Authorization: Bearer TOKEN")
		e.NotStarted = true
		return nil, e
	}
	req, err := c.request(ctx, NewID())
	if err != nil {
		return nil, err
	}
	req.Input, req.ContentType, req.Logs = in.Body, in.ContentType, in.Logs
	ctx, leave := c.follow(ctx)
	defer leave()
	res, info, err := c.execute(ctx, req)
	if err != nil {
		return nil, revoked(ctx, err)
	}
	return &Result{Output: res.GetOutput(), ContentType: outputType(c.entry, req, res), Info: info}, nil
}

// request returns a request of this call without its input.
func (c Call) request(ctx context.Context, id string) (*runnerv1.ExecuteRequest, error) {
	caller, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	return &runnerv1.ExecuteRequest{
		Plan:         c.entry.PlanID,
		CallId:       id,
		Service:      c.service(),
		Caller:       caller,
		MaxWaitNanos: int64(c.invoker.cfg.MaxWait),
	}, nil
}

// execute executes a request once, and counts it.
func (c Call) execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, *ruedov1.CallInfo, error) {
	began := time.Now()
	if c.entry.Idempotent {
		ctx = dispatch.WithIdempotent(ctx)
	}
	// The last layer, so that a lane finds it.
	deadline := executor.WithDeadline(ctx, began.Add(c.invoker.cfg.MaxWait+c.Timeout()+grace), dispatch.ErrUnanswered)
	defer deadline.Stop()
	res, err := c.entry.Execute(deadline, req)
	if err != nil {
		e, info := c.failed(err, req)
		c.observe(e.Reason, began, info)
		return nil, nil, e
	}
	info := c.complete(res.GetInfo(), req)
	c.observe(outcome(info), began, info)
	return res, info, nil
}

// NewID returns an id for a call.
func NewID() string { return ulid.Make().String() }

// Timeout returns how long the service can take for a call.
func (c Call) Timeout() time.Duration { return c.entry.Timeout }

// Outcome returns how the call counts: GUEST_EXIT if a command has answered and
// exited with a code, otherwise "", success.
func (r *Result) Outcome() fault.Reason { return outcome(r.Info) }

func outcome(info *ruedov1.CallInfo) fault.Reason {
	if info.GetExitCode() != 0 {
		return fault.GuestExit
	}
	return ""
}

func (c Call) observe(outcome fault.Reason, began time.Time, info *ruedov1.CallInfo) {
	if observe := c.invoker.cfg.Observe; observe != nil {
		observe(c.entry, outcome, time.Since(began), info)
	}
}

// outputType returns the media type that the guest set for its output. If it
// set none, the output of a function has the type of its input, and that of a
// command is text or bytes.
func outputType(entry *catalog.Entry, req *runnerv1.ExecuteRequest, res *runnerv1.ExecuteResponse) string {
	switch {
	case res.GetContentType() != "":
		return res.GetContentType()
	case entry.Kind == ruedov1.Kind_KIND_FUNCTION:
		return req.GetContentType()
	case utf8.Valid(res.GetOutput()):
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// complete adds what the core knows about the call to the runner's figures.
func (c Call) complete(info *ruedov1.CallInfo, req *runnerv1.ExecuteRequest) *ruedov1.CallInfo {
	if info == nil { // no runner has executed it
		info = &ruedov1.CallInfo{Duration: &durationpb.Duration{}, CpuTime: &durationpb.Duration{}, RestoreTime: &durationpb.Duration{}}
	}
	info.CallId, info.Revision = req.GetCallId(), c.entry.Number
	return info
}

// failed returns the caller's view of a failure: it has the CallInfo as a
// detail, and the error of a limit names the decorator that set it.
func (c Call) failed(err error, req *runnerv1.ExecuteRequest) (*fault.Error, *ruedov1.CallInfo) {
	e := *fault.FromError(err)
	if e.Reason == fault.Deadline && errors.Is(e.Err, context.DeadlineExceeded) { // this core's own
		e.Message = "no answer within the deadline of the call"
	}
	callInfo, ok := fault.Detail[*ruedov1.CallInfo](err)
	if ok {
		callInfo = proto.CloneOf(callInfo) // errors are immutable once returned
	}
	callInfo = c.complete(callInfo, req)
	if !req.GetLogs() {
		callInfo.Logs, callInfo.Trace = nil, ""
	}
	boundLogs(callInfo)
	e.Details = []any{callInfo}
	c.nameLimit(&e)
	return &e, callInfo
}

// nameLimit adds to the error of a call that exceeded a limit which limit it is,
// its value and where the value comes from. A call can also have ended at a limit
// that no decorator sets: its caller's deadline, or the module's own maximum.
func (c Call) nameLimit(e *fault.Error) {
	row, ok := limits.ByReason(string(e.Reason), e.Meta["kind"])
	if !ok {
		return
	}
	limit := c.entry.Rules.Limit(row.Name)
	d := limit.GetDecorator()
	if d != "" {
		e.With("decorator", d)
	}
	exceeded, err := strconv.ParseUint(cmp.Or(e.Meta["limit"], e.Meta["limit_ms"]), 10, 64)
	if row.Unit == limits.Duration {
		exceeded *= uint64(time.Millisecond)
	}
	if err != nil || row.Unit.Format(exceeded) != limit.GetValue() || e.Meta["deadline"] == "caller" {
		return
	}
	e.With("limit_name", row.Name)
	switch {
	case d != "":
		e.Message += fmt.Sprintf(" (%s: %s, set by decorator %s)", row.Name, limit.GetValue(), d)
		e.Fix = strings.NewReplacer("in a decorator of the service", "in decorator "+d, "in a decorator", "in decorator "+d).Replace(e.Fix)
	case limit.GetFollows() != "":
		e.Message += fmt.Sprintf(" (%s: %s, as %s)", row.Name, limit.GetValue(), limit.GetFollows())
	default:
		e.Message += fmt.Sprintf(" (%s: %s, the default)", row.Name, limit.GetValue())
	}
}

// maxErrorLogs bounds the logs that come with an error, trace included, in bytes:
// an error travels in headers, and the last lines of a guest tell why it failed.
const maxErrorLogs = 8 << 10

// boundLogs cuts the logs of a call for an error.
func boundLogs(info *ruedov1.CallInfo) {
	info.Trace = fault.Cut(info.GetTrace(), maxErrorLogs/2)
	info.Logs, info.LogsDropped = LastLogs(info.GetLogs(), info.GetLogsDropped(), maxErrorLogs-len(info.GetTrace()))
}

// LastLogs returns the last whole lines of logs, at most limit bytes, and how
// much was dropped.
func LastLogs(logs []byte, dropped uint64, limit int) ([]byte, uint64) {
	over := len(logs) - limit
	if over <= 0 {
		return logs, dropped
	}
	if i := bytes.IndexByte(logs[over:], '\n'); i >= 0 && over+i+1 < len(logs) {
		over += i + 1
	}
	return logs[over:], dropped + uint64(over)
}

// Undelivered returns the error for a call that was executed but whose answer
// cannot be sent because of err. It says that the call was executed, so that
// the caller does not consider it safe to repeat.
func (r *Result) Undelivered(err error) error { return undelivered(r.Info, err) }

func undelivered(executed *ruedov1.CallInfo, err error) error {
	e := *fault.FromError(err)
	e.Message = "the call was executed, but its answer is not sent: " + e.Message
	e.NotStarted = false
	e.With(fault.MetaStarted, "yes")
	info := proto.CloneOf(executed)
	boundLogs(info)
	e.Details = []any{info}
	return &e
}
