package etcdembed

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/etcdhttp"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/ruedo-dev/ruedo/internal/etcdembed/datadir"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/peers"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/raftlog"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// memberName is the name of a member that is alone.
	memberName = "ruedo"
	// maxLearners is how many members can catch up at the same time.
	maxLearners = 4
	// snapshotEvery keeps the log short, because module chunks are large
	// entries.
	snapshotEvery = 500
	// keepRevisions is how many revisions compaction keeps for watchers.
	keepRevisions = "1000"
	// stopTimeout bounds stopping a member, failedTimeout one that has failed.
	stopTimeout   = 10 * time.Second
	failedTimeout = 3 * time.Second
	// A chunk of a module passes the connection in memory in one go: pipeBytes is
	// its buffer for each direction, streamBytes and connBytes are the windows of
	// HTTP/2.
	pipeBytes   = 512 << 10
	streamBytes = 2 << 20
	connBytes   = 16 << 20
)

// member is one run of etcd on a directory. If it fails, a part of it is dead
// and may hold a lock forever, so every wait for a member is bounded. That is
// also why clients reach it through connections in memory and not through its
// functions: a function that waits for a lock does not end with its context.
type member struct {
	etcd    *embed.Etcd
	failure *failure
	peers   *peers.Server // nil if it is alone
	memory  *bufconn.Listener
	grpc    *grpc.Server
	serving sync.WaitGroup
}

// startMember starts etcd on a directory and returns it when it is ready to read
// and write. It serves ln too, unless that is nil. first is true for the first
// start in this process, which makes sure that no other process has this member.
func startMember(ctx context.Context, dir *datadir.Dir, cfg Config, ln net.Listener, first bool) (_ *member, err error) {
	setSegments()
	dir.DropBallast()
	if err := dir.Inspect(ctx); err != nil {
		return nil, err
	}
	if cfg.recover {
		if err := raftlog.Commit(dir.Path); err != nil {
			return nil, dir.Unusable(err)
		}
	}
	m := &member{failure: newFailure()}
	c := embedConfig(dir, cfg, ln, m.failure)
	if cfg.Peers == nil && len(dir.Members) > 1 && !cfg.recover {
		return nil, fault.New(fault.ConfigInvalid, "data directory %s belongs to one of %d members of a store, which cannot start alone", dir.Path, len(dir.Members)).
			WithFix("set store.peer_address, as when it was started before; if the other members are lost for good, recover the store from this one")
	}
	if cfg.Peers != nil {
		if m.peers, err = openPeers(ctx, dir, cfg.Peers, c, first); err != nil {
			return nil, err
		}
	}
	if err := m.run(ctx, dir, c, cfg.Peers); err != nil {
		m.peers.Close()
		return nil, err
	}
	m.memory = bufconn.Listen(pipeBytes)
	m.grpc = v3rpc.Server(m.etcd.Server, nil, nil, grpc.WaitForHandlers(true),
		grpc.InitialWindowSize(streamBytes), grpc.InitialConnWindowSize(connBytes))
	m.serving.Go(func() { _ = m.grpc.Serve(m.memory) }) // Serve only reports that the server was stopped
	if ln != nil {
		m.serving.Go(func() { _ = m.grpc.Serve(ln) })
	}
	dir.TakeBallast()
	return m, nil
}

// setSegments sets the size of the log's files, for which etcd has a variable and no
// setting. Servers that already run read the variable, so it is set once.
var setSegments = sync.OnceFunc(func() { wal.SegmentSizeBytes = datadir.SegmentBytes })

