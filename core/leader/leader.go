// Package leader elects the core that does what only one core of a cluster may
// do.
//
//	e := leader.New(leader.Config{Store: s, Mirror: m, Self: self, Fit: fit, Lead: jobs.Lead})
//	e.Start()
//	defer e.Close(ctx)
//
// An [Elector] campaigns as soon as its mirror shows that nobody leads. While
// its core leads, it runs [Config.Lead] with a context that ends with the
// leadership and with the fence that every write needs.
//
// A core resigns when it shuts down, when it is no longer fit to lead, when
// [Elector.Yield] orders it to, and when the store has not answered for as long as
// a leadership lasts. Another core is elected soon after.
package leader

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/mirror"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

const (
	// lookEvery is how often an elector looks whether its core is fit, and tries
	// again after a campaign that failed.
	lookEvery = 500 * time.Millisecond
	// DefaultHandoverWait is the default of [Config.HandoverWait].
	DefaultHandoverWait = 2 * time.Second
)

// Config configures an Elector. All fields are required, unless they say
// otherwise.
type Config struct {
	// Store is where leaders are elected.
	Store interface {
		Cluster() *fleet.Cluster
		OrderHandover(ctx context.Context, h *storev1.Handover) error
	}
	// Mirror shows who leads.
	Mirror interface {
		Snapshot() *mirror.Snapshot
		Changed() <-chan struct{}
	}
	// Self is this core.
	Self *ruedov1.Core
	// Fit returns why this core cannot lead now, nil if it can.
	Fit func() error
	// Lead does what the leader does until ctx ends, and returns soon after.
	Lead func(ctx context.Context, fence fleet.Fence)
	// TTL is how long a leader that has died keeps others from being elected.
	// Default: [fleet.DefaultTTL].
	TTL time.Duration
	// HandoverWait is how long the other cores wait for the core that a handover
	// names. Default: [DefaultHandoverWait].
	HandoverWait time.Duration
	// Logger; nil discards.
	Logger *slog.Logger
}

// Elector campaigns for one core. Its methods can be called from many
// goroutines.
type Elector struct {
	cfg    Config
	log    *slog.Logger
	cancel context.CancelFunc
	wg     sync.WaitGroup

	held   atomic.Pointer[fleet.Leadership] // nil while this core does not lead
	lead   sync.WaitGroup                   // the goroutine of Config.Lead
	vacant time.Time                        // since when nobody leads; zero while somebody does
	failed bool                             // the last campaign; it is logged once
}

// New returns an Elector, which does nothing before Start.
func New(cfg Config) *Elector {
	cfg.TTL = cmp.Or(cfg.TTL, fleet.DefaultTTL)
	cfg.HandoverWait = cmp.Or(cfg.HandoverWait, DefaultHandoverWait)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &Elector{cfg: cfg, log: cfg.Logger.With("core", cfg.Self.GetId()), cancel: func() {}}
}

// Start begins to campaign. Call it once.
func (e *Elector) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.wg.Go(func() { e.run(ctx) })
}

// Close resigns and waits until this core has stopped doing what the leader does.
// Further calls do nothing.
func (e *Elector) Close() {
	e.cancel()
	e.wg.Wait()
}

// Leads reports whether this core certainly leads, by its own clock.
func (e *Elector) Leads() bool {
	l := e.held.Load()
	return l != nil && l.Held()
}

// Leader returns the leader that this core knows of, nil if there is none. It
// never returns this core after its leadership has ended.
func (e *Elector) Leader() *ruedov1.Leader {
	l := e.cfg.Mirror.Snapshot().Leader()
	if l.GetCore() == e.cfg.Self.GetId() && !e.Leads() {
		return nil
	}
	return l
}

func (e *Elector) run(ctx context.Context) {
	defer e.resign("this core is going down")
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		changed := e.cfg.Mirror.Changed()
		e.step(ctx)
		var over <-chan struct{}
		if l := e.held.Load(); l != nil {
			over = l.Context().Done()
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-over:
		case <-look.C:
		}
	}
}

// step campaigns or resigns, if it is time to.
func (e *Elector) step(ctx context.Context) {
	now := e.cfg.Mirror.Snapshot()
	if l := e.held.Load(); l != nil {
		if err := l.Context().Err(); err != nil {
			e.resign(context.Cause(l.Context()).Error())
		} else if why := e.reason(l, now); why != "" {
			e.resign(why)
		}
		return
	}
	if now.Leader() != nil {
		e.vacant = time.Time{}
		return
	}
	if e.vacant.IsZero() {
		e.vacant = time.Now()
	}
	if e.cfg.Fit() == nil && !e.defers(now.Handover()) {
		e.campaign(ctx)
	}
}

// reason returns why a leadership must end, "" if it need not.
func (e *Elector) reason(l *fleet.Leadership, now *mirror.Snapshot) string {
	if err := e.cfg.Fit(); err != nil {
		return err.Error()
	}
	if h := now.Handover(); h.GetTerm() == l.Term() {
		return "this core was asked to hand over"
	}
	// The mirror may not have seen the election yet.
	if now.Revision >= l.Term() && now.Leader().GetTerm() != l.Term() {
		l.Lose("the store shows another leader, or none")
		return context.Cause(l.Context()).Error()
	}
	return ""
}

// defers reports whether this core lets another one campaign first.
func (e *Elector) defers(h *storev1.Handover) bool {
	self := e.cfg.Self.GetId()
	if h == nil || h.GetTo() == self || h.GetTo() == "" && h.GetFrom() != self {
		return false
	}
	return time.Since(e.vacant) < e.cfg.HandoverWait
}

func (e *Elector) campaign(ctx context.Context) {
	self := e.cfg.Self
	l, err := e.cfg.Store.Cluster().Campaign(ctx, &ruedov1.Leader{
		Core: self.GetId(), Host: self.GetHost(), Url: self.GetUrl(), ElectTime: timestamppb.Now(),
	}, e.cfg.TTL)
	if err != nil && ctx.Err() == nil && !e.failed {
		e.log.Warn("nobody leads the cluster, and this core cannot be elected yet", "error", err)
	}
	e.failed = err != nil
	if l == nil {
		return
	}
	e.vacant = time.Time{}
	e.held.Store(l)
	e.log.Info("this core leads the cluster", "term", l.Term())
	e.lead.Go(func() { e.cfg.Lead(l.Context(), l.Fence()) })
}

// resign ends the leadership, if there is one. Another core can be elected before
// this one has stopped its work as the leader, which can no longer write anything.
func (e *Elector) resign(why string) {
	l := e.held.Load()
	if l == nil {
		return
	}
	if err := l.Resign(context.Background()); err != nil {
		e.log.Warn("the leadership of this core ends with its lease", "error", err)
	}
	e.held.Store(nil)
	e.log.Info("this core no longer leads the cluster", "term", l.Term(), "reason", why)
	e.lead.Wait()
}
