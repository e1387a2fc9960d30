// Package lane carries many calls over one Connect bidi stream between a
// runner and a core; both ends live here. The stream has a connection of its own
// if everything on the way takes the upgrade; otherwise it is one of HTTP/2. See
// [github.com/ruedo-dev/ruedo/internal/lane/upgrade].
//
// The runner dials ([Dial]) and the core answers ([NewHub], mounted with
// [Hub.Handler]): the runner needs no open port. To the core a [Lane] is an
// executor.Runner like any other. On the other end, each call reaches the
// executor.Runner that [ConnConfig.Bind] returned.
//
// The two ends can be of different versions: they agree on a number of the lane
// protocol that both speak, see [github.com/ruedo-dev/ruedo/internal/lane/protocol].
//
// # What a lane carries
//
// Frames, many in one message: producers encode their frames into a queue, and
// one writer sends everything that is queued. That is what makes a call cheap.
// Bodies and logs over 32 KiB would hold up every other call. They travel out
// of band: the runner fetches or pushes them on a separate stream, which proves
// with the lane's secret that it belongs to the lane. Handlers never run in the
// goroutine that reads frames.
//
// A call of kind http has a head in its frame, and its body and answer if they are
// short and complete. What streams travels out of band, too; see
// [github.com/ruedo-dev/ruedo/internal/lane/stream].
//
// Questions for what guests logged travel inline as well: a page of the answer is
// about as long as the longest body that does. A runner says in its hello that it
// answers them.
//
// # What a failure proves
//
// If the lane breaks before a call's frame was handed to the stream, the call
// fails with RUNNER_LOST and NotStarted. If it breaks later, nothing is known,
// so the error says started=unknown. If the caller goes away, the call is
// cancelled on the runner.
//
// # Bounds
//
// Neither end trusts the other. A message is bounded before it is decoded,
// texts are cut before they are logged, stored or passed on, and impossible
// figures are refused. Lanes and attempts to attach are bounded per address and
// in total. A body belongs to one call, is bounded by the service's own limit,
// holds memory only while the call waits, and shares a budget with all others.
// A body that makes no progress is ended. Calls of kind http are counted on their
// own, because a lane has many of them that only wait. [HubConfig] has the settings.
//
// # Silence
//
// Each end sends a heartbeat when it has nothing else to send: each second while
// calls are in flight, and ever more rarely on an idle lane, up to every 14 s. It
// says how long it pauses. A lane on which nothing arrives for that pause and the
// loss timeout is lost, even if the connection is still open, as with a stopped
// process. A runner that has been silent for the loss timeout is asked whether it is
// there before a call is sent to it, so a call to one that is gone provably did not
// start. See package pace. While the runner answers on a lane, no other peer gets its
// id.
package lane

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane/pace"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/lane/queue"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
)

// Sizes. Both ends rely on them, so they are part of the protocol.
const (
	// MaxInline is the longest input, output or log that is sent on the lane
	// itself; longer ones travel out of band.
	MaxInline = 32 << 10
	// MaxBody is the longest input, output or log of any call.
	MaxBody = 64 << 20

	maxHello = 16 << 10 // the message that opens a lane
	// MaxRequest is the longest message to a core.
	MaxRequest = queue.MaxFrame + queue.SegmentSize
	// MaxPush is the longest body of a request: output and logs of one call.
	MaxPush    = 2*MaxBody + 1<<20
	maxMessage = 4 << 20   // one message to a runner: a plan may be long
	chunkSize  = 512 << 10 // piece of a body, or of a module that is not sent in chunks
	pieceSize  = 32 << 10  // piece of a module's chunk: what a broken transfer loses
	maxText    = 16 << 10  // message of a failure
)

// Defaults for times that a config leaves at zero.
const (
	DefaultHeartbeat   = pace.Usual
	DefaultLossTimeout = 3 * time.Second
)

// maxConcurrency bounds the concurrency that a runner can claim.
const maxConcurrency = 1 << 20

// Lane is the core's end: one attached runner. Its methods can be called from
// many goroutines at the same time.
type Lane struct {
	hub        *Hub
	info       *ruedov1.Runner
	registered bool
	logs       bool   // the runner answers ReadLogs
	protocol   uint32 // that both ends speak
	secret     string
	limit      int64 // maximum number of calls in flight

	out     *queue.Queue
	pending calls
	ids     atomic.Uint64
	active  atomic.Int64
	// exchanges are those of the active calls that are of kind http.
	exchanges atomic.Int64
	total     atomic.Uint64
	draining  atomic.Bool
	silence   pace.Silence // of the runner
	usage     atomic.Pointer[ruedov1.PlanUsage]

	modules chan struct{} // slots of fetches

	calls  sync.Pool // of *call
	frames sync.Pool // of *executeFrame

	once sync.Once
	done chan struct{}
	err  error // why the lane ended; nil after a drain; set before done is closed
}

