// Package socket is the door of a core for those who own its machine: a unix socket
// that only the user of the core and root can use.
//
//	l, err := socket.Listen(socket.Config{Port: 7833}) // a core
//	path := socket.Find(ctx, dirs, "http://127.0.0.1:7833") // a client on the same machine
//	conn, err := socket.Dial(ctx, path)
//
// The socket is in a directory that only its owner can enter, it is only for its owner
// itself, and the system is asked who is at the other end of each connection: any one
// of the three would do. Clients look in directories that nobody but themselves and
// root could have made, and ask who is at the other end, too.
package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/loopback"
	"github.com/ruedo-dev/ruedo/internal/text"
)

const (
	// dialTimeout bounds how long Listen waits for whoever has the socket.
	dialTimeout = 2 * time.Second
	// findTimeout is the same for Find, whose caller has another way.
	findTimeout = 200 * time.Millisecond
)

// Config configures Listen.
type Config struct {
	// Path is where the socket will be. Default: in the first of Dirs that can be had.
	Path string
	// Dirs are directories for sockets. Default: Dirs(os.Getenv).
	Dirs []string
	// Port is the TCP port of the core, which names the socket.
	Port int
	// Logger is told of connections that are refused. Default: it is told to nobody.
	Logger *slog.Logger
}

// Dirs returns the directories for sockets of cores, in the order in which they are
// tried.
func Dirs(getenv func(string) string) []string {
	list := []string{"/run/ruedo"}
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		list = append(list, filepath.Join(dir, "ruedo"))
	}
	temp := getenv("TMPDIR")
	if !filepath.IsAbs(temp) {
		temp = "/tmp"
	}
	return append(list, filepath.Join(temp, "ruedo-"+strconv.Itoa(os.Geteuid())))
}

// name returns the name of the socket of the core on a port.
func name(port int) string { return "core-" + strconv.Itoa(port) + ".sock" }

// Listener accepts connections of the user of this process and of root. Others are
// closed.
type Listener struct {
	*net.UnixListener
	log *slog.Logger
}

// Listen opens a socket. The listener removes it when it is closed. What cores that were
// killed have left behind in one of Dirs is removed as well. Errors: DATA_DIR if
// there is no safe place for it; PORT_IN_USE if a process uses it; CONFIG_INVALID if its
// path is too long; UNIMPLEMENTED on systems that do not tell who connects.
func Listen(cfg Config) (*Listener, error) {
	if !supported {
		return nil, fault.New(fault.Unimplemented, "a core on %s has no socket, because the system does not tell who connects to it", runtime.GOOS).
			WithFix("set server.socket to off")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	path, err := cfg.place()
	if err != nil {
		return nil, err
	}
	release := alone(filepath.Dir(path))
	if release != nil {
		defer release()
	}
	if err := vacate(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, unusable(path, text.Cause(err))
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(unusable(path, text.Cause(err)), l.Close())
	}
	if release != nil && cfg.Path == "" {
		if gone := sweep(filepath.Dir(path)); len(gone) > 0 {
			cfg.Logger.Info("sockets of cores that were killed were removed", "directory", filepath.Dir(path), "sockets", gone)
		}
	}
	return &Listener{l, cfg.Logger}, nil
}

func unusable(path, why string) *fault.Error {
	return fault.New(fault.DataDir, "the socket %s cannot be used: %s", path, why).
		WithFix("set server.socket to a path in a directory of your own, or to off")
}

// place returns a path that only this user and root can change.
func (cfg Config) place() (string, error) {
	if cfg.Path != "" {
		return explicit(cfg.Path)
	}
	if cfg.Dirs == nil {
		cfg.Dirs = Dirs(os.Getenv)
	}
	var failed []string
	for _, dir := range cfg.Dirs {
		path := filepath.Join(dir, name(cfg.Port))
		err := tooLong(path)
		if err == nil {
			err = own(dir)
		}
		if err == nil {
			return path, nil
		}
		failed = append(failed, fmt.Sprintf("%s (%s)", dir, text.Cause(err)))
	}
	return "", fault.New(fault.DataDir, "there is no safe directory for the socket of the core: %s", strings.Join(failed, ", ")).
		WithFix("set server.socket to a path in a directory of your own, or to off")
}

// explicit returns a path that the user has chosen.
func explicit(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fault.New(fault.ConfigInvalid, "server.socket %q is not an absolute path", fault.Cut(path, 128))
	}
	if err := tooLong(path); err != nil {
		return "", fault.Wrap(err, fault.ConfigInvalid, "server.socket %s is too long: %s", path, err).WithFix("use a directory with a shorter path")
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return "", unusable(path, text.Cause(err))
	case !mine(info) && owner(info) != 0:
		return "", unusable(path, fmt.Sprintf("its directory belongs to uid %d", owner(info)))
	case writable(info) && info.Mode()&fs.ModeSticky == 0:
		return "", unusable(path, fmt.Sprintf("others can write to its directory (mode %04o)", info.Mode().Perm()))
	}
	return path, nil
}

