package lane

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/labels"
	"github.com/ruedo-dev/ruedo/internal/lane/budget"
	"github.com/ruedo-dev/ruedo/internal/lane/pace"
	"github.com/ruedo-dev/ruedo/internal/lane/peers"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/names"
)

// HubConfig configures a Hub.
type HubConfig struct {
	// Core describes the core; its id is sent to the runners.
	Core *ruedov1.Core
	// Cluster is the cluster id; runners of another one are refused.
	Cluster string
	// Source provides plans and modules.
	Source executor.Source
	// Admit returns why a runner must not attach; nil lets it. It is called with the
	// runner as it introduces itself, before it gets a lane. A nil Admit lets all.
	Admit func(*ruedov1.Runner) error
	// OnAttach is called with each new lane when it is ready for calls. The
	// function that it returns is called when the lane has ended. Neither may
	// block for long. Nil disables both.
	OnAttach func(*Lane) (detach func())
	// Refused counts a request that is answered before it gets to a procedure. Nil
	// counts nothing.
	Refused func(context.Context, fault.Reason)
	// Heartbeat is how long a lane is silent before a heartbeat is sent; zero
	// means DefaultHeartbeat.
	Heartbeat time.Duration
	// LossTimeout is how long a runner may be silent before its lane is lost;
	// zero means DefaultLossTimeout.
	LossTimeout time.Duration
	// MaxLanes bounds the lanes of this core; zero means DefaultMaxLanes. Attempts
	// to attach count as well.
	MaxLanes int
	// MaxLanesPerAddress bounds the lanes from one IPv4 address or one IPv6 /64
	// network; zero means DefaultMaxLanesPerAddress. It is also how many times
	// an address can try to attach in quick succession; after that, four times
	// a second.
	MaxLanesPerAddress int
	// BodyBytes bounds the total size of the outputs and logs that are being
	// pushed; zero means DefaultBodyBytes. One lane gets at most half of it.
	BodyBytes int64
	// Logger gets one line when a runner attaches, another one if it is older than
	// this core, one when it is gone, and one when it is refused. Many lines in
	// quick succession are thinned to two a second. Nil discards them.
	Logger *slog.Logger

	speaks protocol.Range // for tests; zero means protocol.OfCore
}

// Defaults of HubConfig.
const (
	DefaultMaxLanes           = 1024
	DefaultMaxLanesPerAddress = 128
	DefaultBodyBytes          = 96 << 20
)

const (
	// fetchesPerLane is how many modules one lane can fetch at the same time.
	// maxStrangers is how many all peers together can fetch that do not prove
	// that they have a lane.
	fetchesPerLane = 4
	maxStrangers   = 2
	// maxUnproven is how many pushes without that proof can send their first
	// message at the same time.
	maxUnproven = 16
	// maxStandstill is the number of beats without progress after which a
	// runner that does not read counts as lost.
	maxStandstill = 20
)

// Hub is the core's end of all lanes: the RunnerService. Mount it with
// Handler.
type Hub struct {
	cfg    HubConfig
	log    *slog.Logger
	speaks protocol.Range
	peers  *peers.Table
	bodies *budget.Budget
	lines  peers.Lines

	strangers chan struct{} // slots, see maxStrangers
	unproven  chan struct{} // slots, see maxUnproven

	mu        sync.Mutex
	lanes     map[string]*Lane // by runner id
	contested map[string]bool  // runner ids that a newcomer is claiming
	secrets   map[[sha256.Size]byte]*Lane
	preparing map[string]*offered // plans that are being prepared
	down      context.Context     // ends with Close
	stop      context.CancelFunc
	attached  sync.WaitGroup
}

type offered struct {
	plan *runnerv1.Plan
	uses int
}

var _ runnerv1connect.RunnerServiceHandler = (*Hub)(nil)

