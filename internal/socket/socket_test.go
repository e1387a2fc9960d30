//go:build linux || darwin || freebsd

package socket_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/socket"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// nobody is a user who is neither root nor whoever runs the tests.
const nobody = 65534

// As another user, this program connects to the socket that it is told.
func TestMain(m *testing.M) {
	path := os.Getenv("RUEDO_TEST_SOCKET")
	if path == "" {
		os.Exit(m.Run())
	}
	if os.Getenv("RUEDO_TEST_LISTEN") != "" {
		l, err := net.Listen("unix", path)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("listening", os.Chmod(path, 0o777))
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = l.Close()
		os.Exit(0)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	fmt.Println(err)
	os.Exit(0)
}

// asNobody returns a command that runs this program as another user.
func asNobody(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	// Everybody can enter its directory, and no other.
	dir, err := os.MkdirTemp("", "socket-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.ReadFile(must(os.Executable()))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, self, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, program} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// shared returns a directory that everybody can enter; t.TempDir is below one that
// only its owner can.
func shared(t *testing.T, mode os.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "socket-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

func listen(t *testing.T, cfg socket.Config) *socket.Listener {
	t.Helper()
	l, err := socket.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// greet says a word to everybody who is let in.
func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "hello")
		_ = c.Close()
	}
}

func TestACoreAndItsClientMeet(t *testing.T) {
	// Whatever files are made with, the socket is for nobody else.
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(t.TempDir(), "ruedo")
	dirs := []string{filepath.Join(t.TempDir(), "no", "such"), dir}
	if got := socket.Path(dirs, 7833); got != "" {
		t.Errorf("found %s before there is one", got)
	}
	l := listen(t, socket.Config{Dirs: dirs, Port: 7833})
	go greet(l)
	for path, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, l.Path(): 0o600 | os.ModeSocket} {
		if info := must(os.Lstat(path)); info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
	if got := socket.Path(dirs, 7833); got != l.Path() || got != filepath.Join(dir, "core-7833.sock") {
		t.Fatalf("the core is at %s, the client looks at %q", l.Path(), got)
	}
	if got := socket.Path(dirs, 7834); got != "" {
		t.Errorf("the core on another port is at %s", got)
	}
	c, err := socket.Dial(t.Context(), l.Path())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	_ = c.Close()
	_, err = socket.Listen(socket.Config{Dirs: dirs, Port: 7833})
	testkit.WantReason(t, err, fault.PortInUse, "is in use by another process")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := socket.Path(dirs, 7833); got != "" {
		t.Errorf("%s is still there", got)
	}
}

func TestASocketThatWasLeftBehindIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "core.sock")
	dead := must(net.ListenUnix("unix", &net.UnixAddr{Name: path}))
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	l := listen(t, socket.Config{Path: path})
	go greet(l)
	c, err := socket.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestPlacesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(dir, strings.Repeat("x", 120))
	for name, c := range map[string]struct {
		cfg    socket.Config
		reason fault.Reason
		want   []string
	}{
		"not absolute":        {socket.Config{Path: "core.sock"}, fault.ConfigInvalid, []string{"is not an absolute path"}},
		"abstract":            {socket.Config{Path: "@core"}, fault.ConfigInvalid, []string{"is not an absolute path"}},
		"too long":            {socket.Config{Path: long}, fault.ConfigInvalid, []string{fmt.Sprintf("the path has %d bytes, the system's limit for sockets is 10", len(long))}},
		"no directory":        {socket.Config{Path: filepath.Join(dir, "none", "core.sock")}, fault.DataDir, []string{"no such file or directory"}},
		"a file":              {socket.Config{Path: file}, fault.DataDir, []string{"a file that is not a socket"}},
		"others can write":    {socket.Config{Path: filepath.Join(shared(t, 0o777), "core.sock")}, fault.DataDir, []string{"others can write to its directory (mode 0777)"}},
		"all are too long":    {socket.Config{Dirs: []string{long}}, fault.DataDir, []string{"no safe directory", "the system's limit for sockets"}},
		"a link":              {socket.Config{Dirs: []string{link}}, fault.DataDir, []string{link + " (it is not a directory)"}},
		"a file as directory": {socket.Config{Dirs: []string{file}}, fault.DataDir, []string{"it is not a directory"}},
	} {
		if l, err := socket.Listen(c.cfg); err == nil {
			t.Errorf("%s: listens at %s", name, l.Path())
			_ = l.Close()
		} else {
			testkit.WantReason(t, err, c.reason, c.want...)
		}
	}
	if got := must(os.ReadFile(file)); string(got) != "precious" {
		t.Errorf("the file has changed: %s", got)
	}
	if got := socket.Path([]string{link, file}, 7833); got != "" {
		t.Errorf("a client trusts %s", got)
	}
}

