// Package etcdembed runs etcd inside this process. It is the only importer of
// etcd's server package.
//
// Begin with [Start]; everything else goes through the client:
//
//	srv, err := etcdembed.Start(ctx, etcdembed.Config{Dir: "/var/lib/ruedo"})
//	defer srv.Close()
//	srv.Client().Get(ctx, "key")
//
// # What listens
//
// Nothing, unless [Config.ListenClient] asks for it: the client calls the
// server's functions directly, and a single member needs no peers. The address
// must be a loopback address, because the listener has neither TLS nor
// passwords. It serves only gRPC, not etcd's HTTP pages.
//
// # One process for a directory
//
// Start first locks a file in the directory, without waiting long, so that a
// second process fails with DATA_DIR_IN_USE; etcd on its own would wait
// forever. It fails with DATA_DIR if the directory cannot be used, and with
// STORE_FORMAT if a newer etcd wrote it. Files are checked before etcd maps
// them, because etcd exits the process when it finds a broken one.
//
// # Concurrency
//
// Several servers can run in one process. Client can be used from many
// goroutines. Close can be called more than once.
package etcdembed

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"google.golang.org/grpc"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Config configures a Server. The zero Config is a temporary store.
type Config struct {
	// Dir holds the data; it is created with mode 0700 if it is missing. Empty
	// means a temporary directory that Close removes.
	Dir string
	// ListenClient is a loopback address such as "127.0.0.1:0" for clients in
	// other processes. If empty, the server does not listen.
	ListenClient string
	// QuotaBytes is the maximum size of the database. Zero means 2 GiB.
	QuotaBytes int64
	// UnsafeNoFsync makes writes fast, but a crash of the machine loses data.
	// For tests.
	UnsafeNoFsync bool
	// Logger gets etcd's messages at debug level and its errors as warnings.
	// Nil discards them.
	Logger *slog.Logger
}

const (
	// member is the name of the only member.
	member = "ruedo"
	// Ticks are short because there are no other members to reach.
	tickMillis     = 10
	electionMillis = 100
	// snapshotEvery keeps the log short, because module chunks are large
	// entries.
	snapshotEvery = 500
	// keepRevisions is how many revisions compaction keeps for watchers.
	keepRevisions = "1000"
	// startTimeout bounds a start if the caller's context does not.
	startTimeout = 30 * time.Second
	// closeTimeout bounds closing a server that has failed.
	closeTimeout = 5 * time.Second
)

// Server is a running etcd.
type Server struct {
	etcd     *embed.Etcd
	client   *clientv3.Client
	dir      *dataDir
	failure  *failure
	files    *files
	endpoint string
	grpc     *grpc.Server
	wg       sync.WaitGroup
	close    sync.Once
	closeErr error
}

// Start starts a server and returns it when it is ready to read and write. It
// binds no port except Config.ListenClient. The error is DATA_DIR,
// DATA_DIR_IN_USE, STORE_FORMAT, PORT_IN_USE, CONFIG_INVALID or ctx's error.
func Start(ctx context.Context, cfg Config) (_ *Server, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fault.New(fault.DataDir, "the embedded store was not ready within %v", startTimeout))
	defer cancel()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ln, err := listen(ctx, cfg.ListenClient)
	if err != nil {
		return nil, err
	}
	s := &Server{failure: newFailure()}
	defer func() {
		if err != nil {
			if ln != nil {
				_ = ln.Close()
			}
			if s.dir != nil {
				_ = s.dir.release()
			}
		}
	}()
	if s.dir, err = openDir(ctx, cfg.Dir); err != nil {
		return nil, err
	}
	if err = s.dir.inspect(ctx); err != nil {
		return nil, err
	}
	if s.etcd, err = s.run(ctx, s.embedConfig(cfg, ln)); err != nil {
		return nil, err
	}
	if s.files, err = openFiles(s.dir.path); err != nil {
		s.etcd.Close()
		return nil, s.dir.unusable(err)
	}
	s.client = v3client.New(s.etcd.Server)
	if ln != nil {
		s.endpoint = ln.Addr().String()
		s.grpc = v3rpc.Server(s.etcd.Server, nil, nil)
		s.wg.Go(func() { _ = s.grpc.Serve(ln) })
	}
	return s, nil
}

