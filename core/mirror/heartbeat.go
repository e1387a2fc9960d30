package mirror

import (
	"context"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// beatEvery is how often the store is checked, within a tenth, so that the
	// cores of a cluster do not all do it at the same time.
	beatEvery = time.Second
	// stuckBeats is how many beats in a row the watches can report nothing of
	// what the store has before everything is listed again.
	stuckBeats = 3
	// silence is how long a store can take to answer again before it may be another.
	silence = 2 * beatEvery
	// probeBeats is the number of beats between checks whether the store
	// accepts writes, as long as it did the last time.
	probeBeats = 10
)

// heartbeat checks every second whether the store answers, and compares its
// revision with what the watches have reported. Watches that are stuck are
// noticed within stuckBeats+1 beats of the first write that they miss.
func (m *Mirror) heartbeat(ctx context.Context) {
	next := time.NewTimer(jittered(beatEvery))
	defer next.Stop()
	var last, shown int64 // at the previous beat: the store's revision, and the mirror's
	stuck, away := 0, false
	heard := time.Since(m.began) // when the store last answered
	m.guard.CheckDisk()
	m.guard.Probe(ctx)
	for beats := 1; ; beats++ {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		next.Reset(jittered(beatEvery))
		m.guard.CheckDisk()
		before, began := m.applied.Load(), time.Since(m.began)
		at, format, err := m.probe(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if m.Stale() && !away {
				away = true
				m.logger.Warn("the store does not answer; continuing from memory", "error", err)
			}
			continue
		case away:
			away = false
			m.logger.Info("the store answers again")
		}
		now := at.GetRevision()
		m.contact()
		m.measure(now)
		m.note(began, now)
		stuck++
		if before >= last || before != shown {
			stuck = 0
		}
		shown = before
		if beats%probeBeats == 0 || m.guard.Full() {
			m.guard.Probe(ctx)
		}
		// While it was away, the store may have been replaced by an older copy of
		// itself, which can have passed the mirror's revision since. A probe hides
		// that it was, because it waits for a store that comes back.
		answered := time.Since(m.began)
		returned := answered-heard > silence || at.GetRaftTerm() != m.term.Load()
		heard = answered
		switch {
		case now < before || at.GetClusterId() != m.etcd.Load() || !m.guard.Known(ctx, format):
			last, stuck = 0, 0
			m.listAgain(errRelist)
			continue
		case returned:
			last, stuck = 0, 0
			m.listAgain(errReturned)
			continue
		case stuck >= stuckBeats:
			last, stuck = 0, 0
			m.listAgain(errStuck)
			continue
		}
		last = now
		if now > m.applied.Load() {
			m.request(now)
		}
	}
}

// jittered returns d, more or less by up to a tenth.
func jittered(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5)
}

// probe reads the store's revision, etcd's cluster id, the term of its leader and
// the format, through the quorum.
func (m *Mirror) probe(ctx context.Context) (at *etcdserverpb.ResponseHeader, format []byte, err error) {
	err = m.cluster.Do(ctx, "reach the store", func(ctx context.Context) error {
		got, err := m.cluster.Get(ctx, m.cluster.Space().Format())
		if err != nil {
			return err
		}
		at = got.Header
		if len(got.Kvs) > 0 {
			format = got.Kvs[0].Value
		}
		return nil
	})
	return at, format, err
}

// measure begins a new measurement of how far the mirror is behind, when the
// last one is over: its revision is visible, or the store was replaced by an
// older one.
func (m *Mirror) measure(revision int64) {
	if target := m.target.Load(); m.applied.Load() >= target || revision < target {
		m.targetSince.Store(int64(time.Since(m.began)))
		m.target.Store(revision)
	}
}

// Behind returns how long the mirror has not shown a revision that the store
// has, zero if it shows what the last heartbeat found. A mirror that must not
// follow its store, or whose store does not answer, is not behind.
func (m *Mirror) Behind() time.Duration {
	if m.applied.Load() >= m.target.Load() || m.guard.Blocked() || m.Stale() {
		return 0
	}
	return time.Since(m.began) - time.Duration(m.targetSince.Load())
}
