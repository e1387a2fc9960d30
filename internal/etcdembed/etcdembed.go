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
// Nothing, unless [Config.ListenClient] or [Config.Peers] asks for it: the client
// is connected through memory, and a single member needs no peers. The address
// for clients must be a loopback address, because the listener has neither TLS
// nor passwords. It serves only gRPC, not etcd's HTTP pages.
//
// # Several members
//
// With [Config.Peers] the server is one member of a store that several processes
// form: it begins one, alone or with others, or joins one, at first without a vote.
// Start returns when it votes. A data directory remembers to which store it
// belongs, so the same settings start it again.
//
// # One process for a directory
//
// Start first locks a file in the directory, without waiting long, so that a
// second process fails with DATA_DIR_IN_USE; etcd on its own would wait
// forever. It fails with DATA_DIR if the directory cannot be used, and with
// STORE_FORMAT if a newer etcd wrote it. Files are checked before etcd maps
// them, because etcd exits the process when it finds a broken one.
//
// # A disk that fails
//
// etcd ends its process when it cannot write. Here only the etcd ends: requests
// fail, [Server.Check] says why, and the Server starts etcd again when the
// directory is there and has room. The client stays the same; it connects again,
// and its watches continue.
//
// # Concurrency
//
// Several servers can run in one process. Client can be used from many
// goroutines. Close can be called more than once.
package etcdembed

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/ruedo-dev/ruedo/internal/etcdembed/datadir"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/peers"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet/unbroken"
)

// DefaultReserve is the default of Config.ReserveBytes.
const DefaultReserve = 16 << 20

// Config configures a Server. The zero Config is a temporary store.
type Config struct {
	// Dir holds the data; it is created with mode 0700 if it is missing. Empty
	// means a temporary directory that Close removes; a crash of the machine ends
	// it as well, so nothing waits for its disk.
	Dir string
	// ListenClient is a loopback address such as "127.0.0.1:0" for clients in
	// other processes. If empty, the server does not listen.
	ListenClient string
	// QuotaBytes is the maximum size of the database. Zero means 2 GiB. etcd that
	// has reached it grants no leases either, until it is defragmented.
	QuotaBytes int64
	// FullBytes is the size at which [Server.Quota] reports a full store. Set it
	// below QuotaBytes, so that leases are granted in a full store. Zero means never.
	FullBytes int64
	// ReserveBytes is how much of the disk is kept free for etcd itself: Check
	// returns STORE_FULL if less is left. Zero means [DefaultReserve].
	ReserveBytes int64
	// UnsafeNoFsync makes writes fast, but a crash of the machine loses data.
	// For tests.
	UnsafeNoFsync bool
	// Peers makes the server one of several members. Its defaults are filled in;
	// see [peers.Config.WithDefaults]. Nil: it is alone, and nobody can join it.
	Peers *peers.Config
	// StartTimeout bounds a start, which waits for a quorum if there are several
	// members. Zero means 30 s.
	StartTimeout time.Duration
	// recover makes the member the only one; see [Recover].
	recover bool
	// Logger gets etcd's messages at debug level and its errors as warnings, and
	// reports when etcd has failed and when it runs again. Nil discards them.
	Logger *slog.Logger
}

const (
	// defaultStart is the default of Config.StartTimeout.
	defaultStart = 30 * time.Second
	// reconnectMax is the longest wait before the client tries to reach a new
	// etcd.
	reconnectMax = 500 * time.Millisecond
)

// Server is an etcd that is started again after a failure.
type Server struct {
	cfg      Config
	client   *clientv3.Client
	dir      *datadir.Dir
	files    *datadir.Files
	endpoint string
	// running is the etcd that serves, or that has just failed; nil while there
	// is none.
	running atomic.Pointer[member]
	// outage is why running is nil.
	outage atomic.Pointer[outage]
	// quorum is why writes cannot succeed although etcd runs; nil if they can.
	quorum atomic.Pointer[fault.Error]

	cancel   context.CancelFunc
	wg       sync.WaitGroup
	close    sync.Once
	closeErr error
}

