package membership

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/peers"
)

const (
	// compactTimeout and defragmentTimeout bound work that grows with the store.
	compactTimeout    = time.Minute
	defragmentTimeout = 2 * time.Minute
)

// Local returns the member in this process with its status.
func (k *Keeper) Local(ctx context.Context) (*ruedov1.Member, error) {
	s, err := k.status(ctx)
	if err != nil {
		return nil, err
	}
	own := s.Header.GetMemberId()
	m := &ruedov1.Member{
		Id: peers.Text(own), Name: k.Name(), Role: ruedov1.MemberRole_MEMBER_ROLE_VOTER,
		State: ruedov1.MemberState_MEMBER_STATE_RUNNING, Leader: s.Leader != 0 && s.Leader == own,
		Status: &ruedov1.MemberStatus{
			Version: s.Version, SizeBytes: uint64(s.DbSize), UsedBytes: uint64(s.DbSizeInUse), QuotaBytes: uint64(cmp.Or(k.cfg.QuotaBytes, s.DbSizeQuota)),
			AppliedIndex: s.RaftAppliedIndex, Lag: s.RaftIndex - min(s.RaftIndex, s.RaftAppliedIndex), Problems: s.Errors,
		},
	}
	if s.IsLearner {
		m.Role = ruedov1.MemberRole_MEMBER_ROLE_LEARNER
	}
	return m, nil
}

// status returns what etcd says about the member in this process.
func (k *Keeper) status(ctx context.Context) (*clientv3.StatusResponse, error) {
	op, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	s, err := k.cfg.Client.Status(op, endpoint)
	if err != nil {
		return nil, k.translate(ctx, err, "ask the member of the store in this process")
	}
	return s, nil
}

// Compact drops all versions of keys but the current ones, and returns the
// revision up to which it did. Watches of processes that are behind start over.
func (k *Keeper) Compact(ctx context.Context) (int64, error) {
	const doing = "compact the store"
	read, done := context.WithTimeout(ctx, readTimeout) // without a quorum this fails, and not only when a compaction would
	defer done()
	now, err := k.cfg.Client.Get(read, "\x00", clientv3.WithCountOnly())
	if err != nil {
		return 0, k.translate(ctx, err, doing)
	}
	revision := now.Header.GetRevision()
	op, cancel := context.WithTimeout(ctx, compactTimeout)
	defer cancel()
	// Physical waits until the space is free, so that a defragmentation finds it.
	if _, err := k.cfg.Client.Compact(op, revision, clientv3.WithCompactPhysical()); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return 0, k.translate(ctx, err, doing)
	}
	return revision, nil
}

// Defragment returns unused space of the member in this process to its disk, and
// so to the quota. Meanwhile the member answers nothing; a leader hands over
// first, so that the store goes on.
func (k *Keeper) Defragment(ctx context.Context) (*ruedov1.CompactedMember, error) {
	before, err := k.Local(ctx)
	if err != nil {
		return nil, err
	}
	if before.GetLeader() {
		k.handOver(ctx)
	}
	op, cancel := context.WithTimeout(ctx, defragmentTimeout)
	defer cancel()
	if _, err := k.cfg.Client.Defragment(op, endpoint); err != nil {
		return nil, k.translate(ctx, err, "defragment the store")
	}
	after, err := k.Local(ctx)
	if err != nil {
		return nil, err
	}
	return &ruedov1.CompactedMember{
		Id: before.GetId(), Name: before.GetName(),
		BeforeBytes: before.GetStatus().GetSizeBytes(), AfterBytes: after.GetStatus().GetSizeBytes(),
	}, nil
}

// handOver makes another voter that runs the leader. If there is none, the store
// waits while its leader is busy.
func (k *Keeper) handOver(ctx context.Context) {
	list, err := k.read(ctx, clientv3.WithSerializable())
	if err != nil {
		return
	}
	own := list.Header.GetMemberId()
	running := k.reachable(ctx, own, list.Members)
	for _, m := range list.Members {
		if m.GetID() == own || m.GetIsLearner() || !running[m.GetID()] {
			continue
		}
		once, cancel := context.WithTimeout(ctx, changeTimeout)
		_, err := k.cfg.Client.MoveLeader(once, m.GetID())
		cancel()
		if err == nil {
			return
		}
	}
}

// Disarm makes etcd accept writes again after it was full. If it is still full, it
// refuses the next one.
func (k *Keeper) Disarm(ctx context.Context) error {
	op, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if _, err := k.cfg.Client.AlarmDisarm(op, &clientv3.AlarmMember{}); err != nil {
		return k.translate(ctx, err, "end the alarm of the store")
	}
	return nil
}