// NewHub returns a hub. It starts no goroutines; Close ends the lanes that
// have attached.
func NewHub(cfg HubConfig) *Hub {
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = DefaultHeartbeat
	}
	if cfg.LossTimeout <= 0 {
		cfg.LossTimeout = DefaultLossTimeout
	}
	if cfg.MaxLanes <= 0 {
		cfg.MaxLanes = DefaultMaxLanes
	}
	if cfg.MaxLanesPerAddress <= 0 {
		cfg.MaxLanesPerAddress = DefaultMaxLanesPerAddress
	}
	if cfg.BodyBytes <= 0 {
		cfg.BodyBytes = DefaultBodyBytes
	}
	if cfg.speaks == (protocol.Range{}) {
		cfg.speaks = protocol.OfCore()
	}
	if cfg.Core == nil {
		cfg.Core = &ruedov1.Core{}
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{
		cfg:       cfg,
		log:       log,
		speaks:    cfg.speaks,
		peers:     peers.New(cfg.MaxLanes, cfg.MaxLanesPerAddress),
		bodies:    budget.New(cfg.BodyBytes),
		strangers: make(chan struct{}, maxStrangers),
		unproven:  make(chan struct{}, maxUnproven),
		lanes:     make(map[string]*Lane),
		contested: make(map[string]bool),
		secrets:   make(map[[sha256.Size]byte]*Lane),
		preparing: make(map[string]*offered),
	}
	h.down, h.stop = context.WithCancel(context.Background())
	return h
}