var (
	_ executor.Runner = (*Lane)(nil)
	_ executor.Busy   = (*Lane)(nil)
)

func newLane(h *Hub, hello *runnerv1.Hello, number uint32, upgraded bool) *Lane {
	r := introduce(hello.Runner)
	r.LaneProtocol, r.LaneUpgraded, r.Outdated = number, upgraded, number < h.speaks.Max
	return &Lane{
		hub:        h,
		info:       r,
		registered: hello.Registered,
		logs:       hello.Logs,
		protocol:   number,
		secret:     protocol.NewSecret(),
		limit:      int64(r.Concurrency) + int64(r.Queue),
		out:        queue.New(),
		pending:    newCalls(),
		modules:    make(chan struct{}, fetchesPerLane),
		calls:      sync.Pool{New: newCall},
		frames:     sync.Pool{New: newExecuteFrame},
		done:       make(chan struct{}),
	}
}

// Info returns the runner as it introduced itself, and which lane protocol it
// speaks. It is shared: do not change it.
func (l *Lane) Info() *ruedov1.Runner { return l.info }

// Registered reports whether the runner registers itself in the store.
func (l *Lane) Registered() bool { return l.registered }

// Ready reports whether the runner is attached and accepts calls. A lane that
// is no longer ready never becomes ready again.
func (l *Lane) Ready() bool {
	if l.draining.Load() {
		return false
	}
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// Lost reports whether the lane broke: it has ended, and neither end wanted that.
func (l *Lane) Lost() bool {
	select {
	case <-l.done:
		return l.err != nil && !l.hub.closing()
	default:
		return false
	}
}

// Active returns the number of calls in flight.
func (l *Lane) Active() int { return int(l.active.Load()) }

// InFlight returns calls that the runner has not answered, at most limit.
func (l *Lane) InFlight(limit int) []executor.InFlight { return l.pending.inFlight(limit) }

// Total returns the number of calls that the runner has executed for this core.
func (l *Lane) Total() uint64 { return l.total.Load() }

// PlanUsage returns what the runner holds ready, as it said last; nil if it did
// not say. It is shared: do not change it.
func (l *Lane) PlanUsage() *ruedov1.PlanUsage { return l.usage.Load() }

// Done is closed when the lane has ended.
func (l *Lane) Done() <-chan struct{} { return l.done }

// Err returns why the lane ended; nil while it is up, and after a drain.
func (l *Lane) Err() error {
	select {
	case <-l.done:
		return l.err
	default:
		return nil
	}
}

// Execute sends one call to the runner and waits for its answer. A runner that has
// been silent for the loss timeout first has to answer a probe.
func (l *Lane) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, notStarted(faultrpc.FromError(err))
	}
	defer l.leave()
	n := l.active.Add(1)
	if len(req.Head) > 0 {
		defer l.exchanges.Add(-1)
		if err := l.allows(l.exchanges.Add(1)); err != nil {
			return nil, err
		}
	} else if n-l.exchanges.Load() > l.limit {
		return nil, l.full()
	}
	// After the count, so that drain either sees the call or the call sees it.
	if l.draining.Load() {
		return nil, notStarted(fault.New(fault.RunnerDraining, "runner %s is draining", l.info.Id))
	}
	if err := l.wake(ctx); err != nil {
		return nil, err
	}

	f := l.frames.Get().(*executeFrame)
	defer l.reuse(f)
	f.request.Plan, f.request.CallId, f.request.Service = req.Plan, req.CallId, req.Service
	f.request.ContentType, f.request.Caller, f.request.Logs, f.request.MaxWaitNanos = req.ContentType, req.Caller, req.Logs, req.MaxWaitNanos
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, notStarted(fault.FromError(context.DeadlineExceeded))
		}
		f.execute.TimeoutNanos = int64(left)
	}
	if len(req.ContentType) > maxMediaType {
		return nil, notStarted(fault.New(fault.RequestInvalid, "the content type of the input has %d bytes, the limit is %d", len(req.ContentType), maxMediaType).
			WithFix("send a shorter Content-Type"))
	}
	var b *body
	if len(req.Input) > MaxInline {
		if len(req.Input) > MaxBody {
			return nil, notStarted(fault.New(fault.InputTooLarge, "input of %d bytes is over the limit of %d for a lane", len(req.Input), MaxBody))
		}
		b = &body{input: req.Input}
		defer b.drop()
		f.execute.Detached, f.execute.InputBytes = true, uint64(len(req.Input))
	} else {
		f.request.Input = req.Input
	}
	if len(req.Head) == 0 {
		frame, got, err := l.exchange(ctx, &f.frame, b, req, nil)
		if err != nil {
			return nil, err
		}
		return l.executed(frame, got)
	}
	return l.executeHTTP(ctx, f, b, req)
}

