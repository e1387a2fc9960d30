package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ruedo-dev/ruedo/core/store"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
)

const (
	// carriersAtOnce bounds the services that are prepared at the same time, so
	// that a change of a decorator leaves the runners to their calls.
	carriersAtOnce = 4
	// namedCarriers and describedCarriers bound how many services an error
	// names, and for how many it says why.
	namedCarriers     = 5
	describedCarriers = 20
)

// carriers guards a change of decorators: each service that carries one of them
// is prepared with the change before it is written. A service that cannot run
// as it is does not prevent the change. If only the schema or the policy
// changes, runners have nothing to prepare, and the service's example is
// checked.
type carriers struct {
	p      *Publisher
	names  []string // of the decorators
	except string   // a service that is being published, and prepared, with them
	force  bool
	now    *lookup
	next   *lookup

	// passed are the versions of services that were found to run, or to be
	// broken already.
	passed map[string]int64
	count  uint32

	mu     sync.Mutex
	forget []func() // unpublished plans
}

func (p *Publisher) carriers(changes []change, except string, force bool) *carriers {
	c := &carriers{p: p, except: except, force: force, now: p.lookup(nil), next: p.lookup(changes), passed: map[string]int64{}}
	for _, ch := range changes {
		if !ch.New { // nobody carries a new one
			c.names = append(c.names, ch.Decorator.GetName())
		}
	}
	return c
}

// close ends the sharing of plans that were prepared. Call it when the change
// is written.
func (c *carriers) close() {
	for _, forget := range c.forget {
		forget()
	}
}

// checked returns how many services were checked.
func (c *carriers) checked() uint32 { return c.count }

// until checks the carriers, then calls write with the revision of the store as
// of which they were looked up. It repeats both if services are published
// meanwhile, a few times. Without decorators to guard, or with force, it only
// calls write, with zero.
func (c *carriers) until(ctx context.Context, write func(at int64) error) error {
	if c.force || len(c.names) == 0 {
		return write(0)
	}
	bounded, cancel := context.WithTimeout(ctx, c.p.cfg.PrepareTimeout)
	defer cancel()
	var err error
	for range writeTries {
		services, at, lookErr := c.p.cfg.Store.Carriers(ctx, c.names...)
		if lookErr != nil {
			return lookErr
		}
		if err := c.check(bounded, services); err != nil {
			return cmp.Or(ctx.Err(), err)
		}
		if err = write(at); !errors.Is(err, store.ErrCarriersChanged) {
			return err
		}
	}
	return err
}

// check checks the services that have changed since the last call.
func (c *carriers) check(ctx context.Context, services []*ruedov1.Service) error {
	services = slices.DeleteFunc(services, func(s *ruedov1.Service) bool {
		return s.GetName() == c.except || c.passed[s.GetName()] == s.GetVersion()
	})
	if n := len(services); n > c.p.cfg.MaxCarriers {
		return c.unchecked("%s carry it, and at most %d can be checked before a change", text.Count(n, "service"), c.p.cfg.MaxCarriers).
			With("limit", c.p.cfg.MaxCarriers, "actual", n)
	}
	errs := make([]error, len(services))
	var running sync.WaitGroup
	for i, s := range services {
		select {
		case c.p.slots <- struct{}{}:
		case <-ctx.Done():
			errs[i] = ctx.Err()
			continue
		}
		running.Go(func() {
			defer func() { <-c.p.slots }()
			errs[i] = c.one(ctx, s)
		})
	}
	running.Wait()
	for i, s := range services {
		if errs[i] == nil {
			c.passed[s.GetName()] = s.GetVersion()
			c.count++
		}
	}
	return c.verdict(ctx, services, errs)
}

