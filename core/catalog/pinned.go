package catalog

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// maxPinned bounds the revisions that are not live and are kept for calls, in
	// number. The one that was called longest ago is forgotten first.
	maxPinned = 32
	// readTimeout bounds how long a call waits until its revision is read.
	readTimeout = 5 * time.Second
)

// pinned are revisions that calls named and that are not live. Only the first
// call of a revision reads the store: a revision never changes.
type pinned struct {
	mu   sync.Mutex
	list []*pin // the last called last
}

// pin is a revision and the entry that was made of it.
type pin struct {
	service string
	number  uint64
	created time.Time // the service; a deleted one gives its numbers to the next
	entry   *Entry
}

// ResolveRevision finds a revision of a service, whether it is live or not. It
// carries its decorators as they are now. SERVICE_NOT_FOUND;
// REVISION_NOT_FOUND.
func (c *Catalog) ResolveRevision(ctx context.Context, name string, number uint64) (*Entry, error) {
	v := c.current()
	service := v.snapshot.Services[name]
	switch {
	case service == nil, service.GetRevision().GetNumber() == number:
		return v.resolve(ctx, name)
	case number == 0 || number > service.GetLatest() || c.cfg.Revision == nil:
		return nil, fault.New(fault.RevisionNotFound, "service %s has no revision %d, the newest is %d", name, number, service.GetLatest()).
			With("service", name).WithFix("list the revisions of the service")
	}
	was := c.pinned.find(service, number)
	var rev *ruedov1.Revision
	var err error
	if was != nil {
		rev = was.Service.GetRevision()
	} else {
		read, cancel := context.WithTimeout(c.down, readTimeout)
		defer cancel()
		if rev, err = c.cfg.Revision(read, name, number); err != nil {
			return nil, err
		}
	}
	then := proto.CloneOf(service)
	then.Revision, then.Limits = rev, nil // restored limits are those of the live revision
	entry := c.entry(v, was, then)
	if entry.err != nil {
		return nil, entry.err
	}
	if entry != was {
		c.pinned.keep(&pin{name, number, service.GetCreateTime().AsTime(), entry})
	}
	return entry, nil
}

// find returns the entry that was made of a revision, or nil.
func (p *pinned) find(service *ruedov1.Service, number uint64) *Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, pin := range p.list {
		if pin.service == service.GetName() && pin.number == number && pin.created.Equal(service.GetCreateTime().AsTime()) {
			p.list = append(slices.Delete(p.list, i, i+1), pin)
			return pin.entry
		}
	}
	return nil
}

// keep adds a revision, or replaces what was made of it.
func (p *pinned) keep(next *pin) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = slices.DeleteFunc(p.list, func(was *pin) bool { return was.service == next.service && was.number == next.number })
	p.list = append(p.list, next)
	if over := len(p.list) - maxPinned; over > 0 {
		p.list = slices.Delete(p.list, 0, over)
	}
}

// plan returns the plan of a pinned revision, or nil.
func (p *pinned) plan(id string) *runnerv1.Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pin := range p.list {
		if pin.entry.PlanID == id {
			return pin.entry.Plan
		}
	}
	return nil
}