// Close ends all lanes and waits for their streams. Calls in flight fail, so
// drain the dispatcher first.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	h.stop()
	lanes := slices.Collect(maps.Values(h.secrets))
	h.mu.Unlock()
	for _, l := range lanes {
		l.end(h.stopping())
	}
	ended := make(chan struct{})
	go func() { h.attached.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Attach serves one lane, from Hello to its end.
func (h *Hub) Attach(ctx context.Context, stream *connect.BidiStream[runnerv1.AttachRequest, runnerv1.AttachResponse]) error {
	req := requestOf(ctx)
	if req == nil || req.rc.SetWriteDeadline(time.Time{}) != nil {
		return noHandler()
	}
	leave, err := h.peers.Enter(stream.Peer().Addr)
	if err != nil {
		return h.refuse(stream.Peer().Addr, "", err)
	}
	defer leave()
	if err := req.rc.SetReadDeadline(time.Now().Add(h.cfg.LossTimeout)); err != nil {
		return faultrpc.ToConnect(err)
	}
	hurried := make(chan struct{})
	hurry := context.AfterFunc(h.down, func() { defer close(hurried); _ = req.rc.SetReadDeadline(time.Unix(1, 0)) })
	first, err := stream.Receive()
	if !hurry() {
		<-hurried // or it could outlive the request
	}
	switch {
	case err != nil && h.closing():
		return faultrpc.ToConnect(h.stopping())
	case err != nil:
		return err
	}
	hello, number, err := h.welcome(first)
	if err != nil {
		return h.refuse(stream.Peer().Addr, "", err)
	}
	if err := req.rc.SetReadDeadline(time.Time{}); err != nil {
		return faultrpc.ToConnect(err)
	}
	l := newLane(h, hello, number, req.own != nil)
	if h.cfg.Admit != nil {
		if err := h.cfg.Admit(l.info); err != nil {
			return h.refuse(stream.Peer().Addr, l.info.Id, err)
		}
	}
	welcome := &runnerv1.Welcome{CoreId: h.cfg.Core.Id, Lane: l.secret, Protocol: number, MinProtocol: h.speaks.Min, MaxProtocol: h.speaks.Max}
	if _, err := l.out.Push(&runnerv1.CoreFrame{Kind: &runnerv1.CoreFrame_Welcome{Welcome: welcome}}); err != nil {
		return faultrpc.ToConnect(err)
	}
	if err := h.add(ctx, l); err != nil {
		return h.refuse(stream.Peer().Addr, l.info.Id, err)
	}
	defer h.attached.Done()
	// What cancels the stream for a reason of its own, such as a token that is no longer
	// good, ends the lane; of other ends the lane hears itself.
	defer context.AfterFunc(ctx, func() {
		if why, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok {
			l.end(why)
		}
	})()
	return h.serve(req, stream, l, first.Frames[1:])
}

// refuse logs why a peer is refused and returns the error for it.
func (h *Hub) refuse(addr, id string, err error) error {
	h.line(slog.LevelWarn, "runner refused", "address", printable(addr, maxName), "runner", id, "reason", fault.ReasonOf(err), "error", err)
	return faultrpc.ToConnect(err)
}

// line logs an event that a peer caused, unless there are too many.
func (h *Hub) line(level slog.Level, msg string, args ...any) {
	omitted, ok := h.lines.Next()
	if !ok {
		return
	}
	if omitted > 0 {
		args = append(args, "lines_omitted", omitted)
	}
	h.log.Log(context.Background(), level, msg, args...)
}

func (h *Hub) serve(req *request, stream *connect.BidiStream[runnerv1.AttachRequest, runnerv1.AttachResponse], l *Lane, more []*runnerv1.RunnerFrame) error {
	h.line(slog.LevelInfo, "runner attached", "runner", l.info.Id, "host", l.info.Host, "version", l.info.Version, "concurrency", l.info.Concurrency, "protocol", l.protocol, "upgraded", l.info.LaneUpgraded)
	if l.info.Outdated {
		h.line(slog.LevelWarn, "the runner is older than this core: it works, but lacks what later versions added", "runner", l.info.Id,
			"version", l.info.Version, "protocol", l.protocol, "newest", h.speaks.Max, "fix", "upgrade the runner")
	}
	detach := func() {}
	if h.cfg.OnAttach != nil {
		if d := h.cfg.OnAttach(l); d != nil {
			detach = d
		}
	}

	written := make(chan struct{})
	var reader sync.WaitGroup
	go func() {
		defer close(written)
		msg := &runnerv1.AttachResponse{}
		send := func(frames []byte) error {
			// The encoded frames are the encoded message; see queue.
			msg.ProtoReflect().SetUnknown(frames)
			return stream.Send(msg)
		}
		if req.own != nil {
			send = req.own.Send
		}
		// EOF means that Receive returns the reason.
		if err := l.out.Run(send); err != nil && !errors.Is(err, io.EOF) {
			l.end(err)
		}
	}()
	reader.Go(func() {
		for _, f := range more {
			l.handle(f)
		}
		for {
			msg, err := stream.Receive()
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = errors.New("the runner closed the stream")
				}
				l.end(err)
				return
			}
			l.silence.Heard()
			for _, f := range msg.Frames {
				l.handle(f)
			}
		}
	})

	beats := pace.Sender{Every: h.cfg.Heartbeat, Steady: l.protocol < protocol.Pauses}
	l.silence.Watch(l.done, h.cfg.Heartbeat, h.cfg.LossTimeout, func() {
		quiet := l.out.Quiet()
		if l.out.Standstill() >= maxStandstill {
			l.end(fault.New(fault.RunnerLost, "the runner has not read for %s", maxStandstill*h.cfg.Heartbeat/2))
		}
		if beat, pause := beats.Tick(!quiet, l.active.Load() > 0); beat {
			l.out.Beat(&runnerv1.CoreFrame{Kind: &runnerv1.CoreFrame_Heartbeat{Heartbeat: beats.Heartbeat(pause)}})
		}
	}, l.end)

	h.remove(l)
	detach()
	reason := "drained"
	if l.err != nil {
		reason = cut(l.err.Error(), maxLine)
	}
	h.line(slog.LevelInfo, "runner detached", "runner", l.info.Id, "reason", reason, "calls", l.total.Load())
	past := time.Unix(1, 0)
	_ = req.rc.SetReadDeadline(past)
	select {
	case <-written:
	case <-time.After(h.cfg.LossTimeout / 3):
		_ = req.rc.SetWriteDeadline(past)
		<-written
	}
	reader.Wait()
	if l.err != nil {
		return faultrpc.ToConnect(gone(l.err))
	}
	return nil
}

