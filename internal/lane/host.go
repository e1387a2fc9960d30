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
	"net/http"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/exec"
	"github.com/ruedo-dev/ruedo/internal/fault"
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
	// Logger gets one line when a runner attaches and one when it is gone; nil
	// discards.
	Logger *slog.Logger
}

// Host is the core's end of all lanes: the RunnerService. Mount it with
// Handler.
type Host struct {
	cfg HostConfig
	log *slog.Logger

	mu        sync.Mutex
	lanes     map[string]*Lane // by runner id
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
		lanes:     make(map[string]*Lane),
		secrets:   make(map[[sha256.Size]byte]*Lane),
		preparing: make(map[string]*offered),
	}
}

type controllerKey struct{}

// Messages and bodies of requests, in bytes: a server that bounds them must let
// as much pass.
const (
	MaxMessage = maxMessage
	MaxPush    = 2*MaxBody + 1<<20 // output and logs of one call
)

// Handler gives the path and the handler to mount. The server must speak
// HTTP/2 (h2c or TLS), and should set HTTP2Config.SendPingTimeout and
// WriteByteTimeout, so that a connection whose peer stopped is torn down. Its
// read and write timeouts do not apply to lanes.
func (h *Host) Handler(opts ...connect.HandlerOption) (path string, handler http.Handler) {
	opts = slices.Concat([]connect.HandlerOption{connect.WithReadMaxBytes(maxMessage)}, opts, []connect.HandlerOption{connect.WithCompressMinBytes(maxMessage)})
	path, next := runnerv1connect.NewRunnerServiceHandler(h, opts...)
	return path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A lane that is lost must end a Send or Receive that hangs; deadlines
		// of the stream are the only way to do so from outside.
		ctx := context.WithValue(r.Context(), controllerKey{}, http.NewResponseController(w))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Close ends all lanes and waits for their streams. Calls under way fail:
// drain the dispatcher first.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	lanes := make([]*Lane, 0, len(h.lanes))
	for _, l := range h.lanes {
		lanes = append(lanes, l)
	}
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
	rc, _ := ctx.Value(controllerKey{}).(*http.ResponseController)
	if rc == nil || rc.SetWriteDeadline(time.Time{}) != nil {
		return fault.Wire(fault.New(fault.Internal, "lanes are served by lane.Host.Handler over HTTP/2 only"))
	}
	if err := rc.SetReadDeadline(time.Now().Add(h.cfg.LossTimeout)); err != nil {
		return fault.Wire(err)
	}
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	hello, err := h.welcome(first)
	if err != nil {
		return fault.Wire(err)
	}
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		return fault.Wire(err)
	}
	l := newLane(h, hello)
	if _, err := l.out.push(&runnerv1.CoreFrame{Kind: &runnerv1.CoreFrame_Welcome{Welcome: &runnerv1.Welcome{CoreId: h.cfg.Core.Id, Lane: l.secret}}}); err != nil {
		return fault.Wire(err)
	}
	if err := h.add(l); err != nil {
		return fault.Wire(err)
	}
	defer h.attached.Done()
	return h.serve(rc, stream, l, first.Frames[1:])
}

func (h *Host) serve(rc *http.ResponseController, stream *connect.BidiStream[runnerv1.AttachRequest, runnerv1.AttachResponse], l *Lane, more []*runnerv1.RunnerFrame) error {
	log := h.log.With("runner", l.info.Id)
	log.Info("runner attached", "host", l.info.Host, "version", l.info.Version, "concurrency", l.info.Concurrency)
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
			l.heard.Store(true)
			for _, f := range msg.Frames {
				l.handle(f)
			}
		}
	})

	watch(l.done, h.cfg.Heartbeat, h.cfg.LossTimeout, &l.heard, func() {
		if l.out.quiet() {
			_, _ = l.out.push(&runnerv1.CoreFrame{Kind: &runnerv1.CoreFrame_Heartbeat{Heartbeat: &runnerv1.Heartbeat{}}})
		}
	}, l.end)

	h.remove(l)
	detach()
	if l.err != nil {
		log.Info("runner detached", "reason", l.err.Error(), "calls", l.total.Load())
	} else {
		log.Info("runner detached", "reason", "drained", "calls", l.total.Load())
	}
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
		return fault.Wire(l.err)
	}
	return nil
}

// watch calls beat every half heartbeat and end when nothing was heard for
// the loss timeout, until done. It counts ticks instead of comparing times, so
// that a process that was stopped itself first reads what came meanwhile.
func watch(done <-chan struct{}, heartbeat, loss time.Duration, heard interface{ Swap(bool) bool }, beat func(), end func(error)) {
	const ticks = 6
	beats, losses := time.NewTicker(heartbeat/2), time.NewTicker(loss/ticks)
	defer beats.Stop()
	defer losses.Stop()
	silent := 0
	for {
		select {
		case <-done:
			return
		case <-beats.C:
			beat()
		case <-losses.C:
			silent++
			if heard.Swap(false) {
				silent = 0
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
	case hello.Protocol != Protocol:
		return nil, fault.New(fault.RequestInvalid, "the runner speaks lane protocol %d, this core %d", hello.Protocol, Protocol).
			WithFix("run the same version of ruedo on cores and runners")
	case hello.ClusterId != h.cfg.Cluster:
		return nil, fault.New(fault.ClusterMismatch, "the runner belongs to cluster %q, this core to %q", clip(hello.ClusterId), h.cfg.Cluster).
			WithFix("set the same cluster id on both, or give the runner the address of a core of its cluster")
	case !ValidID(r.GetId()):
		return nil, fault.New(fault.RequestInvalid, "runner id %q is not valid: it must match ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", clip(r.GetId()))
	case r.Concurrency == 0 || r.Concurrency > maxConcurrency || r.Queue > maxConcurrency:
		return nil, fault.New(fault.RequestInvalid, "a concurrency of %d with a queue of %d is not possible: the bounds are 1 to %d, and %[3]d", r.Concurrency, r.Queue, maxConcurrency)
	}
	return hello, nil
}

// add registers a lane. A lane of the same runner that still stands is ended:
// the runner knows better than the core which of its connections is alive.
func (h *Host) add(l *Lane) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return fault.New(fault.CoreUnreachable, "core %s is stopping", h.cfg.Core.Id)
	}
	h.attached.Add(1)
	old := h.lanes[l.info.Id]
	h.lanes[l.info.Id] = l
	h.secrets[sha256.Sum256([]byte(l.secret))] = l
	h.mu.Unlock()
	if old != nil {
		old.end(fault.New(fault.AlreadyExists, "another runner attached as %s", l.info.Id).
			WithFix("give each runner an id of its own"))
	}
	return nil
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
