package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

// guard is what stands before every write of a Store.
type guard struct {
	// format is the value of the format key that each write is conditional on;
	// nil while there is none.
	format atomic.Pointer[[]byte]
	// blocked is why the mirror no longer follows the store: STORE_EMPTY or
	// STORE_FORMAT.
	blocked atomic.Pointer[fault.Error]
	// full is STORE_FULL since a write was refused with it.
	full atomic.Pointer[fault.Error]
	// lost is DATA_DIR_LOST. It is for status and log: writes check for themselves.
	lost atomic.Pointer[fault.Error]
	// mirror suggests names. Nil until there is one.
	mirror atomic.Pointer[Mirror]
}

// commit is the one way into the store: a transaction that also holds only
// while the storage format is the one that this program has read. look runs if
// the transaction does not hold; a store of another format, or one that was
// emptied or replaced, is an error.
func (s *Store) commit(ctx context.Context, guard []clientv3.Cmp, then, look []clientv3.Op) (*clientv3.TxnResponse, error) {
	if err := s.refusal(); err != nil {
		return nil, err
	}
	format, err := s.ensureFormat(ctx)
	if err != nil {
		return nil, err
	}
	key := s.space.Format()
	done, err := s.client.Txn(ctx).
		If(append(slices.Clip(guard), clientv3.Compare(clientv3.Value(key), "=", string(format)))...).
		Then(then...).
		Else(append(slices.Clip(look), clientv3.OpGet(key))...).
		Commit()
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		s.setFull(fleet.Fault(ctx, err, "write"))
		return nil, err
	case err != nil:
		return nil, err
	case done.Succeeded:
		// What was written to files that are no longer in the directory is gone
		// with this process, so it is not acknowledged.
		return done, s.dirLost()
	}
	kvs := done.Responses[len(look)].GetResponseRange().GetKvs()
	switch {
	case len(kvs) == 0:
		return nil, fleet.StoreEmpty("its format number is gone")
	case string(kvs[0].Value) == string(format):
		return done, nil
	}
	if err := fleet.ReadFormat(kvs[0].Value, s.space); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.StoreUnavailable, "the store was replaced by another one, which this core has not read yet").WithFix("try again in a moment")
}

// refusal is why nothing is to be written now, as far as it is known without
// the store.
func (s *Store) refusal() error {
	if err := s.guard.blocked.Load(); err != nil {
		return err
	}
	return s.dirLost()
}

// dirLost is DATA_DIR_LOST if the embedded store's files are gone.
func (s *Store) dirLost() error {
	if s.check == nil {
		return nil
	}
	return s.check()
}

// ensureFormat returns the format value, which it writes if there was no room
// for it before, or if the mirror found a store that is empty and may be.
func (s *Store) ensureFormat(ctx context.Context) ([]byte, error) {
	if f := s.guard.format.Load(); f != nil {
		return *f, nil
	}
	value, err := fleet.CreateFormat(ctx, s.client, s.space, s.timeout, true)
	if err != nil {
		if errors.Is(err, fault.StoreFull) {
			s.setFull(err)
		}
		return nil, err
	}
	s.guard.format.CompareAndSwap(nil, &value)
	return value, nil
}

// probe finds out whether the store takes writes, by a transaction that never
// holds: a store that is full refuses it all the same.
func (s *Store) probe(ctx context.Context) {
	err := s.do(ctx, "write", func(ctx context.Context) error {
		key := s.space.Format()
		_, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.Version(key), "<", 0)).Then(clientv3.OpPut(key, "")).Commit()
		return err
	})
	switch {
	case err == nil:
		if s.guard.full.Swap(nil) != nil {
			s.logger.Info("the store has room again")
		}
	case errors.Is(err, fault.StoreFull):
		s.setFull(err)
	}
}

func (s *Store) setFull(err error) {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || !errors.Is(e, fault.StoreFull) {
		return
	}
	if e = (&fault.Error{Reason: e.Reason, Message: "the store is full; writes are refused", Fix: e.Fix}); s.guard.full.Swap(e) == nil {
		s.logger.Error("the store is full; writes are refused, calls go on", "fix", e.Fix)
	}
}

// block refuses writes for a reason until it is called with nil. It logs each
// change once.
func (s *Store) block(err *fault.Error) {
	was := s.guard.blocked.Swap(err)
	switch {
	case err != nil && (was == nil || was.Reason != err.Reason):
		s.logger.Error("ALARM: writes are refused; calls go on from memory", "reason", string(err.Reason), "error", err, "fix", err.Fix)
	case err == nil && was != nil:
		s.logger.Info("writes are taken again", "reason", string(was.Reason))
	}
}

// watchDir raises and ends the alarm of a data directory that is gone.
func (s *Store) watchDir() {
	e, ok := errors.AsType[*fault.Error](s.dirLost())
	if !ok {
		s.guard.lost.Store(nil)
		return
	}
	if s.guard.lost.Swap(e) == nil {
		s.logger.Error("ALARM: writes are refused; calls go on from memory", "reason", string(e.Reason), "error", e, "fix", e.Fix)
	}
}

// namedUnreadable bounds how many unreadable values an alarm names.
const namedUnreadable = 5

// Alarms returns what is wrong with the store: why writes are refused, and, as
// INTEGRITY, what cannot be read in it.
func (m *Mirror) Alarms() []*fault.Error {
	g := &m.store.guard
	var alarms []*fault.Error
	for _, e := range []*fault.Error{g.blocked.Load(), g.lost.Load(), g.full.Load()} {
		if e != nil {
			alarms = append(alarms, e)
		}
	}
	snap := m.Snapshot()
	var names []string
	add := func(what string, bad map[string]int64) {
		for name := range bad {
			if len(names) == namedUnreadable {
				return
			}
			names = append(names, what+" "+name)
		}
	}
	if n := len(snap.unreadableServices) + len(snap.unreadableDecorators); n > 0 {
		add("service", snap.unreadableServices)
		add("decorator", snap.unreadableDecorators)
		slices.Sort(names)
		alarms = append(alarms, fault.New(fault.Integrity, "%s cannot be read in the store: %s", plural(n, "value", "values"), list(names, n)).
			WithFix("publish the services and apply the decorators again"))
	}
	return alarms
}

// list joins the names that are given of n.
func list(names []string, n int) string {
	text := ""
	for i, name := range names {
		if i > 0 {
			text += ", "
		}
		text += name
	}
	if more := n - len(names); more > 0 {
		text += fmt.Sprintf(" and %s", plural(more, "other", "others"))
	}
	return text
}
