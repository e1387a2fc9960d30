// Package etcdembed runs etcd inside this process. It is the only importer of
// etcd's server package.
//
// Begin with [Start]; everything else is had through the client:
//
//	srv, err := etcdembed.Start(ctx, etcdembed.Config{Dir: "/var/lib/ruedo"})
//	defer srv.Close()
//	srv.Client().Get(ctx, "key")
//
// # What listens
//
// Nothing, unless [Config.ListenClient] asks for it: the client talks to the
// server by function calls, and a single member needs no peers. What is asked
// for must be a loopback address, since the listener has neither TLS nor
// passwords. It speaks gRPC only; etcd's HTTP pages are not served.
//
// # One process for a directory
//
// A lock file in the directory is taken first and without waiting for long, so
// that a second process is told DATA_DIR_IN_USE; etcd by itself would wait for
// ever. A directory that cannot be used is DATA_DIR, one that a newer etcd
// wrote is STORE_FORMAT. Files are looked at before etcd maps them, since etcd
// ends the process at the sight of a broken one.
//
// # Concurrency
//
// Several servers may run in one process. Client may be used from many
// goroutines. Close may be called more than once.
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

// Config says how a server runs. The zero Config is a temporary store.
type Config struct {
	// Dir holds the data; made with mode 0700 where it is missing. Empty means
	// a temporary directory that Close removes.
	Dir string
	// ListenClient is a loopback address such as "127.0.0.1:0" for clients in
	// other processes. Empty means none.
	ListenClient string
	// QuotaBytes is the size that the database may reach. Zero means 2 GiB.
	QuotaBytes int64
	// UnsafeNoFsync makes writes fast and a crash of the machine fatal to the
	// data. For tests.
	UnsafeNoFsync bool
	// Logger gets etcd's talk at debug level, its errors as warnings. Nil
	// discards.
	Logger *slog.Logger
}

const (
	// member is the name of the only member.
	member = "ruedo"
	// The ticks of a member that has no others to reach.
	tickMillis     = 10
	electionMillis = 100
	// snapshotEvery keeps the log short: module chunks are large entries.
	snapshotEvery = 500
	// keepRevisions is how much history compaction leaves to watchers.
	keepRevisions = "1000"
	// startTimeout bounds a start, where the caller's context does not.
	startTimeout = 30 * time.Second
	// closeTimeout bounds the end of a server that has failed.
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

// Start runs a server and gives it back when it is ready to read and write.
// It binds no port but the one asked for. Errors are DATA_DIR, DATA_DIR_IN_USE,
// STORE_FORMAT, PORT_IN_USE, CONFIG_INVALID or ctx's own.
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

// Client talks to the server without a network. It ends with the server and is
// not to be closed.
func (s *Server) Client() *clientv3.Client { return s.client }

// Endpoint is the host and port that clients of other processes may use; empty
// where none was asked for.
func (s *Server) Endpoint() string { return s.endpoint }

// Failed is closed when etcd has given up while running, for example because
// the disk is full or gone. The server answers nothing from then on.
func (s *Server) Failed() <-chan struct{} { return s.failure.done }

// Check returns DATA_DIR_LOST if the files that the server writes to are no
// longer in its directory: what it acknowledges from then on ends with the
// process. It costs some file system calls, and no disk.
func (s *Server) Check() error { return s.files.check() }

// Close stops the server and waits for it. A temporary directory is removed;
// the error is of that, or tells that etcd had failed before.
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
			// A part of it is dead, so its end may never come.
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
	// No listener of embed's: what is advertised to other members is never
	// dialled, and our own listener carries nothing but gRPC.
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

// run starts etcd in a goroutine of its own, which etcd's logger ends where
// etcd would end the process.
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
		// It cannot be told to stop before it has started, and has the
		// directory until then.
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
			WithFix("choose another port, or stop the process that has it")
	case err != nil:
		return nil, fault.Wrap(err, fault.ConfigInvalid, "the embedded store cannot listen on %s: %v", addr, rootCause(err))
	}
	return ln, nil
}

// rootCause is the innermost error, which says what the system said.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
