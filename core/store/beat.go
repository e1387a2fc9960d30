package store

import (
	"context"
	"time"
)

const (
	// beatEvery is how often the store is asked whether it is there.
	beatEvery = time.Second
	// stuckBeats is how many beats in a row a watch may lag behind the store
	// before everything is listed again.
	stuckBeats = 5
	// probeBeats is after how many beats the store is asked whether it takes
	// writes, as long as it did the last time.
	probeBeats = 10
)

// beat asks the store at times whether it is there, and whether the watch has
// seen what it has done.
func (m *Mirror) beat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	var last int64 // revision of the beat before
	lagging, away := 0, false
	m.store.watchDir()
	m.store.probe(ctx)
	for beats := 1; ; beats++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m.store.watchDir()
		before := m.horizon.Load()
		now, cluster, format, err := m.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if m.Stale() && !away {
				away = true
				m.store.logger.Warn("the store does not answer; going on from memory", "error", err)
			}
			continue
		case away:
			away = false
			m.store.logger.Info("the store answers again")
		}
		m.hear()
		lagging++
		if before >= last {
			lagging = 0
		}
		if beats%probeBeats == 0 || m.store.guard.full.Load() != nil {
			m.store.probe(ctx)
		}
		if now < before || cluster != m.cluster.Load() || lagging >= stuckBeats || !m.known(ctx, format) {
			last, lagging = 0, 0
			signal(m.resync)
			continue
		}
		last = now
		if now > m.horizon.Load() {
			m.want(now)
		}
	}
}

// ask reads the store's revision, etcd's cluster id and the format, through the
// quorum.
func (m *Mirror) ask(ctx context.Context) (revision int64, cluster uint64, format []byte, err error) {
	err = m.store.do(ctx, "reach the store", func(ctx context.Context) error {
		got, err := m.store.client.Get(ctx, m.store.space.Format())
		if err != nil {
			return err
		}
		revision, cluster = got.Header.Revision, got.Header.ClusterId
		if len(got.Kvs) > 0 {
			format = got.Kvs[0].Value
		}
		return nil
	})
	return revision, cluster, format, err
}

// known reports whether a format is the one that was listed. One that was not
// written yet, for lack of room, is.
func (m *Mirror) known(ctx context.Context, format []byte) bool {
	known := m.store.guard.format.Load()
	if known == nil && format == nil && m.store.guard.blocked.Load() == nil {
		_, _ = m.store.ensureFormat(ctx) // it is tried again
		return true
	}
	return known != nil && string(*known) == string(format)
}
