// Package guard is the one way to write to the store: every write of a core is a
// transaction of its [Guard], and says what the audit has of it.
//
// A Guard makes each transaction conditional on the storage format that this
// program has read, and knows why writes are refused: STORE_EMPTY while the
// store has lost what memory holds, STORE_FORMAT once a newer ruedo has taken
// over the store, STORE_FULL while the store or its disk has no room,
// DATA_DIR_LOST and DATA_DIR_READ_ONLY if the files of an embedded store are
// gone or cannot be written.
package guard

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

// Guard checks every write to a store: it knows the storage format and why
// writes are refused. A mirror reports to it. Its methods can be called
// concurrently.
type Guard struct {
	cluster *fleet.Cluster
	chain   *chain.Chain
	accept  bool // accept an empty store
	logger  *slog.Logger

	// format is the value of the format key that each write is conditional on;
	// nil if the store has none. See "Why does every write compare the format
	// key?" in docs/RATIONALE.md.
	format atomic.Pointer[[]byte]
	// blocked is why the mirror no longer follows the store: STORE_EMPTY,
	// STORE_FORMAT, STORE_MIGRATING or STORE_RESTORING.
	blocked atomic.Pointer[fault.Error]
	// full is STORE_FULL after a write was refused with it.
	full atomic.Pointer[fault.Error]
	// broken is the last result of check. It is only for status and log.
	broken atomic.Pointer[fault.Error]
	// quota is the last result of the quota: STORE_FULL or STORE_NEARLY_FULL.
	quota atomic.Pointer[fault.Error]
}

// Config says what a guard guards.
type Config struct {
	// Cluster is the part of etcd that is written. Required.
	Cluster *fleet.Cluster
	// Chain records the changes; nil means one of its own, without a key.
	Chain *chain.Chain
	// AcceptEmpty accepts a store that has lost its catalog as empty.
	AcceptEmpty bool
	// Logger; nil discards.
	Logger *slog.Logger
}

// Open reads the format, or writes it if there is none. If the store is full,
// the first write that it accepts writes the format too. A store that is being
// restored can be opened, to repeat a restore that was interrupted. It fails with
// STORE_UNAVAILABLE, STORE_FORMAT, STORE_MIGRATING or STORE_EMPTY.
func Open(ctx context.Context, cfg Config) (*Guard, error) {
	g := &Guard{cluster: cfg.Cluster, chain: cfg.Chain, accept: cfg.AcceptEmpty, logger: cfg.Logger}
	if g.chain == nil {
		g.chain = chain.New(chain.Config{Cluster: cfg.Cluster})
	}
	if g.logger == nil {
		g.logger = slog.New(slog.DiscardHandler)
	}
	return g, g.open(ctx)
}

func (g *Guard) open(ctx context.Context) error {
	value, err := g.cluster.CheckFormat(ctx)
	if err == nil && value == nil {
		value, err = g.cluster.CreateFormat(ctx, g.accept)
	}
	switch {
	case errors.Is(err, fault.StoreFull):
		g.setFull(err)
		return nil
	case errors.Is(err, fault.StoreRestoring): // the mirror waits for its end
		return nil
	case err != nil:
		return err
	}
	g.format.Store(&value)
	return nil
}

// Commit is the only way to write to the store. Its transaction also requires
// the storage format that this program has read, and writes the records of what.
// look runs if a condition fails. A store of another format, or one that was
// emptied or replaced, is an error.
//
// A full store takes deletions, but no records: those follow; see package chain.
func (g *Guard) Commit(ctx context.Context, what chain.Entry, when []clientv3.Cmp, then, look []clientv3.Op) (*clientv3.TxnResponse, error) {
	done, err := g.chain.Append(ctx, what, func(p chain.Part) (*clientv3.TxnResponse, error) {
		return g.commit(ctx, append(slices.Clip(when), p.When...), append(slices.Clip(then), p.Then...), look)
	})
	if full(err) && len(then) > 0 && !slices.ContainsFunc(then, clientv3.Op.IsPut) {
		if done, err = g.commit(ctx, when, then, look); err == nil && done.Succeeded {
			g.chain.Owe(ctx, what, done.Header.Revision)
		}
	}
	if err == nil && g.chain.Owes() {
		g.pay(ctx)
	}
	return done, err
}

func full(err error) bool {
	return errors.Is(err, rpctypes.ErrNoSpace) || errors.Is(err, fault.StoreFull)
}