// welcome checks the first message of a stream. It returns the hello, and the
// number of the protocol to speak.
func (h *Hub) welcome(first *runnerv1.AttachRequest) (*runnerv1.Hello, uint32, error) {
	if len(first.Frames) == 0 || first.Frames[0].GetHello() == nil {
		return nil, 0, fault.New(fault.RequestInvalid, "the first frame of a lane must be hello")
	}
	hello := first.Frames[0].GetHello()
	number, err := h.speaks.Welcome(hello)
	r := hello.Runner
	switch {
	case err != nil:
		return nil, 0, err
	case hello.ClusterId != h.cfg.Cluster:
		return nil, 0, fault.New(fault.ClusterMismatch, "the runner belongs to cluster %q, this core to %q", printable(hello.ClusterId, maxName), h.cfg.Cluster).
			WithFix("set the same cluster id on both, or give the runner the address of a core of its cluster")
	case !names.Valid(r.GetId()):
		return nil, 0, fault.New(fault.RequestInvalid, "runner id %q is not valid: it must match %s", printable(r.GetId(), maxName), names.Pattern)
	case r.Concurrency == 0 || max(r.Concurrency, r.Queue, r.Streams) > maxConcurrency:
		return nil, 0, fault.New(fault.RequestInvalid, "concurrency %d, queue %d or streams %d is out of range: concurrency is 1 to %d, the others at most %[4]d", r.Concurrency, r.Queue, r.Streams, maxConcurrency)
	}
	return hello, number, labels.Check(r.Labels)
}

// add registers a lane. If there is already a lane of the same runner, add
// waits a moment to see whether something arrives on it. If so, the old lane
// keeps the name, because claiming a name proves nothing. If not, the runner
// has given up that connection and the core has not noticed yet, so the old
// lane ends. A draining lane keeps its calls and leaves the name to its
// successor.
func (h *Hub) add(ctx context.Context, l *Lane) error {
	id := l.info.Id
	taken := fault.New(fault.AlreadyExists, "another runner attached as %s", id).
		WithFix("give each runner an id of its own, or a cache directory of its own, where it keeps its id")
	h.mu.Lock()
	if h.contested[id] {
		h.mu.Unlock()
		return taken
	}
	if old := h.lanes[id]; old != nil && old.Ready() && !h.closing() {
		h.contested[id] = true
		h.mu.Unlock()
		speaks := old.speaks(ctx, min(2*h.cfg.Heartbeat, h.cfg.LossTimeout))
		if !speaks {
			old.end(taken)
		}
		h.mu.Lock()
		delete(h.contested, id)
		if speaks {
			h.mu.Unlock()
			return taken
		}
	}
	defer h.mu.Unlock()
	if h.closing() {
		return h.stopping()
	}
	h.attached.Add(1)
	h.lanes[id] = l
	h.secrets[sha256.Sum256([]byte(l.secret))] = l
	return nil
}

// speaks reports whether something arrives on the lane within d.
func (l *Lane) speaks(ctx context.Context, d time.Duration) bool {
	heard := l.silence.Messages()
	if l.protocol >= protocol.Pauses {
		l.probe()
	}
	timer, tick := time.NewTimer(d), time.NewTicker(max(d/20, time.Millisecond))
	defer timer.Stop()
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return false
		case <-ctx.Done():
			return true // the newcomer is already gone
		case <-timer.C:
			return l.silence.Messages() != heard
		case <-tick.C:
			if l.silence.Messages() != heard {
				return true
			}
		}
	}
}

func (h *Hub) closing() bool { return h.down.Err() != nil }

func (h *Hub) stopping() error {
	return fault.New(fault.CoreUnreachable, "core %s is stopping", h.cfg.Core.Id)
}

// begin counts a connection that Close has to wait for. It reports false once the hub
// is closing.
func (h *Hub) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing() {
		return false
	}
	h.attached.Add(1)
	return true
}

func (h *Hub) remove(l *Lane) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lanes[l.info.Id] == l {
		delete(h.lanes, l.info.Id)
	}
	delete(h.secrets, sha256.Sum256([]byte(l.secret)))
}

// lane finds the lane of a body stream. The map is keyed by digest, so the time
// of the lookup and of the comparison does not reveal how close a guess was.
func (h *Hub) lane(secret string) *Lane {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.secrets[sha256.Sum256([]byte(secret))]
	if l == nil || subtle.ConstantTimeCompare([]byte(l.secret), []byte(secret)) != 1 {
		return nil
	}
	return l
}

// offer makes GetPlan return a plan that is not published yet, until withdraw
// is called.
func (h *Hub) offer(req *runnerv1.PrepareRequest) (withdraw func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.preparing[req.Id]
	if o == nil {
		o = &offered{plan: req.Plan}
		h.preparing[req.Id] = o
	}
	o.uses++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if o.uses--; o.uses == 0 {
			delete(h.preparing, req.Id)
		}
	}
}
