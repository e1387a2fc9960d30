// Package members shows and changes the members of the store that the cores form
// themselves. The member in this process does what concerns the store as a whole;
// for what concerns another member's own files, it asks that member's core.
package members

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

const (
	// askTimeout is how long another core has to answer a question, and
	// defragmentTimeout how long its member has to be defragmented.
	askTimeout        = 1500 * time.Millisecond
	defragmentTimeout = 3 * time.Minute
	// maxCores bounds how many cores are asked, and maxAnswer what one answers, in
	// bytes.
	maxCores  = 64
	maxAnswer = 256 << 10
)

// Keeper is the member of the store in this process; see package membership.
type Keeper interface {
	Name() string
	List(ctx context.Context) ([]*ruedov1.Member, string, error)
	Local(ctx context.Context) (*ruedov1.Member, error)
	Add(ctx context.Context, name, url string, listening bool) (*ruedov1.Member, error)
	Remove(ctx context.Context, member string, force bool) (*ruedov1.Member, error)
	Replace(ctx context.Context, member, url string, force bool) (removed, added *ruedov1.Member, err error)
	Promote(ctx context.Context, member string) (*ruedov1.Member, error)
	Compact(ctx context.Context) (int64, error)
	Defragment(ctx context.Context) (*ruedov1.CompactedMember, error)
	Disarm(ctx context.Context) error
}

// Config configures the members.
type Config struct {
	// Keeper is the member in this process. Nil if the store is an etcd of its
	// own: then all methods fail with STORE_EXTERNAL.
	Keeper Keeper
	// Self is this core.
	Self *ruedov1.Core
	// Cores returns the cores of the cluster by their ids.
	Cores func() map[string]*ruedov1.Core
	// Peers carries requests to other cores, and is a peers.Peers.
	Peers interface {
		Client() connect.HTTPClient
		Context(ctx context.Context) context.Context
	}
}

// Members shows and changes the members. Its methods can be called from many
// goroutines.
type Members struct {
	cfg Config
	// upkeep lets one compaction run at a time.
	upkeep sync.Mutex
}

// New returns the members.
func New(cfg Config) *Members { return &Members{cfg: cfg} }

// keeper returns the member in this process.
func (m *Members) keeper() (Keeper, error) {
	if m.cfg.Keeper == nil {
		return nil, fault.New(fault.StoreExternal, "the store of this cluster is an etcd of its own").
			WithFix("manage it with its own tools, for example etcdctl")
	}
	return m.cfg.Keeper, nil
}

// List returns the members with what their cores report, and the id of the store.
// It takes at most a few seconds, even without a quorum.
func (m *Members) List(ctx context.Context) ([]*ruedov1.Member, string, error) {
	k, err := m.keeper()
	if err != nil {
		return nil, "", err
	}
	items, store, err := k.List(ctx)
	if err != nil {
		return nil, "", err
	}
	reports := m.reports(ctx)
	var newest uint64
	for _, r := range reports {
		newest = max(newest, r.GetStatus().GetAppliedIndex())
	}
	for _, item := range items {
		r, ok := reports[item.GetId()]
		if !ok {
			continue
		}
		item.CoreId, item.CoreUrl, item.Status = r.GetCoreId(), r.GetCoreUrl(), r.GetStatus()
		item.Status.Lag = newest - r.GetStatus().GetAppliedIndex()
	}
	return items, store, nil
}

// reports asks all cores at the same time what their members report, and returns
// it by member id.
func (m *Members) reports(ctx context.Context) map[string]*ruedov1.Member {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	found := make(map[string]*ruedov1.Member)
	add := func(r *ruedov1.Member, err error) {
		if err != nil || r.GetStatus() == nil {
			return // it is listed without a status
		}
		mu.Lock()
		defer mu.Unlock()
		found[r.GetId()] = r
	}
	wg.Go(func() { add(m.Local(ctx)) })
	for _, c := range m.others() {
		wg.Go(func() {
			res, err := m.client(c).GetLocalMember(m.cfg.Peers.Context(ctx), &ruedov1.GetLocalMemberRequest{})
			add(res.GetMember(), err)
		})
	}
	wg.Wait()
	return found
}

