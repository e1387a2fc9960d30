package session

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/assemble"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// The values of the setting application.mode.
const (
	ModeLocal  = "local"
	ModeClient = "client"
	ModeServer = "server"
	ModeRunner = "runner"
)

// Assembler returns what makes the processes that this one consists of.
func (s *Session) Assembler() *assemble.Assembler {
	if s.parts == nil {
		s.parts = &assemble.Assembler{Settings: s.Settings, CacheDir: s.CacheDir(), Compiler: s.Compiler, Version: s.Version}
		if !s.Quiet {
			s.parts.Infof = s.Infof
		}
	}
	return s.parts
}

// Close stops what the command started.
func (s *Session) Close() error {
	if s.parts == nil {
		return nil
	}
	return s.parts.Close()
}

// Connect returns a client of the core that the settings name; in mode local, of
// one in this process. It does not wait for the core to answer. A local store
// that does not exist appears to be empty, and is not created.
func (s *Session) Connect() (*client.Client, error) { return s.connect(false) }

// ConnectToCreate is Connect for commands that create resources: it creates the
// store of mode local if there is none.
func (s *Session) ConnectToCreate() (*client.Client, error) { return s.connect(true) }

func (s *Session) connect(create bool) (*client.Client, error) {
	if s.core != nil {
		return s.core, nil
	}
	url, local := s.target(s.Ctx)
	if local {
		c, err := s.Assembler().Local(s.Ctx, s.QuietLogger(), create)
		if err != nil {
			return nil, err
		}
		s.core, s.local = c, true
		return c, nil
	}
	if s.Verbose {
		s.Infof("core: %s (client.host from %s)", url, s.Settings.Origin("client.host"))
	}
	s.core = s.At(url)
	return s.core, nil
}

// Remote returns a client of the core that the settings name, and its URL. The
// client is nil if that is a core in this process; Remote starts none.
func (s *Session) Remote(ctx context.Context) (core *client.Client, url string) {
	url, local := s.target(ctx)
	if local {
		return nil, ""
	}
	return s.At(url), url
}

// At returns a client of the core at a URL that another core has named.
func (s *Session) At(url string) *client.Client {
	return client.New(url, client.WithCluster(s.cluster()))
}

// cluster returns the cluster id if the user has set one. The default is not
// sent: it would exclude every cluster that has a name.
func (s *Session) cluster() string {
	if s.Settings.IsSet("application.cluster_id") {
		return s.Settings.Application.ClusterID
	}
	return ""
}

// Local reports whether Connect has returned a core in this process, which ends
// with the command.
func (s *Session) Local() bool { return s.local }

// target returns the URL of the core to talk to, or reports that it is the one
// in this process. That has to be asked for, or there must be a local store
// already: a command that finds no core must not work on another store than the
// user meant.
func (s *Session) target(ctx context.Context) (url string, local bool) {
	set := s.Settings
	url = assemble.URL(set.Client.Host, set.Client.Port)
	switch set.Application.Mode {
	case ModeLocal:
		return "", true
	case ModeServer:
		// On the machine of a server its own address is the nearest.
		if !set.IsSet("client.host") {
			return "http://" + net.JoinHostPort(set.Server.ListenAddress, strconv.Itoa(set.Server.Port)), false
		}
		return url, false
	case ModeClient, ModeRunner:
		return url, false
	}
	local = !set.IsSet("client.host") && !set.IsSet("client.port") && s.Assembler().HasStore() && !Listening(ctx, url)
	return url, local
}

// Listening reports whether anything accepts connections at an http URL. It
// waits 200 ms at most.
func Listening(ctx context.Context, url string) bool {
	d := net.Dialer{Timeout: 200 * time.Millisecond}
	c, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// CacheDir returns the directory for modules and compiled code. If the user has
// no place for it, it returns "": use a temporary one.
func (s *Session) CacheDir() string {
	if s.Settings.Runner.CacheDir != "" {
		return s.Settings.Runner.CacheDir
	}
	base := s.Getenv("XDG_CACHE_HOME")
	if base == "" {
		if home := s.Getenv("HOME"); home != "" {
			base = filepath.Join(home, ".cache")
		}
	}
	if base == "" {
		return ""
	}
	dir := filepath.Join(base, "ruedo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	return dir
}