func tooLong(path string) error {
	if len(path) > longest {
		return fmt.Errorf("the path has %d bytes, the system's limit for sockets is %d", len(path), longest)
	}
	return nil
}

// own makes a directory that only this user can enter, or finds one.
func own(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return errors.New("it is not a directory")
	case !mine(info):
		return fmt.Errorf("it belongs to uid %d", owner(info))
	case info.Mode().Perm() != 0o700:
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// mine reports whether a file belongs to the user of this process.
func mine(info fs.FileInfo) bool { return owner(info) == os.Geteuid() }

// writable reports whether others than its owner can write to a file.
func writable(info fs.FileInfo) bool { return info.Mode().Perm()&0o022 != 0 }

// vacate removes a socket that a core has left behind.
func vacate(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return unusable(path, text.Cause(err))
	case info.Mode().Type() != fs.ModeSocket:
		return unusable(path, "there is a file that is not a socket")
	case !mine(info):
		return unusable(path, fmt.Sprintf("there is one that belongs to uid %d", owner(info)))
	}
	c, err := net.DialTimeout("unix", path, dialTimeout)
	if err == nil {
		_ = c.Close()
		return fault.New(fault.PortInUse, "the socket %s is in use by another process", path).WithFix("stop that process, or choose another port")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return unusable(path, text.Cause(err))
	}
	if err := os.Remove(path); err != nil {
		return unusable(path, text.Cause(err))
	}
	return nil
}

// Path returns the path of the socket.
func (l *Listener) Path() string { return l.Addr().String() }

// Accept returns the next connection of somebody who may use the socket.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peer(c)
		if err == nil && (uid == os.Geteuid() || uid == 0) {
			return c, nil
		}
		l.log.Warn("a connection to the socket was refused", "uid", uid, "error", err)
		_ = c.Close()
	}
}

// Find returns the path of the socket of the core at a URL; "" if that is not an address
// of this machine alone, or if there is no socket in these directories that can be
// trusted and that accepts connections.
func Find(ctx context.Context, dirs []string, at string) string {
	u, err := url.Parse(at)
	if err != nil || !loopback.Is(u.Host) {
		return ""
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return "" // no core listens on the usual ports of HTTP
	}
	path := Path(dirs, port)
	if path == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	c, err := Dial(ctx, path)
	if err != nil {
		return ""
	}
	_ = c.Close()
	return path
}

// Path returns the path of the socket of the core that listens on a port of this
// machine; "" if there is none in these directories, or none that can be trusted.
func Path(dirs []string, port int) string {
	if !supported {
		return ""
	}
	for _, dir := range dirs {
		if !trusted(dir) {
			continue
		}
		path := filepath.Join(dir, name(port))
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
			return path
		}
	}
	return ""
}

// trusted reports whether nobody but the user of this process and root can have put a
// socket into a directory. Root also trusts a directory that it has given to somebody,
// such as that of a service.
func trusted(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || writable(info) {
		return false
	}
	if mine(info) || owner(info) == 0 {
		return true
	}
	above, err := os.Lstat(filepath.Dir(dir))
	return err == nil && os.Geteuid() == 0 && above.IsDir() && owner(above) == 0 && !writable(above)
}

// Dial connects to the socket of a core. It fails with CORE_UNREACHABLE if somebody else
// than the user of this process or root is at the other end, unless root asks.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	uid, err := peer(c.(*net.UnixConn))
	if me := os.Geteuid(); err == nil && uid != me && uid != 0 && me != 0 {
		err = fault.New(fault.CoreUnreachable, "the process at the socket %s belongs to uid %d, and is not asked", path, uid)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}
