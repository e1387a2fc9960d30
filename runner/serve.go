package runner

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/backoff"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/runner/internal/redial"
)

// leaveTime bounds the time to leave the directory; otherwise the end of the
// lease ends the registration.
const leaveTime = 2 * time.Second

// Serve attaches to every core and executes their calls until ctx ends. Then it
// stops accepting calls, lets those in flight finish within DrainTimeout, and
// leaves the directory. It returns nil after a drain in time.
func (r *Runner) Serve(ctx context.Context) error {
	if len(r.cfg.Cores) == 0 && r.cfg.Directory == nil {
		return fault.New(fault.ConfigInvalid, "the runner has no core to attach to").
			WithFix("set a core (runner.cores, for example http://127.0.0.1:7833) or the store (store.etcd_hosts)")
	}
	s := &session{r: r, ctx: ctx, targets: make(map[string]*target)}
	r.log.Info("runner started", "runner", r.info.Id, "cluster", r.cfg.Cluster, "concurrency", r.cfg.Concurrency, "queue", r.cfg.Queue)
	var registration sync.WaitGroup
	if d := r.cfg.Directory; d != nil {
		registration.Go(func() { s.register(d) })
	}
	s.want(static(r.cfg.Cores), true)
	if d := r.cfg.Directory; d != nil {
		for cores := range d.Cores(ctx) {
			if len(cores) == 0 && len(r.cfg.Cores) == 0 {
				r.log.Info("the cluster has no core, waiting for one", "cluster", r.cfg.Cluster)
			}
			s.want(cores, false)
		}
	}
	<-ctx.Done()
	s.lanes.Wait()
	registration.Wait()
	if s.leave != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
		defer cancel()
		if err := s.leave(ctx); err != nil {
			r.log.Warn("runner stays listed until its lease ends", "runner", r.info.Id, "error", err)
		}
	}
	r.log.Info("runner stopped", "runner", r.info.Id)
	return s.undrained()
}

// static returns the cores of a setting; only their addresses are known.
func static(urls []string) []*ruedov1.Core {
	list := make([]*ruedov1.Core, len(urls))
	for i, url := range urls {
		list[i] = &ruedov1.Core{Url: url}
	}
	return list
}

// session is the state of one Serve.
type session struct {
	r     *Runner
	ctx   context.Context
	lanes sync.WaitGroup // one goroutine per target
	leave func(context.Context) error

	mu      sync.Mutex
	targets map[string]*target // by URL
	errs    []error            // of the drains
}

// target is a core to attach to.
type target struct {
	url    string
	static bool
	wanted bool // dial again when the lane has ended
	ids    map[string]bool
	redial *redial.Pauses
	way    lane.Way
}

func (s *session) register(d Directory) {
	retry := backoff.Backoff{Base: redial.Min, Max: redial.Max}
	for first := true; ; first = false {
		leave, err := d.Register(s.ctx, s.r.Info())
		if err == nil {
			s.leave = leave
			return
		}
		if s.ctx.Err() != nil {
			return
		}
		if first {
			s.r.log.Warn("runner cannot be registered yet", "runner", s.r.info.Id, "error", err)
		}
		if retry.Wait(s.ctx) != nil {
			return
		}
	}
}

// want updates the list of cores. A core that is no longer on it keeps its
// lane, because it may only have lost its lease; but it is not dialled again. A
// new id at a known address is a core that has just started there: it is
// dialled without delay.
func (s *session) want(list []*ruedov1.Core, static bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := make(map[*target]map[string]bool)
	if !static {
		for _, t := range s.targets {
			t.wanted = t.static
			was[t], t.ids = t.ids, make(map[string]bool)
		}
	}
	defer func() { s.r.DenyCores(slices.Collect(maps.Keys(s.targets))) }()
	for _, core := range list {
		url := core.GetUrl()
		if url == "" {
			continue
		}
		t := s.targets[url]
		if t == nil {
			t = &target{url: url, ids: make(map[string]bool), redial: redial.New()}
			s.targets[url] = t
			s.lanes.Go(func() { s.attach(t) })
		}
		t.wanted = true
		t.static = t.static || static
		if id := core.GetId(); id != "" {
			t.ids[id] = true
			if !was[t][id] {
				t.redial.Now()
			}
		}
	}
}

// forget removes a target that is no longer wanted.
func (s *session) forget(t *target) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.wanted {
		return false
	}
	delete(s.targets, t.url)
	return true
}

// attachTime is how long a runner that is told to stop lets an attempt to attach go
// on: a lane that is drained is not taken for one that was lost.
const attachTime = time.Second

// outlive returns a context that ends a while after another one, or with done.
func outlive(ctx context.Context, by time.Duration) (late context.Context, done func()) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(by, cancel) })
	return late, func() { stop(); cancel() }
}

// attach maintains a lane to one core until the session ends.
func (s *session) attach(t *target) {
	log := s.r.log.With("runner", s.r.info.Id, "core", t.url)
	var said fault.Reason // why the core cannot be reached, as the log says; "" if it says nothing
	for s.ctx.Err() == nil && !s.forget(t) {
		ctx, done := outlive(s.ctx, attachTime)
		c, err := lane.Dial(ctx, lane.ConnConfig{
			URL:         t.url,
			Runner:      s.r.info,
			Registered:  s.r.cfg.Directory != nil,
			Cluster:     s.r.cfg.Cluster,
			Bind:        s.r.Bind,
			PlanUsage:   s.r.PlanUsage,
			Heartbeat:   s.r.cfg.Heartbeat,
			LossTimeout: s.r.cfg.LossTimeout,
			Way:         &t.way,
			Access:      s.r.cfg.Access(t.url),
			Logger:      s.r.log,
		})
		done()
		if err != nil {
			if reason := fault.ReasonOf(err); reason != said && s.ctx.Err() == nil {
				log.Warn("cannot attach to core, retrying", "reason", reason, "error", err, "fix", remedy(err))
				said = reason
			}
			t.redial.Failed(s.ctx, err)
			continue
		}
		said = ""
		log.Info("attached to core", "core_id", c.CoreID(), "protocol", c.Protocol(), "upgraded", c.Upgraded())
		attached := time.Now()
		select {
		case <-s.ctx.Done():
			s.drain(c)
			log.Info("detached from core", "reason", "drained")
			return
		case <-c.Done():
		}
		log.Warn("detached from core", "error", c.Err())
		t.redial.Ended(s.ctx, c.Err(), time.Since(attached))
	}
}

// remedy returns what to do about a core that a runner cannot attach to.
func remedy(err error) string {
	switch e := fault.FromError(err); e.Reason {
	case fault.Unauthenticated, fault.PermissionDenied:
		return "give the runner a token of a user with the role runner (client.token_file), or start it as the core's user on the core's machine"
	case fault.PinMismatch, fault.AuthorityUnknown:
		return "name the authority of the cluster in tls.ca_certificate_file"
	default:
		return e.Fix
	}
}

func (s *session) drain(c *lane.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.r.cfg.DrainTimeout)
	defer cancel()
	// A lane that breaks meanwhile has nothing left to lose.
	if err := c.Drain(ctx); ctx.Err() != nil && err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.errs = append(s.errs, fault.Wrap(err, fault.Deadline, "calls of core %s did not finish within %s and were stopped", c.CoreID(), s.r.cfg.DrainTimeout))
	}
}

func (s *session) undrained() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}