// Start starts a server and returns it when it is ready to read and write. It
// binds no port except those that the Config names. The error is DATA_DIR,
// DATA_DIR_IN_USE, STORE_FORMAT, PORT_IN_USE, CONFIG_INVALID or ctx's error; with
// several members also STORE_NO_QUORUM, CLUSTER_MISMATCH, MEMBER_REMOVED,
// ALREADY_EXISTS or an error of the core that it asks to join. It can start on a
// full disk if etcd has nothing to write that needs room.
func Start(ctx context.Context, cfg Config) (_ *Server, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.ReserveBytes == 0 {
		cfg.ReserveBytes = DefaultReserve
	}
	cfg.StartTimeout = cmp.Or(cfg.StartTimeout, defaultStart)
	cfg.UnsafeNoFsync = cfg.UnsafeNoFsync || cfg.Dir == ""
	outer := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.StartTimeout, fault.New(fault.DataDir, "the embedded store was not ready within %v", cfg.StartTimeout))
	defer cancel()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ln, err := listen(ctx, cfg.ListenClient)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg}
	defer func() {
		if err != nil {
			if ln != nil {
				_ = ln.Close()
			}
			if s.dir != nil {
				_ = s.dir.Release()
			}
		}
	}()
	if s.dir, err = datadir.Open(ctx, cfg.Dir, cfg.ReserveBytes); err != nil {
		return nil, err
	}
	m, err := startMember(ctx, s.dir, cfg, ln, true)
	if err != nil {
		return nil, err
	}
	if s.files, err = datadir.OpenFiles(s.dir.Path); err != nil {
		m.stop()
		return nil, s.dir.Unusable(err)
	}
	if s.client, err = s.connect(); err != nil {
		m.stop()
		return nil, err
	}
	if ln != nil {
		s.endpoint = ln.Addr().String()
	}
	s.running.Store(m)
	if err := s.announce(ctx, m); err != nil {
		_ = s.client.Close()
		m.stop()
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(outer))
	s.cancel = stop
	s.wg.Go(func() { s.supervise(run, m) })
	if cfg.Peers != nil {
		s.wg.Go(func() { s.watchQuorum(run) })
	}
	return s, nil
}

// connect returns a client that is connected through memory to whichever etcd
// runs.
func (s *Server) connect() (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"embedded"},
		// The client reports its problems as errors, too.
		Logger: zap.NewNop(),
		DialOptions: append(unbroken.DialOptions(),
			grpc.WithInitialWindowSize(streamBytes),
			grpc.WithInitialConnWindowSize(connBytes),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				if m := s.running.Load(); m != nil {
					return m.memory.DialContext(ctx)
				}
				return nil, errors.New("the embedded store does not run")
			}),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectMax},
				MinConnectTimeout: reconnectMax,
			}),
		),
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot make a client of the embedded store")
	}
	return client, nil
}

// Client returns a client that reaches the server without a network. It is
// closed with the server; do not close it.
func (s *Server) Client() *clientv3.Client { return s.client }

// Endpoint returns the host and port for clients in other processes; empty if
// the server does not listen.
func (s *Server) Endpoint() string { return s.endpoint }

// Close stops the server within a bounded time, even if etcd has failed. It
// removes a temporary directory. The error is that of the removal, or says that
// a healthy etcd did not stop.
func (s *Server) Close() error {
	s.close.Do(func() {
		s.cancel()
		s.wg.Wait()
		_ = s.client.Close()
		if m := s.running.Load(); m != nil && !m.stop() && !m.failure.failed() {
			s.closeErr = fault.New(fault.Internal, "the embedded store did not stop within %v", stopTimeout)
		}
		s.closeErr = errors.Join(s.closeErr, s.dir.Release())
	})
	return s.closeErr
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
		return nil, fault.Wrap(err, fault.ConfigInvalid, "the embedded store cannot listen on %s: %v", addr, datadir.Cause(err))
	}
	return ln, nil
}