// one returns why a service that can run now could not run with the change. An
// error for which passing is true means that this could not be found out.
func (c *carriers) one(ctx context.Context, s *ruedov1.Service) error {
	now, err := c.now.rules(ctx, s)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
	case errors.Is(err, fault.DecoratorNotFound), !passing(err):
		return nil // it cannot run as it is
	default:
		return err
	}
	next, err := c.next.rules(ctx, s)
	if err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	if err := checkExample(ctx, s, next); err != nil && checkExample(ctx, s, now) == nil {
		return cmp.Or(ctx.Err(), err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	was, old, err := now.Plan(s.GetRevision())
	if err != nil {
		return nil // as above
	}
	id, plan, err := next.Plan(s.GetRevision())
	if err != nil {
		return err
	}
	if id == was {
		return nil
	}
	err = c.prepare(ctx, id, plan)
	if unmet(err) {
		return nil // nobody can execute it as it is
	}
	if err == nil || passing(err) {
		return err
	}
	if before := c.prepare(ctx, was, old); before != nil && !passing(before) && ctx.Err() == nil {
		return nil // it cannot run as it is
	}
	return err
}

// prepare makes the runners prepare a plan, which stays available to them until
// close.
func (c *carriers) prepare(ctx context.Context, id string, plan *runnerv1.Plan) error {
	forget := c.p.cfg.Catalog.ShareUnpublished(id, plan)
	c.mu.Lock()
	c.forget = append(c.forget, forget)
	c.mu.Unlock()
	_, err := c.p.cfg.Dispatcher.Prepare(ctx, &runnerv1.PrepareRequest{Id: id, Plan: plan, Compiled: true})
	return err
}

// verdict returns the error for what was found. Services that could not run
// come before services that could not be checked. Those that the caller may not read
// are only counted.
func (c *carriers) verdict(ctx context.Context, services []*ruedov1.Service, errs []error) error {
	var broken []fault.Field
	var names []string
	var open error // of the first service that could not be checked
	left, hidden := 0, 0
	visible := access.Visible(ctx, access.Service)
	for i, s := range services {
		err := errs[i]
		switch {
		case err == nil:
		case passing(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
			if left++; !visible(s.GetName()) {
				err = fault.New(fault.ReasonOf(err), "one of them is a service that you may not see")
			}
			open = cmp.Or(open, err)
		case !visible(s.GetName()):
			hidden++
		default:
			names = append(names, s.GetName())
			why := strings.TrimPrefix(fault.FromError(err).Error(), "no runner can prepare service "+s.GetName()+": ")
			broken = append(broken, fault.Field{Path: s.GetName(), Description: fmt.Sprintf("%s (%s)", why, fault.ReasonOf(err))})
		}
	}
	switch {
	case len(broken)+hidden > 0:
		list, more := text.List(names[:min(len(names), namedCarriers)], len(names)+hidden), ""
		if len(names) == 0 {
			list = "none that you may see"
		}
		if left > 0 {
			more = fmt.Sprintf("; %s could not be checked", text.Count(left, "other"))
		}
		e := fault.New(fault.DecoratorBreaksServices, "%s was not changed: %s could not run with the change: %s%s", c.subject(),
			text.Count(len(names)+hidden, "service"), list, more).
			With("decorator", c.names[0], "services", strings.Join(names[:min(len(names), describedCarriers)], " ")).
			WithFix("correct the decorator, publish services that can run with it, or force the change")
		e.Fields = broken[:min(len(broken), describedCarriers)]
		return e
	case open == nil:
		return nil
	case ctx.Err() != nil:
		return c.unchecked("%d of the %s that carry it could not be checked within %s", left, text.Count(len(services), "service"), c.p.cfg.PrepareTimeout).
			With("limit", c.p.cfg.PrepareTimeout, "actual", left)
	}
	e := *fault.FromError(open)
	e.Message = c.subject() + " was not changed, because services that carry it cannot be checked: " + e.Message
	e.Fix = cmp.Or(e.Fix, "try again later") + ", or force the change"
	return (&e).With("decorator", c.names[0])
}

func (c *carriers) unchecked(format string, args ...any) *fault.Error {
	return fault.New(fault.DecoratorUnchecked, "%s was not changed: %s", c.subject(), fmt.Sprintf(format, args...)).
		With("decorator", c.names[0]).WithFix("spread the services over several decorators, or force the change")
}

// subject names the decorators.
func (c *carriers) subject() string {
	if len(c.names) == 1 {
		return "decorator " + c.names[0]
	}
	return "decorators " + strings.Join(c.names, ", ")
}
