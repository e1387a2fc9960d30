package lane

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane/budget"
	"github.com/ruedo-dev/ruedo/internal/lane/pace"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/lane/queue"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
	"github.com/ruedo-dev/ruedo/internal/lane/transport"
	"github.com/ruedo-dev/ruedo/internal/lane/upgrade"
	"github.com/ruedo-dev/ruedo/internal/lane/workers"
	"github.com/ruedo-dev/ruedo/internal/names"
)

// Access says how a runner and a core know each other.
type Access = transport.Access

// Way is what a runner knows about the way to a core. Keep one for each core.
type Way = upgrade.Way

// ConnConfig describes a runner and the core that it attaches to.
type ConnConfig struct {
	// URL of the core, http:// (h2c) or https://.
	URL string
	// Access says how both ends know each other.
	Access Access
	// Runner introduces the runner: at least id and concurrency.
	Runner *ruedov1.Runner
	// Registered is true if the runner registers itself in the store.
	Registered bool
	// Cluster is the cluster id, which must be the core's.
	Cluster string
	// Bind returns the executor for the calls of this core. The executor gets
	// plans and modules from the core through the source. Bind is called once
	// per attachment.
	Bind func(executor.Source) executor.Runner
	// PlanUsage returns what the runner holds ready, which the core shows. It is
	// called several times a second. Nil: the core does not know.
	PlanUsage func() *ruedov1.PlanUsage
	// Heartbeat is how long the lane is silent before a heartbeat is sent;
	// zero means DefaultHeartbeat.
	Heartbeat time.Duration
	// LossTimeout is how long the core may be silent before the lane is lost;
	// zero means DefaultLossTimeout. Attaching may take three times as long.
	LossTimeout time.Duration
	// Way is kept from one lane to the next of the same core. Nil tries to upgrade
	// the connection each time.
	Way *Way
	// Logger gets a line if the runner is older than the core, and records failures
	// of single calls; nil discards them.
	Logger *slog.Logger

	// For tests.
	speaks protocol.Range // zero means protocol.OfRunner
	dial   transport.Dial // nil means net.Dialer's
}

// Conn is the runner's end of one lane, from Dial until it breaks, is
// drained or closed. It does not attach again.
type Conn struct {
	cfg    ConnConfig
	log    *slog.Logger
	bodies runnerv1connect.RunnerServiceClient // everything but the lane itself
	// What streams in calls, on connections of their own.
	streams runnerv1connect.RunnerServiceClient
	runner  executor.Runner
	core    string
	secret  string

	number uint32 // of the protocol that both ends speak

	own       *upgrade.Conn // carries the lane; nil: a stream over HTTP/2 does
	out       *queue.Queue
	draining  atomic.Bool
	silence   pace.Silence   // of the core
	outOfBand chan struct{}  // slots of calls that hold a large body
	inputs    *budget.Budget // bytes of their inputs

	mu        sync.Mutex
	calls     map[uint64]*active
	exchanges int // calls of kind http
	limit     int // of the others

	ctx     context.Context // of everything that the lane does
	cancel  context.CancelFunc
	hangUp  func()
	wg      sync.WaitGroup   // loops and workers
	workers *workers.Workers // of the calls
	once    sync.Once
	err     error
	done    chan struct{}
}

