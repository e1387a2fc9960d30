package membership_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/membership"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/peers"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a member of a store in this process.
type node struct {
	t      *testing.T
	dir    string
	peers  peers.Config
	srv    *etcdembed.Server
	keeper *membership.Keeper
}

// nodes counts the members.
var nodes atomic.Uint32

// newNode returns a member that has not started. If the system has more than one
// loopback address, the member has its own, so that nothing else takes its port
// while it does not run.
func newNode(t *testing.T) *node {
	t.Helper()
	pid := os.Getpid()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 64+nodes.Add(1)%64, pid>>8&0xff, pid&0xff))
	if err != nil {
		return newNodeAt(t, "127.0.0.1:0")
	}
	_ = l.Close()
	return newNodeAt(t, l.Addr().String())
}

// newNodeAt is newNode at an address.
func newNodeAt(t *testing.T, addr string) *node {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return &node{t: t, dir: t.TempDir(), peers: peers.Config{Listen: l.Addr().String(), Cluster: "test"}}
}

// url is where other members reach it.
func (n *node) url() string { return "http://" + n.peers.Listen }

// tryStart starts the member; see etcdembed.Start.
func (n *node) tryStart(timeout time.Duration) error {
	n.t.Helper()
	p, err := n.peers.WithDefaults()
	if err != nil {
		return err
	}
	srv, err := etcdembed.Start(n.t.Context(), etcdembed.Config{Dir: n.dir, Peers: &p, UnsafeNoFsync: true, StartTimeout: timeout})
	if err != nil {
		return err
	}
	n.srv = srv
	n.keeper = membership.New(membership.Config{Client: srv.Client(), Peers: &p, Check: srv.Check})
	n.t.Cleanup(n.stop)
	return nil
}

func (n *node) start() *node {
	n.t.Helper()
	if err := n.tryStart(time.Minute); err != nil {
		n.t.Fatalf("start %s: %v", n.url(), err)
	}
	return n
}

func (n *node) stop() {
	n.t.Helper()
	if err := n.srv.Close(); err != nil {
		n.t.Error(err)
	}
}

// join makes the member join the store of another one when it starts.
func (n *node) join(other *node) *node {
	n.peers.Cores = cores{other}
	return n
}

// cores answers as the core of a member does.
type cores struct{ node *node }

func (c cores) Members(ctx context.Context) (*peers.Membership, error) {
	items, store, err := c.node.keeper.List(ctx)
	if err != nil {
		return nil, err
	}
	id, err := strconv.ParseUint(store, 16, 64)
	m := &peers.Membership{Cluster: id}
	for _, r := range items {
		id, _ := strconv.ParseUint(r.GetId(), 16, 64)
		m.Members = append(m.Members, peers.Member{ID: id, Name: r.GetName(), URLs: r.GetPeerUrls()})
	}
	return m, err
}

func (c cores) Join(ctx context.Context, name, url string) (*peers.Membership, error) {
	if _, err := c.node.keeper.Add(ctx, name, url, true); err != nil {
		return nil, err
	}
	return c.Members(ctx)
}

// three starts a store of three members, of which two join the first.
func three(t *testing.T) (a, b, c *node) {
	t.Helper()
	a = newNode(t).start()
	b = newNode(t).join(a).start()
	c = newNode(t).join(a).start()
	return a, b, c
}

func (n *node) put(key, value string) error {
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Second)
	defer cancel()
	_, err := n.srv.Client().Put(ctx, key, value)
	return err
}

func (n *node) mustPut(key, value string) {
	n.t.Helper()
	if err := n.put(key, value); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) get(key string) string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Second)
	defer cancel()
	got, err := n.srv.Client().Get(ctx, key)
	if err != nil {
		n.t.Fatal(err)
	}
	if len(got.Kvs) == 0 {
		return ""
	}
	return string(got.Kvs[0].Value)
}

