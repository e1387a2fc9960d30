package session

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/assemble"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/cli/userdir"
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
		s.parts = &assemble.Assembler{Settings: s.Settings, CacheDir: s.CacheDir(), Compiler: s.Compiler, Hasher: s.Hasher, Version: s.Version, Getenv: s.Getenv}
		if !s.Quiet {
			s.parts.Infof = s.Infof
		}
	}
	return s.parts
}

// Close stops what the command started, and remembers which core has answered.
func (s *Session) Close() error {
	if s.answered != nil {
		s.answered()
	}
	s.renew()
	if s.closeLog != nil {
		defer s.closeLog()
	}
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
	target, err := s.target(s.Ctx)
	if err != nil {
		return nil, err
	}
	if target == nil {
		c, err := s.Assembler().Local(s.Ctx, s.QuietLogger(), create)
		if err != nil {
			return nil, err
		}
		s.core, s.local = c, true
		return c, nil
	}
	s.origin = target.Origin
	at, opts, err := s.access(s.Ctx, target)
	if err != nil {
		return nil, err
	}
	if s.Verbose {
		s.Infof("core: %s (%s)", strings.Join(at, " "), target.Origin)
		if s.cred != nil {
			s.Infof("token: from %s", s.cred.Origin)
		}
	}
	s.core = s.remember(target.Hosts, at, opts)
	return s.core, nil
}

// Remote returns a client of the cores that the settings name. It is nil if that
// is a core in this process; Remote starts none.
func (s *Session) Remote(ctx context.Context) (*client.Client, error) {
	target, err := s.target(ctx)
	if err != nil || target == nil {
		return nil, err
	}
	at, opts, err := s.access(ctx, target)
	if err != nil {
		return nil, err
	}
	return client.New(strings.Join(at, " "), opts...), nil
}

// ConnectToEmpty returns a client of an empty cluster in this process, which is
// gone with Close. Connect returns it from then on.
func (s *Session) ConnectToEmpty() (*client.Client, error) {
	parts, err := s.Assembler().Scratch()
	if err != nil {
		return nil, err
	}
	s.parts, s.local = parts, true
	s.core, err = parts.Local(s.Ctx, s.QuietLogger(), true)
	return s.core, err
}

// At returns a client of the core at a URL that another core has named. It is shown
// the same token: who gave the URL has had it, and TLS says that the core is of the
// same cluster.
func (s *Session) At(url string) (*client.Client, error) {
	target, err := s.Settings.Target()
	if err != nil {
		return nil, err
	}
	target.Hosts = []string{url}
	at, opts, err := s.access(s.Ctx, &target)
	if err != nil {
		return nil, err
	}
	return client.New(at[0], opts...), nil
}

// HostHint says how commands reach the core at a URL, or "" if it is where they
// look first.
func (s *Session) HostHint(url string) string {
	target, err := s.Settings.Target()
	if err == nil && url == assemble.URL(target.Hosts[0], s.Settings.Client.Port) {
		return ""
	}
	return "\nwith RUEDO_CLIENT_HOST=" + url + "\n"
}

// Local reports whether Connect has returned a core in this process, which ends
// with the command.
func (s *Session) Local() bool { return s.local }

// target returns the URLs of the cores to talk to, or nil if it is the one in
// this process. That has to be asked for, or there must be a local store already:
// a command that finds no core must not work on another store than the user
// meant.
func (s *Session) target(ctx context.Context) (*settings.Target, error) {
	set := s.Settings
	if set.Application.Mode == ModeLocal {
		return nil, nil
	}
	target, err := set.Target()
	if err != nil {
		return nil, err
	}
	for i, host := range target.Hosts {
		target.Hosts[i] = assemble.URL(host, set.Client.Port)
	}
	switch {
	case target.Given:
	case set.Application.Mode == ModeServer:
		// On the machine of a server its own address is the nearest.
		target.Hosts = []string{"http://" + net.JoinHostPort(set.Server.ListenAddress, strconv.Itoa(set.Server.Port))}
	case set.Application.Mode == "" && !set.IsSet("client.port") && s.Assembler().HasStore() && s.nearest(ctx, target.Hosts[0]) == target.Hosts[0] && !Listening(ctx, target.Hosts[0]):
		return nil, nil
	}
	return &target, nil
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
	dir := userdir.Cache(s.Getenv)
	if dir == "" || os.MkdirAll(dir, 0o700) != nil {
		return ""
	}
	return dir
}
