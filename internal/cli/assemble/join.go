package assemble

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/hosts"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/peers"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/seal"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// defaultPeerPort is where members of the store listen for each other.
const defaultPeerPort = "7834"

// peers returns the settings of a member of the store; nil if it is alone.
func (a *Assembler) peers(ctx context.Context, log *slog.Logger) (*peers.Config, error) {
	s := a.Settings.Store
	several := s.PeerAddress != "" || len(s.Peers) > 0 || len(s.Join) > 0
	switch {
	case several && len(s.EtcdHosts) > 0:
		return nil, fault.New(fault.ConfigInvalid, "store.etcd_hosts names an etcd, and store.peer_address, store.peers or store.join an embedded one").
			WithFix("set one of the two")
	case !several && s.PeerAdvertiseURL != "":
		return nil, fault.New(fault.ConfigInvalid, "store.peer_advertise_url is set, but the store listens for no other members").WithFix("set store.peer_address")
	case !several:
		return nil, nil
	}
	cfg := peers.Config{
		Listen:    cmp.Or(s.PeerAddress, net.JoinHostPort(a.Settings.Server.ListenAddress, defaultPeerPort)),
		Advertise: s.PeerAdvertiseURL, Name: s.MemberName, Initial: s.Peers, Cluster: a.Settings.Application.ClusterID,
		Tick: s.Tick, CertFile: s.PeerCertFile, KeyFile: s.PeerKeyFile, CAFile: s.PeerCAFile, Insecure: s.InsecurePeers,
	}
	if len(s.Join) > 0 {
		known, err := a.access()
		if err != nil {
			return nil, err
		}
		j := &joined{seal: a.seal(), log: log}
		for _, url := range s.Join {
			j.cores = append(j.cores, known.client(ctx, URL(url, a.Settings.Client.Port), client.WithCluster(a.Settings.Application.ClusterID), client.WithRetries(0)))
		}
		cfg.Cores = j
	}
	cfg, err := cfg.WithDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Exposed() {
		a.infof("WARNING: the members of the store speak without certificates on %s. Anyone who can reach the port controls the store.", cfg.Advertise)
	}
	return &cfg, nil
}

// askTimeout bounds one question to one core.
const askTimeout = 5 * time.Second

// joined is the cluster that this process joins.
type joined struct {
	cores []*client.Client
	seal  seal.Source
	log   *slog.Logger
	said  bool // that it takes longer
}

var _ peers.Cores = (*joined)(nil)

// Members returns the members of the store.
func (j *joined) Members(ctx context.Context) (*peers.Membership, error) {
	return j.ask(ctx, func(ctx context.Context, core *client.Client) (*peers.Membership, error) {
		res, err := core.Members.ListMembers(ctx, &ruedov1.ListMembersRequest{})
		if err != nil {
			return nil, err
		}
		return membershipOf(res.GetStoreId(), res.GetItems())
	})
}

// Join adds a member without a vote.
func (j *joined) Join(ctx context.Context, name, url string) (*peers.Membership, error) {
	return j.ask(ctx, func(ctx context.Context, core *client.Client) (*peers.Membership, error) {
		if err := j.sealed(ctx, core); err != nil {
			return nil, err
		}
		res, err := core.Members.AddMember(ctx, &ruedov1.AddMemberRequest{PeerUrl: url, Name: name, Format: fleet.Format, Listening: true})
		if err != nil {
			return nil, err
		}
		return membershipOf(res.GetStoreId(), res.GetMembers())
	})
}

// sealed returns an error if the cluster has logins and this process has no seal key. It
// is asked before the store is joined: a member that votes and whose core then ends
// would take the majority away from the others. Whether the key is the right one is
// known only when the keyring has been read from the store.
func (j *joined) sealed(ctx context.Context, core *client.Client) error {
	hello, err := core.Login.Hello(ctx, &ruedov1.HelloRequest{})
	if err != nil || !hello.GetLogin() {
		return err
	}
	_, err = j.seal.Load()
	return err
}

// ask asks the cores one after the other until one answers. An answer that a
// second core would give too ends it.
func (j *joined) ask(ctx context.Context, question func(context.Context, *client.Client) (*peers.Membership, error)) (m *peers.Membership, err error) {
	for _, core := range j.cores {
		once, cancel := context.WithTimeout(ctx, askTimeout)
		m, err = question(once, core)
		if err != nil && errors.Is(once.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
			err = fault.Wrap(err, fault.CoreUnreachable, "what listens at %s does not answer within %s", hosts.Shown(core.URL()), askTimeout).
				WithFix("look at the log of that core, or name another one with --join")
		}
		cancel()
		if err == nil || fault.FromError(err).ConnectCode() != fault.CodeUnavailable {
			break
		}
	}
	if err == nil {
		return m, nil
	}
	e := *fault.FromError(err)
	e.Message = "cannot join the store: " + e.Message
	if e.Reason == fault.Unauthenticated {
		e.Fix = "give this core a token of a user who may write the cluster: client.token_file"
	}
	if e.ConnectCode() == fault.CodeUnavailable && !j.said && ctx.Err() == nil {
		j.said = true
		j.log.Warn("cannot join the store yet, trying again", "error", e.Message, "fix", e.Fix)
	}
	return nil, &e
}

func membershipOf(store string, members []*ruedov1.Member) (*peers.Membership, error) {
	m := &peers.Membership{}
	var err error
	if m.Cluster, err = strconv.ParseUint(store, 16, 64); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "a core answered with %q, which is not the id of a store", store)
	}
	for _, r := range members {
		id, err := strconv.ParseUint(r.GetId(), 16, 64)
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "a core answered with %q, which is not the id of a member", r.GetId())
		}
		m.Members = append(m.Members, peers.Member{
			ID: id, Name: r.GetName(), URLs: r.GetPeerUrls(), Learner: r.GetRole() == ruedov1.MemberRole_MEMBER_ROLE_LEARNER,
		})
	}
	return m, nil
}