// pay writes records that had no room in the store. What cannot be written now is
// tried again.
func (g *Guard) pay(ctx context.Context) {
	err := g.chain.Pay(ctx, func(p chain.Part) (*clientv3.TxnResponse, error) { return g.commit(ctx, p.When, p.Then, nil) })
	if err != nil && !full(err) {
		g.logger.Debug("records of the audit cannot be written yet", "error", err)
	}
}

func (g *Guard) commit(ctx context.Context, when []clientv3.Cmp, then, look []clientv3.Op) (*clientv3.TxnResponse, error) {
	if err := g.Refusal(); err != nil {
		return nil, err
	}
	if err := g.cluster.Admit(then); err != nil {
		return nil, err
	}
	format, err := g.ensureFormat(ctx)
	if err != nil {
		return nil, err
	}
	key := g.cluster.Space().Format()
	done, err := g.cluster.Txn(ctx).
		If(append(slices.Clip(when), clientv3.Compare(clientv3.Value(key), "=", string(format)))...).
		Then(then...).
		Else(append(slices.Clip(look), clientv3.OpGet(key))...).
		Commit()
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		g.setFull(fleet.TranslateError(ctx, err, "write"))
		return nil, err
	case err != nil:
		return nil, err
	case done.Succeeded:
		// A write to files that are no longer in the directory is lost when
		// this process ends, so it is not acknowledged. A write that filled the
		// disk is.
		if err := g.cluster.Check(); errors.Is(err, fault.DataDirLost) {
			return done, err
		}
		return done, nil
	}
	kvs := done.Responses[len(look)].GetResponseRange().GetKvs()
	switch {
	case len(kvs) == 0:
		return nil, fleet.StoreEmpty("its format number is gone")
	case string(kvs[0].Value) == string(format):
		return done, nil
	}
	if err := g.cluster.ReadFormat(kvs[0].Value); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.StoreUnavailable, "the store was replaced by another one, which this core has not read yet").WithFix("try again in a moment")
}

// CommitFenced is Commit for a write that only the leader may make. It fails
// with LEADERSHIP_LOST, and writes nothing, once the leadership of the fence is
// over.
func (g *Guard) CommitFenced(ctx context.Context, fence fleet.Fence, what chain.Entry, when []clientv3.Cmp, then, look []clientv3.Op) (*clientv3.TxnResponse, error) {
	done, err := g.Commit(ctx, what, append(slices.Clip(when), fence.Held()), then, append(slices.Clip(look), fence.Look()))
	if err != nil || done.Succeeded {
		return done, err
	}
	return done, fence.Check(done.Responses[len(look)].GetResponseRange().GetKvs())
}

// Refusal returns why writes are refused, if known without asking the store.
func (g *Guard) Refusal() error {
	if err := g.blocked.Load(); err != nil {
		return err
	}
	return g.cluster.Check()
}

// ensureFormat returns the format value. It writes the value if there was no
// room for it before, or for an empty store that is accepted.
func (g *Guard) ensureFormat(ctx context.Context) ([]byte, error) {
	if f := g.format.Load(); f != nil {
		return *f, nil
	}
	value, err := g.cluster.CreateFormat(ctx, true)
	if err != nil {
		if errors.Is(err, fault.StoreFull) {
			g.setFull(err)
		}
		return nil, err
	}
	g.format.CompareAndSwap(nil, &value)
	return value, nil
}

// Probe finds out whether the store accepts writes. A full store refuses even
// this transaction, whose condition never holds. A disk that is known to be full
// or gone is left alone, because etcd fails when it cannot write.
func (g *Guard) Probe(ctx context.Context) {
	if g.cluster.Check() != nil {
		return
	}
	err := g.cluster.Do(ctx, "write", func(ctx context.Context) error {
		key := g.cluster.Space().Format()
		_, err := g.cluster.Txn(ctx).If(clientv3.Compare(clientv3.Version(key), "<", 0)).Then(clientv3.OpPut(key, "")).Commit()
		return err
	})
	switch {
	case err == nil:
		if g.full.Swap(nil) != nil {
			g.logger.Info("the store has space again")
		}
		if g.chain.Owes() {
			_ = g.cluster.Do(ctx, "record changes", func(ctx context.Context) error { g.pay(ctx); return nil })
		}
	case errors.Is(err, fault.StoreFull):
		g.setFull(err)
	}
}

