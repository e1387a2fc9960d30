package etcdembed

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"

	"github.com/ruedo-dev/ruedo/internal/backoff"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/datadir"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/peers"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// changeTimeout bounds one change of the members: etcd loses one that comes
	// while another is in flight.
	changeTimeout = 3 * time.Second
	// catchUpTimeout is how long a new member has to receive the whole store.
	catchUpTimeout = 10 * time.Minute
	// quorumEvery is how often a member looks whether there is a leader, and
	// leaderless how long there must be none before it counts the others.
	quorumEvery = 200 * time.Millisecond
	leaderless  = 200 * time.Millisecond
)

// openPeers binds the port for the other members and completes the settings with
// which etcd starts: those of its data directory, or of a new member.
func openPeers(ctx context.Context, dir *datadir.Dir, p *peers.Config, c *embed.Config, first bool) (*peers.Server, error) {
	advertised, err := url.Parse(p.Advertise)
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "%q is not the URL of a member", p.Advertise)
	}
	c.Name, c.AdvertisePeerUrls, c.PeerTLSInfo = p.Name, []url.URL{*advertised}, p.TLS()
	c.InitialCluster = c.Name + "=" + p.Advertise
	setTick(c, peers.Ticks(p.Tick))
	id, err := peers.ReadIdentity(dir.Path, dir.Members)
	if err != nil {
		return nil, dir.Unusable(err)
	}
	if id.Cluster != 0 {
		if first {
			if err := p.Verify(ctx, id); err != nil {
				return nil, err
			}
		}
		return p.Open()
	}
	srv, err := p.Open()
	if err != nil {
		return nil, err
	}
	b, err := p.Begin(ctx)
	if err != nil {
		srv.Close()
		return nil, err
	}
	c.InitialCluster, c.InitialClusterToken = b.Cluster, b.Token
	if b.Existing {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	return srv, nil
}

// announce gives a vote to a member that joins, and announces its URL to the others
// if it has changed.
func (s *Server) announce(ctx context.Context, m *member) error {
	p := s.cfg.Peers
	if p == nil {
		return nil
	}
	if m.etcd.Server.IsLearner() {
		if err := s.promote(context.WithoutCancel(ctx), m); err != nil {
			return err
		}
	}
	own := m.etcd.Server.Cluster().Member(m.etcd.Server.MemberID())
	if own == nil || slices.Equal(own.PeerURLs, []string{p.Advertise}) {
		return nil
	}
	var retry backoff.Backoff
	for {
		change, cancel := context.WithTimeout(ctx, changeTimeout)
		_, err := s.client.MemberUpdate(change, uint64(own.ID), []string{p.Advertise})
		cancel()
		if err == nil {
			return nil
		}
		if retry.Wait(ctx) != nil {
			return fault.Wrap(err, fault.StoreUnavailable, "cannot tell the other members that this one is at %s now", p.Advertise).
				WithFix("start the other members; more than half of them must run")
		}
	}
}

// promote waits until a new member has received the store, and gives it a vote.
func (s *Server) promote(ctx context.Context, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	s.cfg.Logger.Info("this member of the store catches up", "member", s.cfg.Peers.Name)
	retry := backoff.Backoff{Base: 100 * time.Millisecond, Max: time.Second}
	for m.etcd.Server.IsLearner() {
		change, cancel := context.WithTimeout(ctx, changeTimeout)
		_, err := m.etcd.Server.PromoteMember(change, uint64(m.etcd.Server.MemberID()))
		cancel()
		if m.failure.failed() || m.failure.removed.Load() {
			return fault.Wrap(m.failure.err(), fault.DataDir, "this member of the store failed while it caught up: %v", m.failure.err())
		}
		if retry.Wait(ctx) != nil {
			return fault.Wrap(errors.Join(err, ctx.Err()), fault.StoreUnavailable, "this member of the store did not catch up within %v", catchUpTimeout).
				WithFix("start it again: it continues where it stopped")
		}
	}
	s.cfg.Logger.Info("this member of the store votes", "member", s.cfg.Peers.Name)
	return nil
}

// members returns the members of the store as a member knows them.
func members(srv *etcdserver.EtcdServer) (list []peers.Member) {
	for _, m := range srv.Cluster().Members() {
		list = append(list, peers.Member{ID: uint64(m.ID), Name: m.Name, URLs: m.PeerURLs, Learner: m.IsLearner})
	}
	return list
}

// noQuorum is [peers.Config.NoQuorum] for a member.
func noQuorum(p peers.Config, srv *etcdserver.EtcdServer) error {
	return p.NoQuorum(uint64(srv.MemberID()), members(srv))
}

// watchQuorum keeps quorum up to date until ctx ends. It costs an atomic load
// every quorumEvery while there is a leader.
func (s *Server) watchQuorum(ctx context.Context) {
	tick := time.NewTicker(quorumEvery)
	defer tick.Stop()
	var since time.Time // there has been no leader since then
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m := s.running.Load()
		if m == nil || m.etcd.Server.Leader() != 0 {
			since = time.Time{}
			s.quorum.Store(nil)
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) < leaderless {
			continue
		}
		e, _ := errors.AsType[*fault.Error](noQuorum(*s.cfg.Peers, m.etcd.Server))
		if e == nil || m.etcd.Server.Leader() == 0 {
			s.quorum.Store(e)
		}
	}
}
