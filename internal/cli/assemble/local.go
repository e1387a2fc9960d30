package assemble

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Local starts store, core and runner within this process and returns a client
// of the core: mode local. They end with Close. Nothing listens; the client
// talks to the core through memory. If there is no store yet, create makes one;
// otherwise an empty one stands in for it and leaves nothing behind.
func (a *Assembler) Local(ctx context.Context, log *slog.Logger, create bool) (*client.Client, error) {
	dir, err := a.localDir(create)
	if err != nil {
		return nil, err
	}
	st, err := a.openLocalStore(ctx, dir, log)
	if err != nil {
		return nil, err
	}
	local, err := a.newRunner(ctx, log, func(cfg *runner.Config) { cfg.Name = "local" })
	if err != nil {
		return nil, err
	}
	c, err := a.newCore(ctx, log, st, func(cfg *core.Config) {
		cfg.Listen, cfg.Local = "-", local
	})
	if err != nil {
		return nil, err
	}
	return a.inMemory(c.Handler()), nil
}

// Scratch returns an assembler with the same settings for a cluster of its own, on
// a store that is gone with its Close.
func (a *Assembler) Scratch() (*Assembler, error) {
	dir, err := os.MkdirTemp("", "ruedo-scratch-")
	if err != nil {
		return nil, fault.Wrap(err, fault.DataDir, "a temporary directory cannot be created: %s", errors.Unwrap(err))
	}
	set := *a.Settings
	set.Store.EtcdHosts, set.Store.DataDir = nil, dir
	own := &Assembler{Settings: &set, CacheDir: a.CacheDir, Compiler: a.Compiler, Version: a.Version}
	own.onClose("the store", func() error { return os.RemoveAll(dir) })
	return own, nil
}

// localDir returns the data directory of mode local.
func (a *Assembler) localDir(create bool) (string, error) {
	dir := a.dataDir()
	if !create && !a.HasStore() {
		a.infof("local: there is no store in %s yet", dir)
		empty, err := os.MkdirTemp("", "ruedo-empty-")
		if err != nil {
			return "", fault.Wrap(err, fault.DataDir, "a temporary directory cannot be created: %s", errors.Unwrap(err))
		}
		a.onClose("the empty store", func() error { return os.RemoveAll(empty) })
		return empty, nil
	}
	a.infof("local: %s", dir)
	if a.Settings.Store.DataDir == "" {
		return dir, ignored(a.Settings.Application.WorkingDir)
	}
	return dir, nil
}

// openLocalStore is openStore, but waits up to 5 s while another command uses
// the directory.
func (a *Assembler) openLocalStore(ctx context.Context, dir string, log *slog.Logger) (st store.Config, err error) {
	for end := time.Now().Add(5 * time.Second); ; {
		st, err = a.openStore(ctx, dir, log, nil)
		if !errors.Is(err, fault.DataDirInUse) || time.Now().After(end) {
			return st, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return st, ctx.Err()
		}
	}
}

// ignored makes the working directory, with a .gitignore that excludes all of
// it.
func ignored(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Wrap(err, fault.DataDir, "the working directory %s cannot be created: %s", dir, errors.Unwrap(err)).
			WithFix("choose another with --working-dir or RUEDO_APPLICATION_WORKING_DIR")
	}
	path := filepath.Join(dir, ".gitignore")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.WriteFile(path, []byte("*\n"), 0o600); err != nil {
		return fault.Wrap(err, fault.DataDir, "the working directory %s cannot be written: %s", dir, errors.Unwrap(err)).
			WithFix("choose another with --working-dir or RUEDO_APPLICATION_WORKING_DIR")
	}
	return nil
}

// inMemory returns a client whose connections are pipes to the handler.
func (a *Assembler) inMemory(h http.Handler) *client.Client {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) }) // Serve only reports that the server was closed
	transport := &http.Transport{DialContext: l.dial, DisableCompression: true}
	a.onClose("the port in memory", func() error {
		transport.CloseIdleConnections()
		err := patient(srv.Shutdown)()
		serving.Wait()
		return err
	})
	return client.New("http://local", client.WithHTTPClient(&http.Client{Transport: transport}), client.WithRetries(0))
}

// pipeListener accepts connections that are dialled in the same process.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

var _ net.Listener = (*pipeListener)(nil)

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "memory" }
func (pipeAddr) String() string  { return "memory" }
