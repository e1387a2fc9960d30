// Package format migrates a store that an older version wrote to the storage
// format of this one.
//
//	err := format.Migrate(ctx, format.Config{Cluster: cluster, Steps: format.Known(), ...})
//
// # Steps
//
// A [Step] leads from one format to the next. It converts one value at a time and
// knows nothing of the others, so that a migration can be cut anywhere and a
// backup of an older format can be restored.
//
// # How it goes
//
// The process is elected leader first; an older leader is ordered to hand over.
// All values are converted once without writing, so that one that cannot be
// converted is found before anything changes. Then a backup is made. The first
// transaction changes the format key to the new number, with a note of how far the
// migration is: from then on older cores refuse to write, and keep serving calls
// from memory. Every transaction converts some values and moves the note, on
// condition that the note and the leader are as before, so no value is converted
// twice, and a former leader writes nothing. The last one removes the note.
//
// If the process dies, the note stays: the next leader goes on from there.
package format

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/whole"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// Step converts a value of one format to the next. The path is its key without the
// cluster. It returns the value as it is if that is the same in both.
type Step func(path string, value []byte) ([]byte, error)

// Steps are all steps, by the format that each begins with.
type Steps map[uint32]Step

// Known returns the steps to the format of this program. From 1 to 2 no value
// changes: cores of format 1 would write without records of the audit, and serve
// without logins.
func Known() Steps {
	return Steps{1: func(_ string, value []byte) ([]byte, error) { return value, nil }}
}

// Convert converts a value from one format to another. It fails with STORE_FORMAT
// if a step is missing.
func (s Steps) Convert(from, to uint32, path string, value []byte) ([]byte, error) {
	if err := s.lead(from, to); err != nil {
		return nil, err
	}
	for ; from < to; from++ {
		var err error
		if value, err = s[from](path, value); err != nil {
			return nil, fault.Wrap(err, fault.Integrity, "%s cannot be converted from storage format %d: %s", path, from, err).
				WithFix("with the older version, publish the service or write the decorator again, or delete it")
		}
	}
	return value, nil
}

// lead returns STORE_FORMAT if a step is missing.
func (s Steps) lead(from, to uint32) error {
	for n := from; n < to; n++ {
		if s[n] == nil {
			return fault.New(fault.StoreFormat, "this ruedo has no step from storage format %d to %d", n, n+1).WithFix("migrate with an older version first, which has it")
		}
	}
	return nil
}

const (
	// maxOps and maxBytes bound one transaction; etcd refuses 128 operations and
	// 1.5 MiB.
	maxOps   = 100
	maxBytes = 1 << 20
	// lookEvery is how often a process that does not lead looks again.
	lookEvery = 250 * time.Millisecond
)

// Config says what to migrate, and who does it.
type Config struct {
	// Cluster is the part of etcd to migrate, to its own format. Required.
	Cluster *fleet.Cluster
	// Chain records the migration. Required.
	Chain *chain.Chain
	// Steps lead there.
	Steps Steps
	// Leader is this process as a leader. Required.
	Leader *ruedov1.Leader
	// TTL is how long a leader that has died is in the way of the next; zero means
	// [fleet.DefaultTTL].
	TTL time.Duration
	// Backup copies the catalog with its modules and says where to. Required.
	Backup func(ctx context.Context) (where string, err error)
	// Migrated is called after this process has finished a step, with the place of
	// the backup that was made before it. Nil disables it.
	Migrated func(from, to uint32, backup string)
	// Logger; nil discards.
	Logger *slog.Logger
}