func (n *node) list() []*ruedov1.Member {
	n.t.Helper()
	items, _, err := n.keeper.List(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return items
}

// is checks the reason and the message of an error, and that it says what to do.
func is(t *testing.T, err error, want fault.Reason, says string) {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Reason != want || !strings.Contains(e.Message, says) || e.Fix == "" {
		t.Errorf("%v, want %s and %q", err, want, says)
	}
}

func TestMembersJoinReceiveTheDataAndVote(t *testing.T) {
	t.Parallel()
	a := newNode(t).start()
	a.mustPut("before", "1")
	b := newNode(t).join(a).start()
	c := newNode(t).join(b).start()
	if got := c.get("before"); got != "1" {
		t.Errorf("the third member reads %q, want 1", got)
	}
	c.mustPut("after", "2")
	if got := a.get("after"); got != "2" {
		t.Errorf("the first member reads %q, want 2", got)
	}
	leaders := 0
	for _, m := range b.list() {
		if m.GetRole() != ruedov1.MemberRole_MEMBER_ROLE_VOTER || m.GetState() != ruedov1.MemberState_MEMBER_STATE_RUNNING || m.GetName() == "" {
			t.Errorf("a member is %v", m)
		}
		if m.GetLeader() {
			leaders++
		}
	}
	if n := len(b.list()); n != 3 || leaders != 1 {
		t.Errorf("%d members, %d leaders", n, leaders)
	}
	// The same settings start it again, although it has joined long ago and the
	// core that it joined is away.
	b.stop()
	c.stop()
	done := make(chan error, 1)
	go func() { done <- c.tryStart(time.Minute) }()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := c.get("after"); got != "2" {
		t.Errorf("read %q after a restart, want 2", got)
	}
}

func TestAStaticListOfMembersFormsAStore(t *testing.T) {
	t.Parallel()
	nodes := []*node{newNode(t), newNode(t), newNode(t)}
	var urls []string
	for _, n := range nodes {
		urls = append(urls, n.url())
	}
	started := make(chan error, len(nodes))
	for _, n := range nodes {
		n.peers.Initial = urls
		go func() { started <- n.tryStart(time.Minute) }()
	}
	for range nodes {
		if err := <-started; err != nil {
			t.Fatal(err)
		}
	}
	nodes[0].mustPut("a", "1")
	if got := nodes[2].get("a"); got != "1" {
		t.Errorf("read %q, want 1", got)
	}
}

func TestAMemberThatWasAwayLongerThanTheLogCatchesUp(t *testing.T) {
	t.Parallel()
	a, b, c := three(t)
	c.stop()
	for i := range 1500 { // three times the log that is kept
		a.mustPut("k"+strconv.Itoa(i%10), strconv.Itoa(i))
	}
	if err := c.tryStart(time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := c.srv.Check(); err != nil {
		t.Errorf("after the snapshot: %v", err)
	}
	if got := c.get("k9"); got != "1499" {
		t.Errorf("read %q, want 1499", got)
	}
	b.stop()
	c.mustPut("with", "two")
}

func TestWithoutAQuorumWritesSayHowManyVotersAnswer(t *testing.T) {
	t.Parallel()
	a, b, c := three(t)
	a.mustPut("a", "1")
	b.stop()
	c.stop()
	testkit.Eventually(t, "the lost quorum is noticed", func() bool { return a.srv.Check() != nil })
	is(t, a.srv.Check(), fault.StoreNoQuorum, "1 of 3 voters answer, and a write needs 2")
	// The members can be listed all the same, and changes fail immediately.
	if n := len(a.list()); n != 3 {
		t.Errorf("%d members are listed, want 3", n)
	}
	began := time.Now()
	_, err := a.keeper.Remove(t.Context(), b.url(), false)
	is(t, err, fault.StoreNoQuorum, "1 of 3")
	if took := time.Since(began); took > 4*time.Second { // etcd would wait for longer
		t.Errorf("a removal took %v", took)
	}
	began = time.Now()
	_, err = a.keeper.Compact(t.Context())
	is(t, err, fault.StoreNoQuorum, "1 of 3")
	if took := time.Since(began); took > 20*time.Second { // a compaction may take a minute
		t.Errorf("a compaction failed after %v", took)
	}
	if err := b.tryStart(time.Minute); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the store heals", func() bool { return a.srv.Check() == nil })
	a.mustPut("a", "2")
	if got := b.get("a"); got != "2" {
		t.Errorf("read %q, want 2", got)
	}
}

func TestAStartWithoutAQuorumSaysSo(t *testing.T) {
	t.Parallel()
	a, b, c := three(t)
	a.stop()
	b.stop()
	c.stop()
	is(t, c.tryStart(3*time.Second), fault.StoreNoQuorum, "1 of 3 voters")
}

func TestRemovals(t *testing.T) {
	t.Parallel()
	a, b, c := three(t)
	name := func(n *node) string { return n.peers.Listen }
	_, err := a.keeper.Remove(t.Context(), "nobody", false)
	is(t, err, fault.MemberNotFound, `"nobody"`)
	c.stop()
	testkit.Within(t, 10*time.Second, "the stopped member is seen", func() bool {
		_, err = a.keeper.Remove(t.Context(), name(b), false)
		return errors.Is(err, fault.QuorumAtRisk)
	})
	is(t, err, fault.QuorumAtRisk, "2 voters of which 1 answer, and a write needs 2")
	if _, err := a.keeper.Remove(t.Context(), name(c), false); err != nil {
		t.Fatalf("a member that is gone cannot be removed: %v", err)
	}
	if _, err := a.keeper.Remove(t.Context(), name(b), false); err != nil {
		t.Fatalf("one of two members cannot be removed: %v", err)
	}
	testkit.Within(t, 10*time.Second, "the removed member knows it", func() bool { return errors.Is(b.srv.Check(), fault.MemberRemoved) })
	_, err = a.keeper.Remove(t.Context(), name(a), true)
	is(t, err, fault.QuorumAtRisk, "the only member that votes")
	a.mustPut("alone", "1")

	// Neither comes back with what it has.
	b.stop()
	for _, n := range []*node{b, c} {
		is(t, n.tryStart(10*time.Second), fault.MemberRemoved, "is stale")
	}
	// With an empty directory it does.
	b.dir = t.TempDir()
	b.start()
	if got := b.get("alone"); got != "1" {
		t.Errorf("read %q, want 1", got)
	}
}

func TestALostMemberIsReplaced(t *testing.T) {
	t.Parallel()
	a, _, c := three(t)
	a.mustPut("a", "1")
	c.stop()
	lost := c.peers.Listen
	c.dir = t.TempDir()
	is(t, c.tryStart(10*time.Second), fault.AlreadyExists, "is member "+lost+" already")
	removed, added, err := a.keeper.Replace(t.Context(), lost, "", false)
	if err != nil || removed.GetName() != lost || added.GetPeerUrls()[0] != c.url() {
		t.Fatalf("removed %v, added %v, %v", removed, added, err)
	}
	c.start()
	if got := c.get("a"); got != "1" {
		t.Errorf("read %q, want 1", got)
	}
	for _, m := range a.list() {
		if m.GetRole() != ruedov1.MemberRole_MEMBER_ROLE_VOTER {
			t.Errorf("%v does not vote", m)
		}
	}
}

func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	a := newNode(t).start()
	b := newNode(t).join(a).start()
	t.Run("twice", func(t *testing.T) {
		copied := newNode(t)
		copied.dir = filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(copied.dir, os.DirFS(b.dir)); err != nil {
			t.Fatal(err)
		}
		is(t, copied.join(a).tryStart(10*time.Second), fault.AlreadyExists, "runs already: it answers at "+b.url())
	})
	t.Run("another cluster's data", func(t *testing.T) {
		other := newNode(t).start()
		other.stop()
		is(t, other.join(a).tryStart(10*time.Second), fault.ClusterMismatch, "holds another store")
	})
	t.Run("data of a store without other members", func(t *testing.T) {
		alone := newNode(t)
		srv, err := etcdembed.Start(t.Context(), etcdembed.Config{Dir: alone.dir, UnsafeNoFsync: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Close(); err != nil {
			t.Fatal(err)
		}
		is(t, alone.join(a).tryStart(10*time.Second), fault.ClusterMismatch, "holds another store")
		// On its own it starts, and others can join it then.
		alone.peers.Cores = nil
		alone.start()
		newNode(t).join(alone).start()
	})
	t.Run("without its peers, or at the address of another one", func(t *testing.T) {
		c := newNode(t).join(a).start()
		c.stop()
		_, err := etcdembed.Start(t.Context(), etcdembed.Config{Dir: c.dir, UnsafeNoFsync: true})
		is(t, err, fault.ConfigInvalid, "one of 3 members")
		own := c.peers.Advertise
		c.peers.Advertise = b.url()
		is(t, c.tryStart(10*time.Second), fault.AlreadyExists, "of a store answers at "+b.url())
		c.peers.Advertise = own
		c.start()
	})
	t.Run("a taken name", func(t *testing.T) {
		n := newNode(t).join(a)
		n.peers.Name = b.peers.Listen
		is(t, n.tryStart(10*time.Second), fault.AlreadyExists, "has a member "+b.peers.Listen)
	})
	t.Run("a taken URL", func(t *testing.T) {
		n := newNode(t).join(a)
		n.peers.Advertise = b.url()
		is(t, n.tryStart(10*time.Second), fault.AlreadyExists, b.url()+" is member")
	})
	t.Run("an address that nobody reaches", func(t *testing.T) {
		n := newNode(t).join(a)
		n.peers.Advertise = newNode(t).url()
		is(t, n.tryStart(10*time.Second), fault.RequestInvalid, "cannot be reached at "+n.peers.Advertise)
	})
	t.Run("a port in use", func(t *testing.T) {
		n := newNode(t).join(a)
		n.peers.Listen = b.peers.Listen
		is(t, n.tryStart(10*time.Second), fault.PortInUse, b.peers.Listen)
	})
}

func TestAddingAheadAndPromoting(t *testing.T) {
	t.Parallel()
	a := newNode(t).start()
	b := newNode(t)
	first, err := a.keeper.Add(t.Context(), "", b.url(), false)
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.keeper.Add(t.Context(), "", b.url(), false)
	if err != nil || again.GetId() != first.GetId() || again.GetState() != ruedov1.MemberState_MEMBER_STATE_NEW {
		t.Errorf("added again: %v, %v, want %s", again, err, first.GetId())
	}
	_, err = a.keeper.Promote(t.Context(), first.GetId())
	is(t, err, fault.MemberBusy, "has not received")
	b.join(a).start()
	if got, err := a.keeper.Promote(t.Context(), first.GetId()); err != nil || got.GetRole() != ruedov1.MemberRole_MEMBER_ROLE_VOTER {
		t.Errorf("promoted again: %v, %v", got, err)
	}
	for i := range 4 { // as many as can catch up at the same time
		if _, err := a.keeper.Add(t.Context(), "", fmt.Sprintf("http://127.0.0.1:%d", 20000+i), false); err != nil {
			t.Fatal(err)
		}
	}
	_, err = a.keeper.Add(t.Context(), "", "http://127.0.0.1:20100", false)
	is(t, err, fault.MemberBusy, "have no vote yet")
}

func TestAMemberThatMovesTellsTheOthers(t *testing.T) {
	t.Parallel()
	a, b, c := three(t)
	c.stop()
	c.peers.Listen = newNode(t).peers.Listen
	c.start()
	found := false
	for _, m := range a.list() {
		found = found || m.GetPeerUrls()[0] == c.url()
	}
	if !found {
		t.Errorf("%s is not listed: %v", c.url(), a.list())
	}
	b.stop()
	c.mustPut("a", "1")
}

func TestUpkeep(t *testing.T) {
	t.Parallel()
	a, b, _ := three(t)
	for range 20 {
		a.mustPut("large", strings.Repeat("x", 1<<20))
	}
	before, err := b.keeper.Local(t.Context())
	if err != nil || before.GetStatus().GetSizeBytes() < 15<<20 {
		t.Fatalf("%v, %v", before, err)
	}
	if _, err := a.keeper.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{a, b} {
		done, err := n.keeper.Defragment(t.Context())
		if err != nil || done.GetAfterBytes() > done.GetBeforeBytes()/4 {
			t.Errorf("defragmented: %v, %v", done, err)
		}
		if err := n.srv.Check(); err != nil {
			t.Errorf("after a defragmentation: %v", err)
		}
	}
	if err := a.keeper.Disarm(t.Context()); err != nil {
		t.Error(err)
	}
	if got := a.get("large"); len(got) != 1<<20 {
		t.Errorf("read %d bytes", len(got))
	}
}

func TestRecoveryFromOneMember(t *testing.T) {
	t.Parallel()
	a, b, c := three(t)
	a.mustPut("a", "1")
	b.stop()
	c.stop()
	a.stop()
	_, err := etcdembed.Recover(t.Context(), etcdembed.Config{Dir: t.TempDir()})
	is(t, err, fault.DataDir, "no store")
	r, err := etcdembed.Recover(t.Context(), etcdembed.Config{Dir: a.dir, UnsafeNoFsync: true})
	if err != nil || len(r.Gone) != 2 || r.Revision == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	a.start()
	if got := a.get("a"); got != "1" {
		t.Errorf("read %q, want 1", got)
	}
	a.mustPut("a", "2")
	// The others cannot come back with what they have, and can without.
	is(t, b.tryStart(10*time.Second), fault.MemberRemoved, "is stale")
	b.dir = t.TempDir()
	b.start()
	if got := b.get("a"); got != "2" {
		t.Errorf("read %q, want 2", got)
	}
}