// Dial attaches to a core and serves its calls until the lane ends. The context
// bounds the attaching only; end the lane with Drain or Close. The error is
// CLUSTER_MISMATCH, CORE_UNREACHABLE, or what the core answered.
func Dial(ctx context.Context, cfg ConnConfig) (*Conn, error) {
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = DefaultHeartbeat
	}
	if cfg.LossTimeout <= 0 {
		cfg.LossTimeout = DefaultLossTimeout
	}
	if cfg.speaks == (protocol.Range{}) {
		cfg.speaks = protocol.OfRunner()
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	via, err := transport.New(cfg.URL, cfg.Access, cfg.dial)
	if err != nil {
		return nil, err
	}
	opts := []connect.ClientOption{
		connect.WithReadMaxBytes(maxMessage),
		connect.WithAcceptCompression("gzip", nil, nil),
		connect.WithCodec(codec{}),
	}
	api := func(client connect.HTTPClient, more ...connect.ClientOption) runnerv1connect.RunnerServiceClient {
		return runnerv1connect.NewRunnerServiceClient(client, via.URL, append(opts[:len(opts):len(opts)], more...)...)
	}
	if cfg.Way == nil {
		cfg.Way = new(Way)
	}
	c := &Conn{
		cfg:       cfg,
		hangUp:    via.HangUp,
		log:       log,
		bodies:    api(via.Bodies),
		streams:   api(stream.Client(via.Streams), connect.WithReadMaxBytes(stream.MaxMessage)),
		out:       queue.New(),
		outOfBand: make(chan struct{}, 2*max(1, min(cfg.Runner.GetConcurrency(), 1<<10))),
		inputs:    budget.New(DefaultBodyBytes),
		calls:     make(map[uint64]*active),
		limit:     2*int(cfg.Runner.GetConcurrency()+cfg.Runner.GetQueue()) + 64,
		done:      make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.workers = workers.New(&c.wg)
	o := opening{api: api(via.Lane)}
	if cfg.Way.Open() {
		o.upgrade = &upgrade.Client{Next: via.Bodies, Patience: cfg.LossTimeout}
		o.upgraded = api(o.upgrade)
	}
	stream, more, err := c.attach(ctx, o)
	if err != nil {
		c.cancel()
		via.HangUp()
		return nil, err
	}
	c.runner = cfg.Bind(&source{bodies: c.bodies, core: cfg.URL, secret: c.secret, chunks: c.number >= protocol.ModuleChunks})
	c.serve(stream, more)
	return c, nil
}

func (c *Conn) serve(stream *clientStream, more []*runnerv1.CoreFrame) {
	c.wg.Go(func() {
		msg := &runnerv1.AttachRequest{}
		send := func(frames []byte) error {
			// The encoded frames are the encoded message; see queue.
			msg.ProtoReflect().SetUnknown(frames)
			return stream.Send(msg)
		}
		if c.own != nil {
			send = c.own.Send
		}
		// EOF means that Receive returns the reason.
		if err := c.out.Run(send); err != nil && !errors.Is(err, io.EOF) {
			c.end(err)
		}
	})
	c.wg.Go(func() {
		for _, f := range more {
			c.handle(f)
		}
		for {
			msg, err := stream.Receive()
			if err != nil {
				c.end(c.reason(err))
				return
			}
			c.silence.Heard()
			for _, f := range msg.Frames {
				c.handle(f)
			}
		}
	})
	c.wg.Go(func() {
		var last *ruedov1.PlanUsage
		beats := pace.Sender{Every: c.cfg.Heartbeat, Steady: c.number < protocol.Pauses}
		c.silence.Watch(c.ctx.Done(), c.cfg.Heartbeat, c.cfg.LossTimeout, func() {
			if usage := c.cfg.PlanUsage; usage != nil {
				if now := usage(); !proto.Equal(now, last) {
					last = now
					_, _ = c.out.Push(&runnerv1.RunnerFrame{Kind: &runnerv1.RunnerFrame_Heartbeat{Heartbeat: &runnerv1.Heartbeat{PlanUsage: now}}})
				}
			}
			quiet := c.out.Quiet()
			if c.out.Standstill() >= maxStandstill {
				c.end(fault.New(fault.CoreUnreachable, "the core at %s has not read for %s", c.cfg.URL, maxStandstill*c.cfg.Heartbeat/2))
			}
			if beat, pause := beats.Tick(!quiet, c.busy()); beat {
				c.out.Beat(&runnerv1.RunnerFrame{Kind: &runnerv1.RunnerFrame_Heartbeat{Heartbeat: beats.Heartbeat(pause)}})
			}
		}, c.end)
	})
	go func() {
		c.wg.Wait()
		_ = stream.CloseRequest()
		_ = stream.CloseResponse()
		close(c.done)
	}()
}

// reason turns the error of Receive into the error that ended the lane; nil
// after a drain.
func (c *Conn) reason(err error) error {
	if errors.Is(err, io.EOF) {
		if c.draining.Load() {
			return nil
		}
		return fault.New(fault.CoreUnreachable, "the core at %s closed the lane", c.cfg.URL)
	}
	return cutError(faultrpc.FromError(err))
}

// end ends the lane once. It stops the guests of calls in flight, because their
// answers could not be delivered.
func (c *Conn) end(err error) {
	c.once.Do(func() {
		c.err = err
		c.out.Close(false)
		c.cancel()
		c.workers.End()
		c.hangUp() // not only cancel: a write to a stopped peer hangs on
	})
}

// CoreID returns the id of the core.
func (c *Conn) CoreID() string { return c.core }

// Upgraded reports whether the lane has a connection of its own; otherwise it is a
// stream over HTTP/2.
func (c *Conn) Upgraded() bool { return c.own != nil }

// Protocol returns the number of the lane protocol that both ends speak.
func (c *Conn) Protocol() uint32 { return c.number }

// Done is closed when the lane has ended and every call on it has returned.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the lane ended; nil before Done is closed, and after a drain.
func (c *Conn) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Drain stops accepting calls, lets those in flight finish and ends the lane.
// If ctx ends first, Drain stops the calls and returns ctx's error.
func (c *Conn) Drain(ctx context.Context) error {
	c.draining.Store(true)
	// The core ends the lane when it has the last answer. Until then, calls
	// that crossed this frame on the way are refused, so that none is lost.
	_, _ = c.out.Push(&runnerv1.RunnerFrame{Kind: &runnerv1.RunnerFrame_Draining{Draining: &runnerv1.Draining{}}})
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		c.end(fault.FromError(ctx.Err()))
		<-c.done
		return ctx.Err()
	}
}