// Migrate returns when the store no longer has an older format: immediately, or
// after this process or another one has migrated it. Whether the format is one
// that this program reads, others find out. INTEGRITY: a value cannot be
// converted, and nothing has changed. STORE_FORMAT: a step is missing. Errors of
// the backup are returned, and nothing has changed.
func Migrate(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := &migrator{Config: cfg}
	for {
		older, err := m.look(ctx)
		if err != nil || !older {
			return err
		}
		held, err := cfg.Cluster.Campaign(ctx, m.leader(), cfg.TTL)
		if err != nil {
			return err
		}
		if held == nil {
			if err := m.wait(ctx); err != nil {
				return err
			}
			continue
		}
		err = m.lead(ctx, held)
		if gone := held.Resign(context.WithoutCancel(ctx)); gone != nil {
			m.Logger.Warn("the leadership of this core ends with its lease", "error", gone)
		}
		if err != nil && !errors.Is(err, fault.LeadershipLost) {
			return err
		}
	}
}

// migrator is a process that migrates, or waits for the one that does.
type migrator struct {
	Config
	waits bool // it was logged

	value []byte // of the format key
	now   *storev1.Format
}

func (m *migrator) leader() *ruedov1.Leader {
	l := proto.CloneOf(m.Leader)
	l.ElectTime = timestamppb.Now()
	return l
}

// look reads the format, and reports whether there is something to do.
func (m *migrator) look(ctx context.Context) (older bool, err error) {
	m.now = &storev1.Format{}
	m.value, err = m.Cluster.StoredFormat(ctx)
	if err != nil || proto.Unmarshal(m.value, m.now) != nil || m.now.GetNumber() == 0 || m.now.GetRestoring() != nil {
		return false, err
	}
	format := m.Cluster.Format()
	return m.now.GetNumber() < format || m.now.GetNumber() == format && m.now.GetMigration() != nil, nil
}

