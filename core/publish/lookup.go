package publish

import (
	"context"
	"sync"

	"github.com/ruedo-dev/ruedo/core/decorate"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// lookup finds decorators as they are stored now, or as they will be. It reads
// the store, because a publish right after a decorator was created elsewhere
// must not depend on this core's mirror; each decorator is read once. Its
// methods can be called from many goroutines.
type lookup struct {
	p    *Publisher
	next map[string]*decorate.Decorator // changes; they come before what is stored

	mu    sync.Mutex
	found map[string]*decorate.Decorator
}

func (p *Publisher) lookup(changes []change) *lookup {
	l := &lookup{p: p, next: map[string]*decorate.Decorator{}, found: map[string]*decorate.Decorator{}}
	for _, c := range changes {
		l.next[c.Decorator.GetName()] = c.admitted
	}
	return l
}

// rules combines the decorators of a service's live revision, its own schema, and
// the limits that hold instead of theirs, if there are any. It fails with
// DECORATOR_INVALID if the service cannot carry them.
func (l *lookup) rules(ctx context.Context, s *ruedov1.Service) (*decorate.Rules, error) {
	var ds []*decorate.Decorator
	for _, name := range s.GetRevision().GetDecorators() {
		d, err := l.decorator(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := d.Ready(ctx); err != nil {
			return nil, err
		}
		ds = append(ds, d)
	}
	if own := l.p.cfg.Catalog.Compiler().Types(s.GetRevision()); own != nil {
		if err := own.Ready(ctx); err != nil {
			return nil, err
		}
		ds = append(ds, own)
	}
	rules := decorate.Combine(s.GetRevision().GetKind(), ds).Restore(s)
	return rules, rules.Fit(s.GetName())
}

func (l *lookup) decorator(ctx context.Context, name string) (*decorate.Decorator, error) {
	if d := l.next[name]; d != nil {
		return d, nil
	}
	l.mu.Lock()
	d := l.found[name]
	l.mu.Unlock()
	if d != nil {
		return d, nil
	}
	stored, err := l.p.cfg.Store.Decorator(ctx, name)
	if err != nil {
		return nil, err
	}
	d = l.p.cfg.Catalog.Decorator(stored)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found[name] = d
	return d, nil
}

// versions returns the versions of a revision's decorators that were read from
// the store.
func (l *lookup) versions(rev *ruedov1.Revision) map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	versions := map[string]int64{}
	for _, name := range rev.GetDecorators() {
		if d := l.found[name]; d != nil {
			versions[name] = d.GetVersion()
		}
	}
	return versions
}
