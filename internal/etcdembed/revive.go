package etcdembed

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ruedo-dev/ruedo/internal/etcdembed/datadir"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/peers"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/revoke"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// retryMin and retryMax are the waits between two attempts to start etcd
	// again. The directory is looked at every retryMin.
	retryMin = time.Second
	retryMax = 5 * time.Minute
	// stableAfter is how long etcd must have run for the next attempt to come
	// after retryMin again.
	stableAfter = time.Minute
	// maxRemains bounds how often a failure can leave a part of etcd in memory,
	// with its lock held or its goroutine waiting, before only a new process
	// helps.
	maxRemains = 32
)

// outage is why no etcd runs.
type outage struct {
	cause error
	final bool // etcd is not started again
}

// supervisor starts etcd again after it has failed.
type supervisor struct {
	*Server
	wait    time.Duration // before the next attempt
	remains int           // how many failures have left parts in memory
}

// supervise follows the running etcd, and those after it, until ctx ends.
func (s *Server) supervise(ctx context.Context, m *member) {
	v := &supervisor{Server: s, wait: retryMin}
	for m != nil {
		began := time.Now()
		if v.watch(ctx, m) != nil {
			return
		}
		if time.Since(began) > stableAfter {
			v.wait = retryMin
		}
		removed := m.failure.removed.Load()
		s.outage.Store(&outage{cause: m.failure.err(), final: removed})
		s.running.Store(nil)
		if removed {
			s.cfg.Logger.Error("this member was removed from the store", "path", s.dir.Path)
			m.stop()
			return
		}
		s.cfg.Logger.Error("the embedded store has failed; it is started again when its directory can be written", "path", s.dir.Path, "error", m.failure.err())
		if !m.stop() {
			v.remains++
		}
		m = v.revive(ctx)
	}
}

// watch returns when the running etcd has failed. It returns ctx's error if ctx
// ends first.
func (v *supervisor) watch(ctx context.Context, m *member) error {
	ballast := time.NewTicker(datadir.BallastEvery)
	defer ballast.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.failure.done:
			return nil
		case <-m.etcd.Server.StopNotify():
			if m.failure.removed.Load() {
				m.failure.set(peers.Removed(v.dir.Path, uint64(m.etcd.Server.MemberID())))
				return nil
			}
			m.failure.set(errors.New("it stopped"))
			return nil
		case <-ballast.C:
			if v.files.Check() == nil {
				v.dir.TakeBallast()
			}
		}
	}
}

// revive starts etcd again as soon as its directory is there and can be written.
// It returns nil if ctx ends, or after too many failures.
func (v *supervisor) revive(ctx context.Context) *member {
	for v.remains < maxRemains {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(v.wait):
		}
		if v.files.Check() != nil || v.dir.Writable() != nil {
			v.wait = retryMin
			continue
		}
		v.wait = min(2*v.wait, retryMax)
		m, err := v.again(ctx)
		switch {
		case err == nil:
			v.running.Store(m)
			v.outage.Store(nil)
			v.cfg.Logger.Info("the embedded store runs again", "path", v.dir.Path)
			return m
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, fault.StoreNoQuorum):
			v.remains++ // a start that fails leaves files open
		}
		v.outage.Store(&outage{cause: err})
		v.cfg.Logger.Warn("the embedded store cannot be started again yet", "in", v.wait, "error", err)
	}
	o := outage{cause: v.outage.Load().cause, final: true}
	v.outage.Store(&o)
	v.cfg.Logger.Error("the embedded store is not started again: it failed too often; restart this core", "path", v.dir.Path, "error", o.cause)
	return nil
}

// again starts etcd on the files of the one that has failed.
func (v *supervisor) again(ctx context.Context) (*member, error) {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.StartTimeout)
	defer cancel()
	if err := revoke.Files(filepath.Join(v.dir.Path, "member")); err != nil {
		return nil, err
	}
	ln, err := listen(ctx, v.endpoint)
	if err != nil {
		return nil, err
	}
	m, err := startMember(ctx, v.dir, v.cfg, ln, false)
	if err != nil && ln != nil {
		_ = ln.Close()
	}
	return m, err
}

// stopped returns why no etcd runs; nil if one does.
func (s *Server) stopped() *outage {
	switch m := s.running.Load(); {
	case m == nil:
		return s.outage.Load()
	case m.failure.failed():
		return &outage{cause: m.failure.err()}
	}
	return nil
}

// Check returns why the server should get no writes:
//
//   - DATA_DIR_LOST: its files are no longer in its directory. What it
//     acknowledges from then on is lost when the process ends.
//   - DATA_DIR_READ_ONLY: its directory can no longer be written.
//   - STORE_FULL: the disk has less free space than Config.ReserveBytes, or
//     etcd has failed because there was none.
//   - MEMBER_REMOVED: it was removed from a store of several members.
//   - STORE_NO_QUORUM: fewer members answer than a write needs.
//   - STORE_UNAVAILABLE: etcd has failed for another reason.
//
// Except after too many failures, Check returns nil again when the cause is
// gone. It costs a few file system calls and no disk access.
func (s *Server) Check() error {
	if err := s.files.Check(); err != nil {
		return err
	}
	if err := s.dir.Writable(); err != nil {
		return err
	}
	o := s.stopped()
	if o == nil {
		if err := s.quorum.Load(); err != nil {
			return err
		}
		return nil
	}
	if errors.Is(o.cause, fault.MemberRemoved) {
		return o.cause
	}
	reason, fix := fault.StoreUnavailable, "it is started again on its own; if that fails, see the log"
	switch {
	case errors.Is(o.cause, syscall.ENOSPC), errors.Is(o.cause, syscall.EDQUOT):
		reason, fix = fault.StoreFull, datadir.MakeRoom
	case errors.Is(o.cause, syscall.EROFS):
		reason, fix = fault.DataDirReadOnly, datadir.MakeWritable
	}
	if o.final {
		fix = "remove the cause, then restart this core"
	}
	return fault.Wrap(o.cause, reason, "the embedded store in %s has failed: %v", s.dir.Path, o.cause).
		WithFix("%s", fix).With("path", s.dir.Path)
}