// executeHTTP is the rest of Execute for a call of kind http.
func (l *Lane) executeHTTP(ctx context.Context, f *executeFrame, b *body, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	if len(req.Head) > stream.MaxHead {
		return nil, notStarted(fault.New(fault.RequestInvalid, "the head of the request has %d bytes, the limit is %d", len(req.Head), stream.MaxHead))
	}
	x := executor.ExchangeOf(ctx)
	if x == nil {
		x = &executor.Exchange{}
	}
	s := stream.NewCall(ctx, x, l)
	defer s.End()
	f.request.Head, f.execute.Streams, f.execute.AnswerRoom = req.Head, s.Streams(), uint32(s.Room())
	frame, got, err := l.exchange(ctx, &f.frame, b, req, s)
	if err != nil {
		return l.streamed(s, nil, err)
	}
	res, err := l.executed(frame, got)
	return l.streamed(s, res, err)
}

// executed decodes the answer to a call.
func (l *Lane) executed(frame *runnerv1.RunnerFrame, push pushed) (*runnerv1.ExecuteResponse, error) {
	var res *runnerv1.ExecuteResponse
	switch k := frame.Kind.(type) {
	case *runnerv1.RunnerFrame_Failure:
		if k.Failure != nil {
			k.Failure.Info = protocol.Info(k.Failure.Info, k.Failure.Outcome)
		}
		l.checkLogs(k.Failure.GetInfo())
		push.addLogs(k.Failure.GetInfo())
		err := failureError(k.Failure, l.info.Id)
		if !err.NotStarted {
			l.total.Add(1)
		}
		return nil, err
	case *runnerv1.RunnerFrame_Executed:
		res = k.Executed
	case *runnerv1.RunnerFrame_ExecutedDetached:
		res = k.ExecutedDetached
		if !push.hasOutput {
			l.total.Add(1)
			return nil, fault.New(fault.Internal, "runner %s announced an output that it did not push", l.info.Id)
		}
		res.Output = push.output
	default:
		return nil, fault.New(fault.Internal, "runner %s answered a call with %T", l.info.Id, frame.Kind)
	}
	l.total.Add(1)
	if err := l.checkAnswer(res, push); err != nil {
		return nil, err
	}
	if res.Info == nil {
		res.Info = &ruedov1.CallInfo{}
	}
	res.Info.Runner = l.info.Id
	push.addLogs(res.Info)
	return res, nil
}

// checkAnswer refuses an answer that a runner of this protocol does not send.
func (l *Lane) checkAnswer(res *runnerv1.ExecuteResponse, push pushed) error {
	switch {
	case res == nil:
		return fault.New(fault.Internal, "runner %s answered a call with nothing", l.info.Id)
	case len(res.ContentType) > maxMediaType:
		return fault.New(fault.Internal, "runner %s answered with a content type of %d bytes, the limit is %d", l.info.Id, len(res.ContentType), maxMediaType)
	case len(res.Output) > MaxInline && !push.hasOutput:
		return fault.New(fault.Internal, "runner %s sent an output of %d bytes on its lane, the limit is %d", l.info.Id, len(res.Output), MaxInline)
	}
	res.Info = protocol.Info(res.Info, res.Outcome)
	l.checkLogs(res.Info)
	return checkInfo(res.Info, l.info.Id)
}

// checkLogs drops logs that are too long for a lane.
func (l *Lane) checkLogs(info *ruedov1.CallInfo) {
	if info != nil && len(info.Logs) > MaxInline {
		info.LogsDropped += uint64(len(info.Logs))
		info.Logs = nil
	}
}