// Somebody else who comes first gets nobody to listen or to talk there.
func TestPlantedByAnotherUser(t *testing.T) {
	dir := shared(t, 0o755)
	planted := filepath.Join(dir, "core-7833.sock")
	cmd := asNobody(t, "RUEDO_TEST_LISTEN=yes", "RUEDO_TEST_SOCKET="+planted)
	stdin := must(cmd.StdinPipe())
	stdout := must(cmd.StdoutPipe())
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}()
	line := make([]byte, len("listening <nil>\n"))
	if _, err := io.ReadFull(stdout, line); err != nil || string(line) != "listening <nil>\n" {
		t.Fatalf("%s, %v", line, err)
	}
	_, err := socket.Listen(socket.Config{Dirs: []string{dir}, Port: 7833})
	testkit.WantReason(t, err, fault.DataDir, fmt.Sprintf("it belongs to uid %d", nobody))
	_, err = socket.Listen(socket.Config{Path: planted})
	testkit.WantReason(t, err, fault.DataDir, fmt.Sprintf("its directory belongs to uid %d", nobody))
	// The directory above is one in which everybody can make directories.
	if got := socket.Path([]string{dir}, 7833); got != "" {
		t.Errorf("a client trusts %s", got)
	}
	// In a directory of one's own, a socket of somebody else is not replaced.
	if err := os.Chown(dir, os.Geteuid(), -1); err != nil {
		t.Fatal(err)
	}
	_, err = socket.Listen(socket.Config{Dirs: []string{dir}, Port: 7833})
	testkit.WantReason(t, err, fault.DataDir, fmt.Sprintf("there is one that belongs to uid %d", nobody))
}

// Even if others get to the socket, they are not let in.
func TestAnotherUserIsRefused(t *testing.T) {
	dir := shared(t, 0o755)
	var log testkit.Log
	l := listen(t, socket.Config{Path: filepath.Join(dir, "core.sock"), Logger: log.Logger()})
	go greet(l)
	for _, mode := range []os.FileMode{0o600, 0o777} {
		if err := os.Chmod(l.Path(), mode); err != nil {
			t.Fatal(err)
		}
		out, err := asNobody(t, "RUEDO_TEST_SOCKET="+l.Path()).CombinedOutput()
		want := map[os.FileMode]string{0o600: "permission denied", 0o777: "EOF"}[mode]
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("mode %04o: %s, %v; want %s", mode, out, err, want)
		}
	}
	if !strings.Contains(log.String(), fmt.Sprintf("uid=%d", nobody)) {
		t.Errorf("the log says nothing of it: %s", log.String())
	}
}

// A service has a directory that root has made for it.
func TestRootFindsTheSocketOfAService(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	run := shared(t, 0o755)
	dir := filepath.Join(run, "ruedo")
	l := listen(t, socket.Config{Dirs: []string{dir}, Port: 7833})
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if got := socket.Path([]string{dir}, 7833); got != l.Path() {
		t.Errorf("root looks at %q", got)
	}
	for _, mode := range []os.FileMode{0o777, 0o777 | os.ModeSticky} {
		if err := os.Chmod(run, mode); err != nil {
			t.Fatal(err)
		}
		if got := socket.Path([]string{dir}, 7833); got != "" {
			t.Errorf("mode %v: root trusts %q, which anybody can have made", mode, got)
		}
	}
}

func TestFind(t *testing.T) {
	dirs := []string{filepath.Join(t.TempDir(), "ruedo")}
	l := listen(t, socket.Config{Dirs: dirs, Port: 7833})
	go greet(l)
	for at, want := range map[string]string{
		"http://127.0.0.1:7833": l.Path(), "https://localhost:7833/": l.Path(), "http://[::1]:7833": l.Path(),
		"http://127.0.0.1:7834": "", "http://10.0.0.1:7833": "", "https://example.com:7833": "", "http://localhost": "", "127.0.0.1:7833": "", "": "",
	} {
		if got := socket.Find(t.Context(), dirs, at); got != want {
			t.Errorf("%s: %q", at, got)
		}
	}
	// One that a core has left behind is no way to reach it.
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if got := socket.Find(t.Context(), dirs, "http://127.0.0.1:7833"); got != "" {
		t.Errorf("a dead one: %q", got)
	}
}