func embedConfig(dir *datadir.Dir, cfg Config, ln net.Listener, f *failure) *embed.Config {
	c := embed.NewConfig()
	c.Name = memberName
	c.Dir = dir.Path
	c.InitialCluster, c.InitialClusterToken = c.InitialClusterFromName(c.Name), rand.Text()
	// Use no listeners of embed's: what a lone member advertises is never dialled,
	// our own listener for clients carries only gRPC, and ours for peers can be
	// closed after a failure.
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	c.AdvertiseClientUrls = nil
	if ln != nil {
		c.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: ln.Addr().String()}}
	}
	c.EnableGRPCGateway = false
	setTick(c, peers.Ticks("single")) // there are no other members to reach
	// A removal is judged before it gets here, with a way to insist.
	c.StrictReconfigCheck, c.MaxLearners = false, maxLearners
	c.SnapshotCount, c.SnapshotCatchUpEntries = snapshotEvery, snapshotEvery
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, keepRevisions
	c.QuotaBackendBytes = cfg.QuotaBytes
	c.UnsafeNoFsync = cfg.UnsafeNoFsync
	c.ForceNewCluster = cfg.recover
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(cfg.Logger, f))
	return c
}

func setTick(c *embed.Config, t peers.Tick) {
	c.TickMs, c.ElectionMs = uint(t.Heartbeat.Milliseconds()), uint(t.Election.Milliseconds())
}

// run starts etcd in its own goroutine. When etcd would exit the process, its
// logger ends that goroutine instead.
func (m *member) run(ctx context.Context, dir *datadir.Dir, cfg *embed.Config, others *peers.Config) error {
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	started := make(chan result, 1)
	go func() {
		var r result
		defer func() { started <- r }()
		defer func() {
			if p := recover(); p != nil {
				m.failure.set(fmt.Errorf("it is corrupt: %v", p))
			}
		}()
		r.etcd, r.err = embed.StartEtcd(cfg)
	}()
	var r result
	select {
	case r = <-started:
	case <-m.failure.done:
	case <-ctx.Done():
		// It cannot be stopped before it has started, and uses the directory
		// until then.
		dir.Hold()
		go func() {
			defer func() { _ = dir.Release() }()
			if r := <-started; r.etcd != nil {
				r.etcd.Close()
			}
		}()
		return context.Cause(ctx)
	}
	switch {
	case r.err != nil:
		return dir.Unusable(r.err)
	case r.etcd == nil:
		return dir.Unusable(m.failure.err())
	}
	m.etcd = r.etcd
	if others != nil {
		m.peers.Serve(etcdhttp.NewPeerHandler(r.etcd.GetLogger(), r.etcd.Server))
	}
	select {
	case <-r.etcd.Server.ReadyNotify():
		return nil
	case <-m.failure.done:
		return dir.Unusable(m.failure.err())
	case <-r.etcd.Server.StopNotify():
		if m.failure.removed.Load() {
			r.etcd.Close()
			return peers.Removed(dir.Path, uint64(r.etcd.Server.MemberID()))
		}
		return dir.Unusable(errors.New("the embedded store stopped while it started"))
	case <-ctx.Done():
		err := context.Cause(ctx)
		if others != nil && !errors.Is(err, context.Canceled) {
			err = cmp.Or(noQuorum(*others, r.etcd.Server), err)
		}
		r.etcd.Close()
		return err
	}
}

// stop stops the member. It returns false if a part of it still runs or waits
// after a bounded time; that part keeps the files open.
func (m *member) stop() bool {
	ended := make(chan bool, 1)
	go func() {
		whole := false
		defer func() { ended <- whole }() // etcd can end this goroutine by failing
		served := make(chan struct{})
		go func() {
			defer close(served)
			m.grpc.Stop()
			m.serving.Wait()
		}()
		select {
		case <-served:
		case <-m.failure.done: // requests may wait forever
			m.peers.Close()
		}
		m.etcd.Close()
		m.peers.Close()
		<-served
		whole = true
	}()
	limit := time.NewTimer(stopTimeout)
	defer limit.Stop()
	failed := m.failure.done
	for {
		select {
		case whole := <-ended:
			return whole
		case <-failed:
			failed = nil
			limit.Reset(failedTimeout)
		case <-limit.C:
			return false
		}
	}
}
