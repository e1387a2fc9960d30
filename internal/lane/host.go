package lane

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/exec"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// HostConfig says what a core offers to runners.
type HostConfig struct {
	// Core is the core itself; its id goes to the runners.
	Core *ruedov1.Core
	// Cluster is the cluster id; runners of another one are refused.
	Cluster string
	// Source gives plans and modules.
	Source exec.Source
	// OnAttach is called with each new lane when it is ready for calls; what
	// it gives back is called when the lane has ended. Both must not block
	// long. Nil means neither.
	OnAttach func(*Lane) (detach func())
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
	// network; zero means DefaultMaxLanesPerAddress. It is also how many attempts
	// to attach an address has in quick succession; then it has four a second.
	MaxLanesPerAddress int
	// BodyBytes bounds the outputs and logs that are being pushed, all together;
	// zero means DefaultBodyBytes. One lane gets half of it.
	BodyBytes int64
	// Logger gets one line when a runner attaches, one when it is gone, and one
	// when it is refused; of many lines in quick succession two a second. nil
	// discards.
	Logger *slog.Logger
}

// Bounds that hold if a config leaves them at zero.
const (
	DefaultMaxLanes           = 1024
	DefaultMaxLanesPerAddress = 128
	DefaultBodyBytes          = 96 << 20
)

const (
	// fetchesPerLane is how many modules one lane gets at the same time,
	// maxStrangers how many all get together that do not prove that they have one.
	fetchesPerLane = 4
	maxStrangers   = 2
	// maxUnproven is how many pushes without that proof may send their first
	// message at the same time.
	maxUnproven = 16
	// maxStandstill is after how many beats without progress a runner that does
	// not read is lost.
	maxStandstill = 20
)

// Host is the core's end of all lanes: the RunnerService. Mount it with
// Handler.
type Host struct {
	cfg    HostConfig
	log    *slog.Logger
	peers  peers
	bodies *budget
	lines  sparse

	strangers chan struct{} // slots, see maxStrangers
	unproven  chan struct{} // slots, see maxUnproven

	mu        sync.Mutex
	lanes     map[string]*Lane // by runner id
	contested map[string]bool  // runner ids that somebody claims right now
	secrets   map[[sha256.Size]byte]*Lane
	preparing map[string]*offered // plans that a preparation is about
	closed    bool
	attached  sync.WaitGroup
}

type offered struct {
	plan *runnerv1.Plan
	uses int
}

var _ runnerv1connect.RunnerServiceHandler = (*Host)(nil)