func TestDirs(t *testing.T) {
	env := map[string]string{}
	uid := fmt.Sprint(os.Geteuid())
	for _, c := range []struct{ runtime, temp, want string }{
		{"", "", "/run/ruedo /tmp/ruedo-" + uid},
		{"/run/user/7", "/var/tmp", "/run/ruedo /run/user/7/ruedo /var/tmp/ruedo-" + uid},
		{"relative", "relative", "/run/ruedo /tmp/ruedo-" + uid},
	} {
		env["XDG_RUNTIME_DIR"], env["TMPDIR"] = c.runtime, c.temp
		if got := strings.Join(socket.Dirs(func(key string) string { return env[key] }), " "); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := socket.Dial(ctx, filepath.Join(t.TempDir(), "none")); err == nil {
		_ = c.Close()
		t.Error("dialled")
	}
}

// dead makes a socket that nobody listens on.
func dead(t *testing.T, path string) {
	t.Helper()
	l := must(net.ListenUnix("unix", &net.UnixAddr{Name: path}))
	l.SetUnlinkOnClose(false)
	_ = l.Close()
}

// Cores that are killed leave their sockets behind. The next one removes them, and
// nothing else.
func TestSocketsOfCoresThatWereKilledAreSwept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ruedo")
	alive := listen(t, socket.Config{Dirs: []string{dir}, Port: 7003})
	go greet(alive)
	killed := exec.Command(must(os.Executable()))
	killed.Env = append(os.Environ(), "RUEDO_TEST_LISTEN=1", "RUEDO_TEST_SOCKET="+filepath.Join(dir, "core-7001.sock"))
	in, out := must(killed.StdinPipe()), must(killed.StdoutPipe())
	defer in.Close()
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("listening"))
	if _, err := io.ReadFull(out, line); err != nil {
		t.Fatal(err)
	}
	_ = killed.Process.Kill()
	_ = killed.Wait()

	dead(t, filepath.Join(dir, "core-7002.sock"))
	stay := []string{"core-7003.sock", "core-7004.sock", "core-x.sock", "core-07005.sock", "core-70000.sock", "core-7006.sock.old", "other.sock"}
	if err := os.WriteFile(filepath.Join(dir, "core-7004.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range stay[2:] {
		dead(t, filepath.Join(dir, name))
	}
	if os.Geteuid() == 0 {
		stay = append(stay, "core-7007.sock")
		dead(t, filepath.Join(dir, "core-7007.sock"))
		if err := os.Chown(filepath.Join(dir, "core-7007.sock"), nobody, -1); err != nil {
			t.Fatal(err)
		}
	}
	// One in a place of its own is no reason to tidy up.
	l := listen(t, socket.Config{Path: filepath.Join(dir, "mine.sock")})
	if _, err := os.Lstat(filepath.Join(dir, "core-7002.sock")); err != nil {
		t.Error(err)
	}
	_ = l.Close()

	var log testkit.Log
	l = listen(t, socket.Config{Dirs: []string{dir}, Port: 7833, Logger: log.Logger()})
	var left []string
	for _, entry := range must(os.ReadDir(dir)) {
		left = append(left, entry.Name())
	}
	want := append([]string{"core-7833.sock"}, stay...)
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}
	for _, name := range []string{"core-7001.sock", "core-7002.sock"} {
		if !strings.Contains(log.String(), name) {
			t.Errorf("the log says nothing of %s: %s", name, log.String())
		}
	}
	for _, l := range []*socket.Listener{l, alive} {
		c, err := socket.Dial(t.Context(), l.Path())
		if err != nil {
			t.Errorf("%s: %v", l.Path(), err)
			continue
		}
		_ = c.Close()
	}
}

// Whoever sweeps does not take a socket that another core is just opening for one that
// was left behind.
func TestCoresThatStartAtOnceKeepTheirSockets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ruedo")
	const cores, rounds = 8, 25
	for range rounds {
		var all [cores]*socket.Listener
		var wg sync.WaitGroup
		for i := range all {
			wg.Go(func() {
				l, err := socket.Listen(socket.Config{Dirs: []string{dir}, Port: 7000 + i})
				if err != nil {
					t.Error(err)
					return
				}
				all[i] = l
			})
		}
		wg.Wait()
		for _, l := range all {
			if l == nil {
				continue
			}
			if _, err := os.Lstat(l.Path()); err != nil {
				t.Errorf("%s was removed", l.Path())
			}
			_ = l.Close()
		}
		if t.Failed() {
			return
		}
	}
}