// Prepare makes the runner prepare a plan. The runner fetches a plan that is
// too long for the lane.
func (l *Lane) Prepare(ctx context.Context, req *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, notStarted(faultrpc.FromError(err))
	}
	if !l.Ready() {
		return nil, notStarted(fault.New(fault.RunnerDraining, "runner %s is not accepting new work", l.info.Id))
	}
	if err := l.wake(ctx); err != nil {
		return nil, err
	}
	if req.Plan != nil {
		if l.protocol < protocol.Streams && req.Plan.Kind == ruedov1.Kind_KIND_HTTP {
			return nil, l.tooOld()
		}
		defer l.hub.offer(req)()
		if proto.Size(req.Plan) > MaxInline {
			req = &runnerv1.PrepareRequest{Id: req.Id}
		}
	}
	frame, _, err := l.exchange(ctx, &runnerv1.CoreFrame{Kind: &runnerv1.CoreFrame_Prepare{Prepare: req}}, nil, nil, nil)
	if err != nil {
		return nil, err
	}
	switch k := frame.Kind.(type) {
	case *runnerv1.RunnerFrame_Prepared:
		p := protocol.Preparation(k.Prepared)
		if err := checkPreparation(p, l.info.Id); err != nil {
			return nil, err
		}
		return &runnerv1.PrepareResponse{Preparation: p}, nil
	case *runnerv1.RunnerFrame_Failure:
		l.checkLogs(k.Failure.GetInfo())
		return nil, failureError(k.Failure, l.info.Id)
	}
	return nil, fault.New(fault.Internal, "runner %s answered a preparation with %T", l.info.Id, frame.Kind)
}

func (l *Lane) leave() {
	if l.active.Add(-1) == 0 && l.draining.Load() {
		l.end(nil)
	}
}

// drain refuses new calls. The lane ends after the last call, which tells the
// runner that no more frames are on the way.
func (l *Lane) drain() {
	l.draining.Store(true)
	if l.active.Load() == 0 {
		l.end(nil)
	}
}

// end ends the lane once; a nil error is a clean end, which still sends what
// is queued.
func (l *Lane) end(err error) {
	l.once.Do(func() {
		l.err = err
		l.out.Close(err == nil)
		close(l.done)
		l.pending.fail()
	})
}

// handle processes one frame from the runner. A frame that answers no call is
// either a late answer to a cancelled call or invalid; both are dropped.
func (l *Lane) handle(f *runnerv1.RunnerFrame) {
	switch k := f.GetKind().(type) {
	case *runnerv1.RunnerFrame_Answer:
		if s := l.pending.stream(f.Id); s != nil {
			s.Take(k.Answer, func() { l.enough(f.Id) })
		}
	case *runnerv1.RunnerFrame_Executed, *runnerv1.RunnerFrame_ExecutedDetached,
		*runnerv1.RunnerFrame_Prepared, *runnerv1.RunnerFrame_Failure, *runnerv1.RunnerFrame_Logs:
		if c := l.pending.Take(f.Id); c != nil {
			if c.stream != nil {
				c.stream.Answered(f.GetExecuted().GetStreamed())
			}
			c.frame = f
			c.answer <- struct{}{}
		}
	case *runnerv1.RunnerFrame_Draining:
		l.drain()
	case *runnerv1.RunnerFrame_Heartbeat:
		l.beat(f)
	}
}

func notStarted(e *fault.Error) *fault.Error {
	c := *e
	c.NotStarted = true
	return &c
}

// executeFrame is the frame of a call in one allocation that is reused. push
// has encoded the frame when it returns, so nothing refers to it any more.
type executeFrame struct {
	frame   runnerv1.CoreFrame
	kind    runnerv1.CoreFrame_Execute
	execute runnerv1.Execute
	request runnerv1.ExecuteRequest
}

func newExecuteFrame() any {
	f := new(executeFrame)
	f.frame.Kind = &f.kind
	f.kind.Execute = &f.execute
	f.execute.Request = &f.request
	return f
}

func (l *Lane) reuse(f *executeFrame) {
	f.frame.Id = 0
	f.execute.TimeoutNanos, f.execute.Detached, f.execute.InputBytes, f.execute.Streams, f.execute.AnswerRoom = 0, false, 0, false, 0
	r := &f.request
	r.Plan, r.CallId, r.Service, r.Input, r.ContentType, r.Caller, r.Logs, r.MaxWaitNanos, r.Head = "", "", "", nil, "", "", false, 0, nil
	l.frames.Put(f)
}

func (l *Lane) release(c *call) {
	if c.push != nil {
		c.push.end()
	}
	c.frame, c.push, c.body, c.stream, c.req, c.ctx = nil, nil, nil, nil, nil, nil
	c.late, c.broke = false, false
	l.calls.Put(c)
}
