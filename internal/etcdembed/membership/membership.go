// Package membership shows and changes the members of an embedded store, and
// keeps the store small. It is the one place that names these operations of etcd.
//
//	k := membership.New(membership.Config{Client: srv.Client(), Peers: peers})
//	members, storeID, err := k.List(ctx)
//	added, err := k.Add(ctx, "db2", "http://10.0.0.2:7834")
//
// # Changes
//
// etcd makes one change of its members at a time, and can lose one that comes
// meanwhile. So each attempt has a short deadline, and before it is repeated the
// keeper looks whether it was made.
//
// # Quorum
//
// [Keeper.Remove] refuses a removal after which fewer voters answer than a write
// needs, unless it is forced. The last voter cannot be removed.
//
// # Concurrency
//
// All methods can be called from many goroutines.
package membership

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/backoff"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/peers"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// readTimeout bounds reading the members, changeTimeout one attempt to change
	// them, and attempts is how often a change is tried.
	readTimeout   = 2 * time.Second
	changeTimeout = 3 * time.Second
	dialTimeout   = time.Second
	attempts      = 4
	// endpoint is the name of the member in this process; a connection to it does
	// not leave the process, whatever it is called.
	endpoint = "embedded"
)

// Config configures a Keeper.
type Config struct {
	// Client is connected to the member in this process. Required.
	Client *clientv3.Client
	// Peers are the settings of that member; nil if nobody can join it.
	Peers *peers.Config
	// QuotaBytes is the size at which the store stops accepting data. Zero means
	// etcd's quota.
	QuotaBytes int64
	// Check returns why the store does not accept writes. Required.
	Check func() error
}

// Keeper shows and changes the members of a store.
type Keeper struct{ cfg Config }

// New returns a keeper.
func New(cfg Config) *Keeper { return &Keeper{cfg} }

// Name returns the name of the member in this process.
func (k *Keeper) Name() string {
	if k.cfg.Peers == nil {
		return ""
	}
	return k.cfg.Peers.Name
}

// List returns the members as the one in this process knows them, sorted by name,
// and the id of the store. It asks the others whether they run, which takes at
// most a second, and works without a quorum.
func (k *Keeper) List(ctx context.Context) ([]*ruedov1.Member, string, error) {
	list, err := k.read(ctx, clientv3.WithSerializable())
	if err != nil {
		return nil, "", err
	}
	own := list.Header.GetMemberId()
	var leader uint64 // none while they elect one
	if s, err := k.status(ctx); err == nil {
		leader = s.Leader
	}
	running := k.reachable(ctx, own, list.Members)
	items := make([]*ruedov1.Member, 0, len(list.Members))
	for _, m := range list.Members {
		item := describe(m, running[m.GetID()], leader)
		if k.cfg.Peers == nil {
			item.PeerUrls = nil // nobody listens there
		}
		items = append(items, item)
	}
	slices.SortFunc(items, func(a, b *ruedov1.Member) int {
		return cmp.Or(cmp.Compare(a.GetName(), b.GetName()), cmp.Compare(a.GetId(), b.GetId()))
	})
	return items, peers.Text(list.Header.GetClusterId()), nil
}

func describe(m *etcdserverpb.Member, running bool, leader uint64) *ruedov1.Member {
	d := &ruedov1.Member{
		Id: peers.Text(m.GetID()), Name: m.GetName(), PeerUrls: m.GetPeerURLs(),
		Role: ruedov1.MemberRole_MEMBER_ROLE_VOTER, State: ruedov1.MemberState_MEMBER_STATE_UNREACHABLE,
		Leader: leader != 0 && leader == m.GetID(),
	}
	if m.GetIsLearner() {
		d.Role = ruedov1.MemberRole_MEMBER_ROLE_LEARNER
	}
	switch {
	case running:
		d.State = ruedov1.MemberState_MEMBER_STATE_RUNNING
	case m.GetName() == "":
		d.State = ruedov1.MemberState_MEMBER_STATE_NEW
	}
	return d
}

// reachable returns which members answer; own does.
func (k *Keeper) reachable(ctx context.Context, own uint64, members []*etcdserverpb.Member) map[uint64]bool {
	running := make(map[uint64]bool)
	if k.cfg.Peers != nil && len(members) > 1 {
		var others []peers.Member
		for _, m := range members {
			if m.GetID() != own {
				others = append(others, peers.Member{ID: m.GetID(), URLs: m.GetPeerURLs()})
			}
		}
		running = k.cfg.Peers.Reachable(ctx, others)
	}
	running[own] = true
	return running
}