func (g *Guard) setFull(err error) {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || !errors.Is(e, fault.StoreFull) {
		return
	}
	if e = (&fault.Error{Reason: e.Reason, Message: "the store is full; writes are refused", Fix: e.Fix}); g.full.Swap(e) == nil {
		g.logger.Error("the store is full; writes are refused, calls continue", "fix", e.Fix)
	}
}

// Block makes writes fail with err until it is called with nil. It logs each
// change once.
func (g *Guard) Block(err *fault.Error) {
	was := g.blocked.Swap(err)
	switch {
	case err != nil && (was == nil || was.Reason != err.Reason):
		g.logger.Error("ALARM: writes are refused; calls continue from memory", "reason", string(err.Reason), "error", err, "fix", err.Fix)
	case err == nil && was != nil:
		g.logger.Info("writes are accepted again", "reason", string(was.Reason))
	}
}

// CheckDisk raises or clears the alarms of an embedded store that cannot write, or
// has used most of its quota, and logs each change once.
func (g *Guard) CheckDisk() {
	g.checkQuota()
	e, _ := errors.AsType[*fault.Error](g.cluster.Check())
	was := g.broken.Swap(e)
	switch {
	case e != nil && (was == nil || was.Reason != e.Reason):
		g.logger.Error("ALARM: writes are refused; calls continue from memory", "reason", string(e.Reason), "error", e, "fix", e.Fix)
	case e == nil && was != nil:
		g.logger.Info("the embedded store can write again", "reason", string(was.Reason))
	}
}

func (g *Guard) checkQuota() {
	e, _ := errors.AsType[*fault.Error](g.cluster.Quota())
	was := g.quota.Swap(e)
	switch {
	case e != nil && (was == nil || was.Reason != e.Reason) && e.Reason == fault.StoreFull:
		g.logger.Error("ALARM: the quota of the store is used up; writes other than deletions are refused, calls continue", "error", e, "fix", e.Fix)
	case e != nil && (was == nil || was.Reason != e.Reason):
		g.logger.Warn("the store is nearly full", "error", e, "fix", e.Fix)
	case e == nil && was != nil:
		g.logger.Info("the store has space again")
	}
}

// Format returns the format value that writes are conditional on; nil if the
// store has none.
func (g *Guard) Format() []byte {
	if f := g.format.Load(); f != nil {
		return *f
	}
	return nil
}

// Follow makes writes conditional on a format that was listed (nil if there is
// none), and allows writes again.
func (g *Guard) Follow(format []byte) {
	if format == nil {
		g.format.Store(nil)
	} else {
		g.format.Store(&format)
	}
	g.Block(nil)
}

// Known reports whether a format (or nil) is that of the last Follow. It writes
// a format for which there was no room before.
func (g *Guard) Known(ctx context.Context, format []byte) bool {
	known := g.format.Load()
	if known == nil && format == nil && g.blocked.Load() == nil {
		_, _ = g.ensureFormat(ctx) // the next call tries again
		return true
	}
	return known != nil && format != nil && string(*known) == string(format)
}

// AcceptsEmpty reports whether to follow a store that has lost its catalog; see
// [Config.AcceptEmpty].
func (g *Guard) AcceptsEmpty() bool { return g.accept }

// Blocked reports whether the mirror must not follow the store.
func (g *Guard) Blocked() bool { return g.blocked.Load() != nil }

// Full reports whether a write was refused because the store is full, and none
// has succeeded since.
func (g *Guard) Full() bool { return g.full.Load() != nil }

// Alarms returns why writes are refused: STORE_EMPTY, STORE_FORMAT,
// STORE_MIGRATING, STORE_RESTORING, DATA_DIR_LOST, DATA_DIR_READ_ONLY, STORE_FULL, STORE_NO_QUORUM,
// MEMBER_REMOVED, STORE_UNAVAILABLE; or the warning STORE_NEARLY_FULL.
func (g *Guard) Alarms() []*fault.Error {
	var alarms []*fault.Error
	for _, e := range []*fault.Error{g.blocked.Load(), g.broken.Load(), g.full.Load(), g.quota.Load()} {
		if e != nil {
			alarms = append(alarms, e)
		}
	}
	return alarms
}

// Unchanged is the condition that a key has the version seen; zero means no
// key.
func Unchanged(key string, seen int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", seen)
}

// AllUnchanged is the condition that no key under a prefix has changed since a
// revision of the store. Keys that were deleted do not count.
func AllUnchanged(prefix string, since int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(prefix).WithPrefix(), "<", since+1)
}

// Exists is the condition that there is a key.
func Exists(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(key), ">", 0)
}