// Client returns a client that reaches the server without a network. It is
// closed with the server; do not close it.
func (s *Server) Client() *clientv3.Client { return s.client }

// Endpoint returns the host and port for clients in other processes; empty if
// the server does not listen.
func (s *Server) Endpoint() string { return s.endpoint }

// Failed returns a channel that is closed when etcd has failed while running,
// for example because the disk is full or gone. From then on, the server does
// not answer.
func (s *Server) Failed() <-chan struct{} { return s.failure.done }

// Check returns DATA_DIR_LOST if the files that the server writes to are no
// longer in its directory: what it acknowledges from then on is lost when the
// process ends. Check costs a few file system calls and no disk access.
func (s *Server) Check() error { return s.files.check() }

// Close stops the server and waits for it. It removes a temporary directory.
// The error is that of the removal, or says that etcd had failed before.
func (s *Server) Close() error {
	s.close.Do(func() {
		_ = s.client.Close()
		if s.grpc != nil {
			s.grpc.Stop()
		}
		s.wg.Wait()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.etcd.Close()
		}()
		select {
		case <-ended:
		case <-s.failure.done:
			// A part of it is dead, so it may never stop.
			select {
			case <-ended:
			case <-time.After(closeTimeout):
			}
		}
		s.closeErr = s.dir.release()
		select {
		case <-s.failure.done:
			s.closeErr = errors.Join(s.failure.err(), s.closeErr)
		default:
		}
	})
	return s.closeErr
}

func (s *Server) embedConfig(cfg Config, ln net.Listener) *embed.Config {
	c := embed.NewConfig()
	c.Name = member
	c.Dir = s.dir.path
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	// Use no listeners of embed's: what is advertised to other members is never
	// dialled, and our own listener carries only gRPC.
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	c.AdvertiseClientUrls = nil
	if ln != nil {
		c.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: ln.Addr().String()}}
	}
	c.EnableGRPCGateway = false
	c.TickMs, c.ElectionMs = tickMillis, electionMillis
	c.SnapshotCount, c.SnapshotCatchUpEntries = snapshotEvery, snapshotEvery
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, keepRevisions
	c.QuotaBackendBytes = cfg.QuotaBytes
	c.UnsafeNoFsync = cfg.UnsafeNoFsync
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(cfg.Logger, s.failure))
	return c
}

// run starts etcd in its own goroutine. When etcd would exit the process, its
// logger ends that goroutine instead.
func (s *Server) run(ctx context.Context, cfg *embed.Config) (*embed.Etcd, error) {
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
				s.failure.set("it is corrupt: %v", p)
			}
		}()
		r.etcd, r.err = embed.StartEtcd(cfg)
	}()
	var r result
	select {
	case r = <-started:
	case <-s.failure.done:
	case <-ctx.Done():
		// It cannot be stopped before it has started, and uses the directory
		// until then.
		dir := s.dir
		s.dir = nil
		go func() {
			if r := <-started; r.etcd != nil {
				r.etcd.Close()
			}
			_ = dir.release()
		}()
		return nil, context.Cause(ctx)
	}
	switch {
	case r.err != nil:
		return nil, s.dir.unusable(r.err)
	case r.etcd == nil:
		return nil, s.dir.unusable(s.failure.err())
	}
	select {
	case <-r.etcd.Server.ReadyNotify():
		return r.etcd, nil
	case <-s.failure.done:
		return nil, s.dir.unusable(s.failure.err())
	case <-r.etcd.Server.StopNotify():
		return nil, s.dir.unusable(errors.New("the embedded store stopped while it started"))
	case <-ctx.Done():
		r.etcd.Close()
		return nil, context.Cause(ctx)
	}
}

// listen binds the address for clients of other processes.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, fault.New(fault.ConfigInvalid, "the embedded store cannot listen on %q: it has neither TLS nor passwords", addr).
			WithFix("use a loopback address such as 127.0.0.1:2379, or an etcd of your own with TLS")
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fault.Wrap(err, fault.PortInUse, "the embedded store cannot listen on %s: the port is in use", addr).
			WithFix("choose another port, or stop the process that uses it")
	case err != nil:
		return nil, fault.Wrap(err, fault.ConfigInvalid, "the embedded store cannot listen on %s: %v", addr, rootCause(err))
	}
	return ln, nil
}

// rootCause returns the innermost error, which is the system's.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