// read returns the members. Without options it asks the quorum.
func (k *Keeper) read(ctx context.Context, opts ...clientv3.OpOption) (*clientv3.MemberListResponse, error) {
	op, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	list, err := k.cfg.Client.MemberList(op, opts...)
	if err != nil {
		return nil, k.translate(ctx, err, "list the members of the store")
	}
	return list, nil
}

// Add adds a member without a vote, or returns the one with that URL if it has not
// started yet. A name is refused if another member has it, and a member that
// listens already if this one cannot reach it.
func (k *Keeper) Add(ctx context.Context, name, peerURL string, listening bool) (*ruedov1.Member, error) {
	if k.cfg.Peers == nil {
		return nil, fault.New(fault.StoreAlone, "the store of this core listens for no other members").
			WithFix("restart this core with store.peer_address set, for example 127.0.0.1:7834")
	}
	member, err := k.cfg.Peers.CheckURL(peerURL)
	if err != nil {
		return nil, invalid(err)
	}
	if listening {
		if err := dial(ctx, member); err != nil {
			return nil, err
		}
	}
	var added *etcdserverpb.Member
	err = k.change(ctx, "add member "+member, func(list []*etcdserverpb.Member) (bool, error) {
		for _, m := range list {
			switch {
			case slices.Contains(m.GetPeerURLs(), member) && m.GetName() != "":
				return false, fault.New(fault.AlreadyExists, "%s is member %s already", member, m.GetName()).
					WithFix("choose another peer URL; if that member was lost, replace it first").With("member", m.GetName())
			case slices.Contains(m.GetPeerURLs(), member):
				added = m
				return true, nil
			case name != "" && m.GetName() == name:
				return false, fault.New(fault.AlreadyExists, "the store has a member %s already, at %s", name, first(m.GetPeerURLs())).
					WithFix("choose another store.member_name; if that member was lost, replace it first").With("member", name)
			}
		}
		return false, nil
	}, func(ctx context.Context) error {
		res, err := k.cfg.Client.MemberAddAsLearner(ctx, []string{member})
		if err == nil {
			added = res.Member
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return describe(added, false, 0), nil
}

// dial makes sure that a new member can be reached. It listens, but does not serve
// before it knows the others.
func dial(ctx context.Context, member string) error {
	u, err := url.Parse(member)
	if err != nil {
		return fault.Wrap(err, fault.RequestInvalid, "%q is not the URL of a member", member)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return fault.Wrap(err, fault.RequestInvalid, "the new member cannot be reached at %s: %v", member, err).
			WithFix("set its store.peer_advertise_url to a URL that the other members reach, and open that port")
	}
	_ = conn.Close()
	return nil
}

// invalid returns an error of the settings as one of a request.
func invalid(err error) error {
	e := *fault.FromError(err)
	e.Reason = fault.RequestInvalid
	return &e
}

func first(list []string) string {
	if len(list) == 0 {
		return "an unknown URL"
	}
	return list[0]
}

// Remove removes a member, named by its id or name. Unless force is true, it fails
// with QUORUM_AT_RISK if too few of those that are left answer.
func (k *Keeper) Remove(ctx context.Context, member string, force bool) (*ruedov1.Member, error) {
	var removed *etcdserverpb.Member
	err := k.change(ctx, "remove member "+member, func(list []*etcdserverpb.Member) (bool, error) {
		m, err := find(list, member)
		if err != nil {
			if removed != nil {
				return true, nil // by an attempt whose answer was lost
			}
			return false, err
		}
		removed = m
		return false, k.judge(ctx, list, m, force)
	}, func(ctx context.Context) error {
		_, err := k.cfg.Client.MemberRemove(ctx, removed.GetID())
		return err
	})
	if err != nil {
		return nil, err
	}
	return describe(removed, false, 0), nil
}

// judge refuses to remove a voter if the others could not write without it.
func (k *Keeper) judge(ctx context.Context, list []*etcdserverpb.Member, m *etcdserverpb.Member, force bool) error {
	if m.GetIsLearner() {
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(list), func(o *etcdserverpb.Member) bool { return o.GetIsLearner() || o.GetID() == m.GetID() })
	if len(left) == 0 {
		return fault.New(fault.QuorumAtRisk, "%s is the only member that votes: without it there is no store", display(m)).
			WithFix("to end the store, stop its core and delete the data directory")
	}
	s, err := k.status(ctx)
	if err != nil {
		return err
	}
	running := k.reachable(ctx, s.Header.GetMemberId(), list)
	answering := 0
	for _, o := range left {
		if running[o.GetID()] {
			answering++
		}
	}
	needed := len(left)/2 + 1
	if answering >= needed || force {
		return nil
	}
	return fault.New(fault.QuorumAtRisk, "removing %s would leave %d voters of which %d answer, and a write needs %d", display(m), len(left), answering, needed).
		WithFix("start the other members first, or remove one that does not answer; to remove this one all the same, insist: no write succeeds then until another member is back").
		With("voters", len(left), "answering", answering, "needed", needed)
}

// Replace removes a member and adds one without a vote in its place; url is that
// of the new one, "" means the old one's.
func (k *Keeper) Replace(ctx context.Context, member, url string, force bool) (removed, added *ruedov1.Member, err error) {
	if k.cfg.Peers == nil {
		_, err := k.Add(ctx, "", url, false)
		return nil, nil, err
	}
	if url != "" {
		if url, err = k.cfg.Peers.CheckURL(url); err != nil {
			return nil, nil, invalid(err)
		}
	}
	if removed, err = k.Remove(ctx, member, force); err != nil {
		return nil, nil, err
	}
	added, err = k.Add(ctx, "", cmp.Or(url, first(removed.GetPeerUrls())), false)
	return removed, added, err
}

// Promote gives a member a vote, named by its id or name. It fails with
// MEMBER_BUSY while the member has not received the store. One that votes already
// is returned.
func (k *Keeper) Promote(ctx context.Context, member string) (*ruedov1.Member, error) {
	var promoted *etcdserverpb.Member
	err := k.change(ctx, "promote member "+member, func(list []*etcdserverpb.Member) (bool, error) {
		var err error
		promoted, err = find(list, member)
		return err == nil && !promoted.GetIsLearner(), err
	}, func(ctx context.Context) error {
		_, err := k.cfg.Client.MemberPromote(ctx, promoted.GetID())
		promoted.IsLearner = err != nil
		return err
	})
	if err != nil {
		return nil, err
	}
	return describe(promoted, true, 0), nil
}

// change makes a change of the members. look judges the members before each
// attempt, and reports whether the change was made.
func (k *Keeper) change(ctx context.Context, doing string, look func([]*etcdserverpb.Member) (bool, error), op func(context.Context) error) error {
	if err := k.cfg.Check(); errors.Is(err, fault.StoreNoQuorum) || errors.Is(err, fault.MemberRemoved) {
		return err
	}
	var retry backoff.Backoff
	for attempt := 1; ; attempt++ {
		list, err := k.read(ctx)
		if err != nil {
			return err
		}
		if made, err := look(list.Members); made || err != nil {
			return err
		}
		once, cancel := context.WithTimeout(ctx, changeTimeout)
		err = op(once)
		cancel()
		if err == nil {
			return nil
		}
		again := fault.FromError(k.translate(ctx, err, doing)).Reason == fault.StoreUnavailable
		if !again || attempt == attempts || retry.Wait(ctx) != nil {
			return k.translate(ctx, err, doing)
		}
	}
}

// find returns the member with an id or a name.
func find(list []*etcdserverpb.Member, member string) (*etcdserverpb.Member, error) {
	var found []*etcdserverpb.Member
	for _, m := range list {
		if peers.Text(m.GetID()) == member {
			return m, nil
		}
		if m.GetName() == member {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fault.New(fault.MemberNotFound, "the store has no member %q", member).WithFix("list the members; each has an id and a name")
	}
	return nil, fault.New(fault.MemberNotFound, "%d members are named %q", len(found), member).WithFix("use the id of one of them")
}

// display names a member in errors.
func display(m *etcdserverpb.Member) string {
	return "member " + cmp.Or(m.GetName(), peers.Text(m.GetID()))
}

// translate returns an error of etcd as one of ours.
func (k *Keeper) translate(ctx context.Context, err error, doing string) error {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case errors.Is(err, rpctypes.ErrMemberNotFound):
		return fault.Wrap(err, fault.MemberNotFound, "cannot %s: the store has no such member", doing)
	case errors.Is(err, rpctypes.ErrMemberLearnerNotReady):
		return fault.Wrap(err, fault.MemberBusy, "cannot %s: it has not received the whole store yet", doing).WithFix("try again in a moment")
	case errors.Is(err, rpctypes.ErrTooManyLearners):
		return fault.Wrap(err, fault.MemberBusy, "cannot %s: as many members as can join at the same time have no vote yet", doing).
			WithFix("wait until they vote, or remove those that will not come")
	case errors.Is(err, rpctypes.ErrPeerURLExist), errors.Is(err, rpctypes.ErrMemberExist):
		return fault.Wrap(err, fault.AlreadyExists, "cannot %s: it is a member already", doing).WithFix("list the members")
	}
	return cmp.Or(k.cfg.Check(), error(fault.Wrap(err, fault.StoreUnavailable, "cannot %s: the store does not answer", doing).
		WithFix("check that more than half of its members run, then try again")))
}