// wait orders the leader to hand over, and gives it some time.
func (m *migrator) wait(ctx context.Context) error {
	if !m.waits {
		m.waits = true
		m.Logger.Info("the store has an older format; waiting for the leader to migrate it, or to hand over", "format", m.now.GetNumber())
	}
	if m.now.GetMigration() == nil {
		if err := m.order(ctx); err != nil {
			return err
		}
	}
	select {
	case <-time.After(lookEvery):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// order orders the leader, which is of the older version, to hand over to this
// process. An order that was given stays.
func (m *migrator) order(ctx context.Context) error {
	space := m.Cluster.Space()
	return m.Cluster.Do(ctx, "order the leader to resign", func(ctx context.Context) error {
		got, err := m.Cluster.Get(ctx, space.Leader())
		if err != nil || len(got.Kvs) == 0 {
			return err
		}
		var l ruedov1.Leader
		if err := proto.Unmarshal(got.Kvs[0].Value, &l); err != nil {
			return nil // its lease ends it
		}
		term := got.Kvs[0].CreateRevision
		value, err := proto.Marshal(&storev1.Handover{Term: term, From: l.GetCore(), To: m.Leader.GetCore()})
		if err != nil {
			return err
		}
		_, err = m.Cluster.Txn(ctx).If(
			clientv3.Compare(clientv3.Value(space.Format()), "=", string(m.value)),
			clientv3.Compare(clientv3.CreateRevision(space.Leader()), "=", term),
			clientv3.Compare(clientv3.CreateRevision(space.Handover()), "=", 0),
		).Then(clientv3.OpPut(space.Handover(), string(value))).Commit()
		return err
	})
}

// lead migrates while this process leads, as far as its format.
func (m *migrator) lead(ctx context.Context, held *fleet.Leadership) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(held.Context(), func() { cancel(context.Cause(held.Context())) })
	defer stop()
	for {
		older, err := m.look(ctx)
		if err != nil || !older {
			return err
		}
		if m.now.GetMigration() == nil {
			err = m.begin(ctx, held.Fence())
		}
		if err == nil {
			err = m.convert(ctx, held.Fence())
		}
		if err != nil {
			return err
		}
	}
}

// begin checks all values, makes a backup, and begins one step.
func (m *migrator) begin(ctx context.Context, fence fleet.Fence) error {
	from, to := m.now.GetNumber(), m.Cluster.Format()
	if err := m.Steps.lead(from, to); err != nil {
		return err
	}
	for v, err := range whole.Values(ctx, m.Cluster, "") {
		if err == nil {
			_, err = m.Steps.Convert(from, to, v.Path, v.Value)
		}
		if err != nil {
			return err
		}
	}
	where, err := m.Backup(ctx)
	if err != nil {
		return err
	}
	m.Logger.Info("migrating the store", "from", from, "to", from+1, "backup", where)
	next := proto.CloneOf(m.now)
	next.Number = from + 1
	next.Migration = &storev1.Migration{From: from, BeginTime: timestamppb.Now(), Backup: where}
	return m.commit(ctx, fence, chain.Unrecorded{}, next, nil)
}

// convert converts the values that are left.
func (m *migrator) convert(ctx context.Context, fence fleet.Fence) error {
	from, backup := m.now.GetMigration().GetFrom(), m.now.GetMigration().GetBackup()
	var ops []clientv3.Op
	size, converted := 0, 0
	flush := func(done string) error {
		next := proto.CloneOf(m.now)
		next.Migration.Done = done
		err := m.commit(ctx, fence, chain.Unrecorded{}, next, ops)
		ops, size = ops[:0], 0
		return err
	}
	last := m.now.GetMigration().GetDone()
	for v, err := range whole.Values(ctx, m.Cluster, last) {
		var value []byte
		if err == nil {
			value, err = m.Steps.Convert(from, from+1, v.Path, v.Value)
		}
		if err != nil {
			return err
		}
		if bytes.Equal(value, v.Value) {
			last = v.Path
			continue
		}
		if len(ops) == maxOps || len(ops) > 0 && size+len(value) > maxBytes {
			if err := flush(last); err != nil {
				return err
			}
		}
		last = v.Path
		ops = append(ops, clientv3.OpPut(string(m.Cluster.Space())+v.Path, string(value)))
		size += len(v.Path) + len(value)
		converted++
	}
	if err := flush(last); err != nil {
		return err
	}
	next := proto.CloneOf(m.now)
	next.Migration = nil
	what := chain.Change{Action: "migrate", Noun: "cluster", Name: m.Cluster.Space().Cluster(), Summary: fmt.Sprintf("from format %d to %d; a backup is in %s", from, from+1, backup)}
	if err := m.commit(ctx, fence, what, next, nil); err != nil {
		return err
	}
	m.Logger.Info("the store was migrated", "from", from, "to", from+1, "converted", text.Count(converted, "value"))
	if m.Migrated != nil {
		m.Migrated(from, from+1, backup)
	}
	return nil
}

// commit writes values and the next format, if the format is still that of the
// step before and the leadership lasts.
func (m *migrator) commit(ctx context.Context, fence fleet.Fence, what chain.Entry, next *storev1.Format, ops []clientv3.Op) error {
	key := m.Cluster.Space().Format()
	value, err := proto.Marshal(next)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "cannot encode the format")
	}
	if err := m.Cluster.Check(); err != nil {
		return err
	}
	if err := m.Cluster.Admit(ops); err != nil {
		return err
	}
	return m.Cluster.Do(ctx, "migrate the store", func(ctx context.Context) error {
		done, err := m.Chain.Append(ctx, what, func(p chain.Part) (*clientv3.TxnResponse, error) {
			return m.Cluster.Txn(ctx).
				If(append(p.When, clientv3.Compare(clientv3.Value(key), "=", string(m.value)), fence.Held())...).
				Then(append(append(slices.Clip(ops), clientv3.OpPut(key, string(value))), p.Then...)...).
				Commit()
		})
		if err != nil {
			return err
		}
		if !done.Succeeded {
			return fault.New(fault.LeadershipLost, "another core leads the cluster and migrates the store")
		}
		m.value, m.now = value, next
		return nil
	})
}
