package mirror

import (
	"context"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

// probed is what a probe has found: the store was at revision, or at a later
// one, when the probe began, counted from the beginning of the mirror.
type probed struct {
	began    time.Duration
	revision int64
}

// Applied returns the revision of the store up to which every snapshot includes
// all writes. It costs one atomic load.
func (m *Mirror) Applied() int64 { return m.applied.Load() }

// storeID is the id in a format value, which is read once.
type storeID struct{ format, id string }

// StoreID returns the short id of the store that the mirror follows, which
// another store never has. It is "" if the store has no id. It allocates nothing
// unless the store was replaced.
func (m *Mirror) StoreID() string {
	format := m.guard.Format()
	known := m.storeID.Load()
	if known == nil || known.format != string(format) {
		known = &storeID{string(format), fleet.StoreID(format)}
		m.storeID.Store(known)
	}
	return known.id
}

// Reach is [Mirror.Wait] for a revision that a caller names, so it may not exist.
// If ctx ends first, it fails with CORE_BEHIND. If the store itself turns out to
// be at an older revision, it fails with STORE_BEHIND. It reads nothing from the
// store.
func (m *Mirror) Reach(ctx context.Context, revision int64) error {
	asked := time.Since(m.began)
	for {
		m.mu.Lock()
		advanced := m.advanced
		m.mu.Unlock()
		if m.applied.Load() >= revision {
			return nil
		}
		switch p := m.lastProbe.Load(); {
		case p == nil:
		case revision <= p.revision:
			m.request(revision)
		case p.began >= asked:
			return m.storeBehind(p.revision, revision)
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return m.behind(revision)
		case <-m.closed:
			return m.behind(revision)
		}
	}
}

func (m *Mirror) behind(revision int64) *fault.Error {
	e := fault.New(fault.CoreBehind, "this core has seen revision %d of the store, the request requires %d", m.applied.Load(), revision).
		WithFix("send it again, or to another core")
	if m.Stale() {
		e.Message += "; its store has not answered for " + m.Age().Round(time.Second).String()
	}
	e.NotStarted = true
	return e
}

func (m *Mirror) storeBehind(now, revision int64) *fault.Error {
	e := fault.New(fault.StoreBehind, "the store is at revision %d, the request requires %d: the store was restored from an older copy, or the revision is of another store", now, revision).
		WithFix("check whether what was written last is still there, then send the request without that revision")
	e.NotStarted = true
	return e
}

// note keeps the result of a probe that began at a time, and wakes those who wait
// for it.
func (m *Mirror) note(began time.Duration, revision int64) {
	m.latency.Store(int64(time.Since(m.began) - began))
	m.lastProbe.Store(&probed{began, revision})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wakeWaiters()
}

// wakeWaiters wakes those who wait for a revision. Its caller holds the lock.
func (m *Mirror) wakeWaiters() {
	close(m.advanced)
	m.advanced = make(chan struct{})
}

// Lag returns how far the mirror is behind the store, as far as it knows: the
// number of revisions that it lacks, and for how long. Both are zero if it is up
// to date.
func (m *Mirror) Lag() (revisions int64, lag time.Duration) {
	if p := m.lastProbe.Load(); p != nil {
		revisions = max(0, p.revision-m.applied.Load())
	}
	if m.Stale() {
		return revisions, m.Age()
	}
	return revisions, m.Behind()
}