// NewHost makes a host. It starts nothing; Close ends the lanes that come.
func NewHost(cfg HostConfig) *Host {
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
	if cfg.Core == nil {
		cfg.Core = &ruedov1.Core{}
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Host{
		cfg:       cfg,
		log:       log,
		peers:     peers{all: cfg.MaxLanes, each: cfg.MaxLanesPerAddress, by: make(map[string]*peer)},
		bodies:    newBudget(cfg.BodyBytes),
		strangers: make(chan struct{}, maxStrangers),
		unproven:  make(chan struct{}, maxUnproven),
		lanes:     make(map[string]*Lane),
		contested: make(map[string]bool),
		secrets:   make(map[[sha256.Size]byte]*Lane),
		preparing: make(map[string]*offered),
	}
}

// MaxPush is the longest body of a request, in bytes: output and logs of one call.
const MaxPush = 2*MaxBody + 1<<20

// Close ends all lanes and waits for their streams. Calls under way fail:
// drain the dispatcher first.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	lanes := slices.Collect(maps.Values(h.secrets))
	h.mu.Unlock()
	for _, l := range lanes {
		l.end(fault.New(fault.CoreUnreachable, "core %s is stopping", h.cfg.Core.Id))
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

// Attach is one lane, from Hello to its end.
func (h *Host) Attach(ctx context.Context, stream *connect.BidiStream[runnerv1.AttachRequest, runnerv1.AttachResponse]) error {
	req := requestOf(ctx)
	if req == nil || req.rc.SetWriteDeadline(time.Time{}) != nil {
		return noHandler()
	}
	leave, err := h.peers.enter(stream.Peer().Addr)
	if err != nil {
		return h.refuse(stream.Peer().Addr, "", err)
	}
	defer leave()
	if err := req.rc.SetReadDeadline(time.Now().Add(h.cfg.LossTimeout)); err != nil {
		return faultrpc.ToConnect(err)
	}
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	hello, err := h.welcome(first)
	if err != nil {
		return h.refuse(stream.Peer().Addr, "", err)
	}
	if err := req.rc.SetReadDeadline(time.Time{}); err != nil {
		return faultrpc.ToConnect(err)
	}
	l := newLane(h, hello)
	if _, err := l.out.push(&runnerv1.CoreFrame{Kind: &runnerv1.CoreFrame_Welcome{Welcome: &runnerv1.Welcome{CoreId: h.cfg.Core.Id, Lane: l.secret}}}); err != nil {
		return faultrpc.ToConnect(err)
	}
	if err := h.add(ctx, l); err != nil {
		return h.refuse(stream.Peer().Addr, l.info.Id, err)
	}
	defer h.attached.Done()
	return h.serve(req.rc, stream, l, first.Frames[1:])
}

// refuse turns a peer away.
func (h *Host) refuse(addr, id string, err error) error {
	h.line(slog.LevelWarn, "runner refused", "address", printable(addr, maxName), "runner", id, "reason", fault.ReasonOf(err), "error", err)
	return faultrpc.ToConnect(err)
}

// line logs what peers cause, unless there is too much of it.
func (h *Host) line(level slog.Level, msg string, args ...any) {
	omitted, ok := h.lines.next()
	if !ok {
		return
	}
	if omitted > 0 {
		args = append(args, "lines_omitted", omitted)
	}
	h.log.Log(context.Background(), level, msg, args...)
}

func (h *Host) serve(rc *http.ResponseController, stream *connect.BidiStream[runnerv1.AttachRequest, runnerv1.AttachResponse], l *Lane, more []*runnerv1.RunnerFrame) error {
	h.line(slog.LevelInfo, "runner attached", "runner", l.info.Id, "host", l.info.Host, "version", l.info.Version, "concurrency", l.info.Concurrency)
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
		err := l.out.run(func(frames []byte) error {
			// The frames' encoding is the message's: see queue.
			msg.ProtoReflect().SetUnknown(frames)
			return stream.Send(msg)
		})
		if err != nil {
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
			l.heard.Add(1)
			for _, f := range msg.Frames {
				l.handle(f)
			}
		}
	})

	watch(l.done, h.cfg.Heartbeat, h.cfg.LossTimeout, &l.heard, func() {
		quiet := l.out.quiet()
		if l.out.standstill() >= maxStandstill {
			l.end(fault.New(fault.RunnerLost, "the runner has not read for %s", maxStandstill*h.cfg.Heartbeat/2))
		}
		if quiet {
			_, _ = l.out.push(&runnerv1.CoreFrame{Kind: &runnerv1.CoreFrame_Heartbeat{Heartbeat: &runnerv1.Heartbeat{}}})
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
	_ = rc.SetReadDeadline(past)
	select {
	case <-written:
	case <-time.After(h.cfg.LossTimeout / 3):
		_ = rc.SetWriteDeadline(past)
		<-written
	}
	reader.Wait()
	if l.err != nil {
		return faultrpc.ToConnect(l.err)
	}
	return nil
}

// watch calls beat every half heartbeat and end when nothing was heard for
// the loss timeout, until done. It counts ticks instead of comparing times, so
// that a process that was stopped itself first reads what came meanwhile.
func watch(done <-chan struct{}, heartbeat, loss time.Duration, heard *atomic.Uint64, beat func(), end func(error)) {
	const ticks = 6
	beats, losses := time.NewTicker(heartbeat/2), time.NewTicker(loss/ticks)
	defer beats.Stop()
	defer losses.Stop()
	silent, last := 0, uint64(0)
	for {
		select {
		case <-done:
			return
		case <-beats.C:
			beat()
		case <-losses.C:
			silent++
			if n := heard.Load(); n != last {
				silent, last = 0, n
			}
			if silent >= ticks {
				end(fault.New(fault.RunnerLost, "nothing was heard for %s", loss))
				return
			}
		}
	}
}

// welcome checks the first message of a stream.
func (h *Host) welcome(first *runnerv1.AttachRequest) (*runnerv1.Hello, error) {
	if len(first.Frames) == 0 || first.Frames[0].GetHello() == nil {
		return nil, fault.New(fault.RequestInvalid, "the first frame of a lane must be hello")
	}
	hello := first.Frames[0].GetHello()
	r := hello.Runner
	switch {
	case hello.Protocol < oldestProtocol || hello.Protocol > Protocol:
		return nil, fault.New(fault.RequestInvalid, "the runner speaks lane protocol %d, this core %d to %d", hello.Protocol, oldestProtocol, Protocol).
			WithFix("run the same version of ruedo on cores and runners; upgrade the cores first")
	case hello.ClusterId != h.cfg.Cluster:
		return nil, fault.New(fault.ClusterMismatch, "the runner belongs to cluster %q, this core to %q", printable(hello.ClusterId, maxName), h.cfg.Cluster).
			WithFix("set the same cluster id on both, or give the runner the address of a core of its cluster")
	case !ValidID(r.GetId()):
		return nil, fault.New(fault.RequestInvalid, "runner id %q is not valid: it must match ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", printable(r.GetId(), maxName))
	case r.Concurrency == 0 || r.Concurrency > maxConcurrency || r.Queue > maxConcurrency:
		return nil, fault.New(fault.RequestInvalid, "a concurrency of %d with a queue of %d is not possible: the bounds are 1 to %d, and %[3]d", r.Concurrency, r.Queue, maxConcurrency)
	}
	return hello, nil
}

// add registers a lane. If a lane of the same runner still stands, the one that
// speaks has the name: an old lane that says something meanwhile keeps it, for who
// claims a name proves nothing. An old lane that says nothing is a connection
// that its runner has given up, though the core has not seen that yet; it ends.
// One that drains keeps its calls and leaves the name to its successor.
func (h *Host) add(ctx context.Context, l *Lane) error {
	id := l.info.Id
	taken := fault.New(fault.AlreadyExists, "another runner attached as %s", id).
		WithFix("give each runner an id of its own")
	h.mu.Lock()
	if h.contested[id] {
		h.mu.Unlock()
		return taken
	}
	if old := h.lanes[id]; old != nil && old.Ready() && !h.closed {
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
	if h.closed {
		return fault.New(fault.CoreUnreachable, "core %s is stopping", h.cfg.Core.Id)
	}
	h.attached.Add(1)
	h.lanes[id] = l
	h.secrets[sha256.Sum256([]byte(l.secret))] = l
	return nil
}

// speaks reports whether something arrives on the lane within d.
func (l *Lane) speaks(ctx context.Context, d time.Duration) bool {
	heard := l.heard.Load()
	timer, tick := time.NewTimer(d), time.NewTicker(max(d/20, time.Millisecond))
	defer timer.Stop()
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return false
		case <-ctx.Done():
			return true // the newcomer has gone again
		case <-timer.C:
			return l.heard.Load() != heard
		case <-tick.C:
			if l.heard.Load() != heard {
				return true
			}
		}
	}
}

func (h *Host) remove(l *Lane) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lanes[l.info.Id] == l {
		delete(h.lanes, l.info.Id)
	}
	delete(h.secrets, sha256.Sum256([]byte(l.secret)))
}

// lane finds the lane of a body stream. The map is asked by digest, so neither
// the lookup nor the comparison tells by its time how near a guess was.
func (h *Host) lane(secret string) *Lane {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.secrets[sha256.Sum256([]byte(secret))]
	if l == nil || subtle.ConstantTimeCompare([]byte(l.secret), []byte(secret)) != 1 {
		return nil
	}
	return l
}

// offer lets GetPlan answer for a plan that is not published yet; what it
// gives back takes the offer away.
func (h *Host) offer(req *runnerv1.PrepareRequest) (withdraw func()) {
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

func newSecret() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// ValidID tells whether a runner id has the form of all names of a cluster.
func ValidID(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