// others returns the other cores that have a member of the store, sorted by their
// URLs. A core that was killed stays listed for a moment, next to the one that
// has taken its URL; each URL counts once.
func (m *Members) others() []*ruedov1.Core {
	byURL := make(map[string]*ruedov1.Core)
	for id, c := range m.cfg.Cores() {
		if id != m.cfg.Self.GetId() && c.GetStoreMember() != "" && c.GetUrl() != "" && c.GetUrl() != m.cfg.Self.GetUrl() {
			byURL[c.GetUrl()] = c
		}
	}
	var cores []*ruedov1.Core
	for _, url := range slices.Sorted(maps.Keys(byURL)) {
		cores = append(cores, byURL[url])
	}
	return cores[:min(len(cores), maxCores)]
}

func (m *Members) client(c *ruedov1.Core) ruedov1connect.MemberServiceClient {
	return ruedov1connect.NewMemberServiceClient(m.cfg.Peers.Client(), c.GetUrl(), connect.WithReadMaxBytes(maxAnswer))
}

// Local returns the member in this process.
func (m *Members) Local(ctx context.Context) (*ruedov1.Member, error) {
	k, err := m.keeper()
	if err != nil {
		return nil, err
	}
	local, err := k.Local(ctx)
	if err != nil {
		return nil, err
	}
	local.CoreId, local.CoreUrl = m.cfg.Self.GetId(), m.cfg.Self.GetUrl()
	return local, nil
}

// Add adds a member without a vote; see AddMember of the API.
func (m *Members) Add(ctx context.Context, req *ruedov1.AddMemberRequest) (*ruedov1.AddMemberResponse, error) {
	k, err := m.keeper()
	if err != nil {
		return nil, err
	}
	if f := req.GetFormat(); f != 0 && f != fleet.Format {
		age := "newer"
		if f < fleet.Format {
			age = "older"
		}
		return nil, fault.New(fault.StoreFormat, "a core with storage format %d cannot join: this store has format %d", f, fleet.Format).
			WithFix("the joining core is %s: give all cores the same version", age)
	}
	added, err := k.Add(ctx, req.GetName(), req.GetPeerUrl(), req.GetListening())
	if err != nil {
		return nil, err
	}
	items, store, err := k.List(ctx)
	if err != nil {
		return nil, err
	}
	return &ruedov1.AddMemberResponse{Member: added, Members: items, StoreId: store}, nil
}

// Remove removes a member; see RemoveMember of the API.
func (m *Members) Remove(ctx context.Context, member string, force bool) (*ruedov1.Member, error) {
	k, err := m.keeper()
	if err != nil {
		return nil, err
	}
	return k.Remove(ctx, member, force)
}

// Replace removes a member and adds one in its place; see ReplaceMember of the
// API.
func (m *Members) Replace(ctx context.Context, member, url string, force bool) (removed, added *ruedov1.Member, err error) {
	k, err := m.keeper()
	if err != nil {
		return nil, nil, err
	}
	return k.Replace(ctx, member, url, force)
}

// Promote gives a member a vote; see PromoteMember of the API.
func (m *Members) Promote(ctx context.Context, member string) (*ruedov1.Member, error) {
	k, err := m.keeper()
	if err != nil {
		return nil, err
	}
	return k.Promote(ctx, member)
}

// Compact drops old versions of all keys, then defragments one member after the
// other, the one in this process last, and ends the alarm of a full store. A
// member that cannot be defragmented is not a failure; the result says why.
func (m *Members) Compact(ctx context.Context) (version int64, done []*ruedov1.CompactedMember, err error) {
	k, err := m.keeper()
	if err != nil {
		return 0, nil, err
	}
	if !m.upkeep.TryLock() {
		return 0, nil, fault.New(fault.MemberBusy, "the store is being compacted already").WithFix("wait until that is done")
	}
	defer m.upkeep.Unlock()
	if version, err = k.Compact(ctx); err != nil {
		return 0, nil, err
	}
	for _, c := range m.others() {
		op, cancel := context.WithTimeout(ctx, defragmentTimeout)
		res, err := m.client(c).DefragmentLocalMember(m.cfg.Peers.Context(op), &ruedov1.DefragmentLocalMemberRequest{})
		cancel()
		if err != nil {
			done = append(done, &ruedov1.CompactedMember{Name: c.GetStoreMember(), Error: err.Error()})
			continue
		}
		done = append(done, res.GetMember())
	}
	own, err := k.Defragment(ctx)
	if err != nil {
		return version, done, err
	}
	return version, append(done, own), k.Disarm(ctx)
}

// Defragment defragments the member in this process.
func (m *Members) Defragment(ctx context.Context) (*ruedov1.CompactedMember, error) {
	k, err := m.keeper()
	if err != nil {
		return nil, err
	}
	return k.Defragment(ctx)
}