// Close ends the lane immediately, stops its calls and waits for them.
func (c *Conn) Close() {
	c.end(fault.New(fault.Canceled, "the runner closed the lane"))
	<-c.done
}

// handle processes one frame from the core. It never blocks.
func (c *Conn) handle(f *runnerv1.CoreFrame) {
	switch k := f.GetKind().(type) {
	case *runnerv1.CoreFrame_Execute:
		c.start(&active{id: f.Id, execute: k.Execute, exchange: len(k.Execute.GetRequest().GetHead()) > 0})
	case *runnerv1.CoreFrame_Prepare:
		c.start(&active{id: f.Id, do: func(ctx context.Context) *runnerv1.RunnerFrame {
			if !names.ValidDigest(k.Prepare.GetId()) {
				return failed(notStarted(fault.New(fault.RequestInvalid, "a plan id has 64 hexadecimal digits, not %q", printable(k.Prepare.GetId(), maxID))))
			}
			res, err := c.runner.Prepare(ctx, k.Prepare)
			if err != nil {
				return failed(err)
			}
			return &runnerv1.RunnerFrame{Kind: &runnerv1.RunnerFrame_Prepared{Prepared: res}}
		}})
	case *runnerv1.CoreFrame_Heartbeat:
		c.silence.Announced(time.Duration(k.Heartbeat.GetPauseNanos()))
		if k.Heartbeat.GetProbe() {
			_, _ = c.out.Push(&runnerv1.RunnerFrame{Id: f.Id, Kind: &runnerv1.RunnerFrame_Heartbeat{Heartbeat: &runnerv1.Heartbeat{}}})
		}
	case *runnerv1.CoreFrame_ReadLogs:
		c.start(&active{id: f.Id, do: func(ctx context.Context) *runnerv1.RunnerFrame { return c.readLogs(ctx, k.ReadLogs) }})
	case *runnerv1.CoreFrame_Enough:
		c.mu.Lock()
		if a := c.calls[f.Id]; a != nil {
			a.enough.Store(true)
		}
		c.mu.Unlock()
	case *runnerv1.CoreFrame_Cancel:
		if call, ok := c.take(f.Id); ok {
			call.cancel()
		}
	}
}

// busy reports whether the core waits for an answer.
func (c *Conn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls) > 0
}
