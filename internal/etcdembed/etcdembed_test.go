package etcdembed

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// holdEnv makes the test binary lock a directory, as another process would.
const holdEnv = "RUEDO_TEST_HOLD_DIR"

// aloneEnv marks a process that runs one test; see alone.
const aloneEnv = "RUEDO_TEST_ALONE"

// alone runs a test in a process of its own, and reports whether this is not that
// process. A failed etcd leaves goroutines behind until its process ends.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneEnv) != "" {
		return false
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), aloneEnv+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	switch {
	case err != nil:
		t.Error(err)
	case strings.Contains(string(out), "--- SKIP"):
		t.SkipNow()
	}
	return true
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		hold(dir)
		return
	}
	if os.Getenv(aloneEnv) != "" {
		os.Exit(m.Run())
	}
	// When etcd aborts a start because of a corrupt directory, it leaves these
	// two behind, and nothing can reach them to stop them.
	// TestManyServersInOneProcess checks that a successful start and stop
	// leaves none.
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("go.etcd.io/etcd/server/v3/storage/wal.(*filePipeline).run"),
		goleak.IgnoreTopFunction("go.etcd.io/etcd/server/v3/storage/backend.(*backend).run"))
}

// hold runs a server on dir until stdin ends.
func hold(dir string) {
	s, err := Start(context.Background(), Config{Dir: dir, UnsafeNoFsync: true})
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	defer func() { _ = s.Close() }()
	_, _ = os.Stdout.WriteString("ready\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	cfg.UnsafeNoFsync = true
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func put(t *testing.T, c *clientv3.Client, key, value string) {
	t.Helper()
	if _, err := c.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, c *clientv3.Client, key string) string {
	t.Helper()
	r, err := c.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

func TestTemporaryStoreIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	began := time.Now()
	s := start(t, Config{})
	t.Logf("ready in %v", time.Since(began))
	put(t, s.Client(), "a", "1")
	if got := get(t, s.Client(), "a"); got != "1" {
		t.Errorf("read %q, want 1", got)
	}
	if s.Endpoint() != "" {
		t.Errorf("listens on %s unasked", s.Endpoint())
	}
	if got := listening(t); got != 0 {
		t.Errorf("%d TCP sockets listen, want none", got)
	}
	stop(t, s)
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDataOutlivesTheServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	s := start(t, Config{Dir: dir})
	for i := range 2000 { // past a snapshot
		put(t, s.Client(), "k", strconv.Itoa(i))
	}
	stop(t, s)
	stop(t, s)
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v, want 0700", info.Mode(), err)
	}
	if got := get(t, start(t, Config{Dir: dir}).Client(), "k"); got != "1999" {
		t.Errorf("read %q after a restart, want 1999", got)
	}
}

func TestManyServersInOneProcess(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			s, err := Start(t.Context(), Config{Dir: filepath.Join(t.TempDir(), "d"), UnsafeNoFsync: true, ListenClient: "127.0.0.1:0"})
			if err != nil {
				t.Error(err)
				return
			}
			defer stop(t, s)
			want := strconv.Itoa(i)
			if _, err := s.Client().Put(t.Context(), "k", want); err != nil {
				t.Error(err)
			}
			r, err := s.Client().Get(t.Context(), "k")
			if err != nil || string(r.Kvs[0].Value) != want {
				t.Errorf("server %d: %v, %v", i, r, err)
			}
		})
	}
	wg.Wait()
}

func TestListenerServesOtherClients(t *testing.T) {
	s := start(t, Config{ListenClient: "127.0.0.1:0"})
	if host, _, err := net.SplitHostPort(s.Endpoint()); err != nil || host != "127.0.0.1" {
		t.Fatalf("endpoint %q", s.Endpoint())
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, DialTimeout: 2 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	put(t, s.Client(), "a", "1")
	if got := get(t, c, "a"); got != "1" {
		t.Errorf("read %q over the listener, want 1", got)
	}
}

func TestListenerStaysOnLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:2379", "example.com:2379", "localhost", "127.0.0.1"} {
		s, err := Start(t.Context(), Config{ListenClient: addr, UnsafeNoFsync: true})
		if !errors.Is(err, fault.ConfigInvalid) {
			t.Errorf("%q: %v, want CONFIG_INVALID", addr, err)
		}
		if s != nil {
			stop(t, s)
		}
	}
}

func TestPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = Start(t.Context(), Config{ListenClient: ln.Addr().String()})
	if !errors.Is(err, fault.PortInUse) || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("%v, want PORT_IN_USE with the address", err)
	}
}

// refused starts a server on dir, which must fail soon, name the directory and
// say what to do.
func refused(t *testing.T, dir string, want fault.Reason) string {
	t.Helper()
	began := time.Now()
	s, err := Start(t.Context(), Config{Dir: dir, UnsafeNoFsync: true})
	if s != nil {
		stop(t, s)
	}
	if !errors.Is(err, want) {
		t.Fatalf("%v, want %s", err, want)
	}
	e, _ := errors.AsType[*fault.Error](err)
	if !strings.Contains(e.Message, dir) || e.Fix == "" {
		t.Errorf("message %q, fix %q: no path or no fix", e.Message, e.Fix)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v to refuse", took)
	}
	t.Log(e.Message, "| fix:", e.Fix)
	return e.Message
}

func TestUnusableDirectories(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("a file", func(t *testing.T) {
		if msg := refused(t, file, fault.DataDir); !strings.Contains(msg, "is not a directory") {
			t.Error(msg)
		}
	})
	t.Run("below a file", func(t *testing.T) { refused(t, filepath.Join(file, "sub"), fault.DataDir) })
	t.Run("cannot be created", func(t *testing.T) { refused(t, "/proc/ruedo-store", fault.DataDir) })
	t.Run("no permission", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may read everything")
		}
		dir := filepath.Join(t.TempDir(), "shut")
		if err := os.Mkdir(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		refused(t, dir, fault.DataDir)
	})
}

func TestCorruptDirectories(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	s := start(t, Config{Dir: whole})
	for i := range 600 {
		put(t, s.Client(), "k"+strconv.Itoa(i), strings.Repeat("v", 1000))
	}
	stop(t, s)
	db := filepath.Join("member", "snap", "db")
	for what, damage := range map[string]func(t *testing.T, dir string){
		"database of garbage": func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, db), bytes.Repeat([]byte("garbage!"), 8192))
		},
		"database of a few bytes": func(t *testing.T, dir string) { write(t, filepath.Join(dir, db), []byte("x")) },
		"database cut short": func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, db), 20<<10); err != nil {
				t.Fatal(err)
			}
		},
		"database with broken pages": func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, db))
			if err != nil {
				t.Fatal(err)
			}
			for i := 8192; i < len(data); i++ {
				data[i] = 0xa5
			}
			write(t, filepath.Join(dir, db), data)
		},
		"log of garbage": func(t *testing.T, dir string) {
			logs, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
			if err != nil || len(logs) == 0 {
				t.Fatal(logs, err)
			}
			for _, l := range logs {
				write(t, l, bytes.Repeat([]byte("garbage!"), 1024))
			}
		},
		"database missing": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, db)); err != nil {
				t.Fatal(err)
			}
		},
		"database is a directory": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, db)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, db), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"member is a file": func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "member")); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "member"), []byte("x"))
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			damage(t, dir)
			refused(t, dir, fault.DataDir)
		})
	}
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	if msg := refused(t, dir, fault.DataDirInUse); !strings.Contains(msg, strconv.Itoa(os.Getpid())) {
		t.Errorf("%s does not name the process", msg)
	}
	stop(t, s)
	start(t, Config{Dir: dir})
}

func TestDirectoryInUseByAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		_ = cmd.Wait()
	}()
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if msg := refused(t, dir, fault.DataDirInUse); !strings.Contains(msg, strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("%s does not name process %d", msg, cmd.Process.Pid)
	}
	// Only the database is locked, as by a foreign etcd.
	other := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "member"), filepath.Join(other, "member")); err != nil {
		t.Fatal(err)
	}
	if msg := refused(t, other, fault.DataDirInUse); !strings.Contains(msg, "another process") {
		t.Error(msg)
	}
}

func TestFatalEntryEndsTheServerNotTheProcess(t *testing.T) {
	for what, say := range map[string]func(*zap.Logger){
		"fatal": func(l *zap.Logger) { l.Fatal("failed to save", zap.Error(errors.New("disk gone"))) },
		"panic": func(l *zap.Logger) { l.Panic("failed to save", zap.Error(errors.New("disk gone"))) },
	} {
		f := newFailure()
		var wg sync.WaitGroup
		wg.Go(func() {
			say(zapLogger(slog.New(slog.DiscardHandler), f))
			t.Errorf("%s: goes on after its last word", what)
		})
		wg.Wait()
		select {
		case <-f.done:
		default:
			t.Errorf("%s: not told as failed", what)
		}
		if got := f.err().Error(); got != "failed to save: disk gone" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

func TestHealthyStartAndStopAreQuiet(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	for range 2 {
		s := start(t, Config{Dir: dir, ListenClient: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		put(t, s.Client(), "a", "1")
		stop(t, s)
	}
	if log.Len() > 0 {
		t.Errorf("talks at info or above:\n%s", log.String())
	}
}

func TestCanceledStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := Start(ctx, Config{Dir: t.TempDir(), UnsafeNoFsync: true})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
	if s != nil {
		stop(t, s)
	}
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// listening returns the number of this process's listening TCP sockets. Linux
// only; 0 elsewhere.
func listening(t *testing.T) int {
	t.Helper()
	inodes := map[string]bool{}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		if link, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(link, "socket:[") {
			inodes[strings.Trim(link, "socket:[]")] = true
		}
	}
	n := 0
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, _ := os.ReadFile(table)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && inodes[f[9]] {
				n++
			}
		}
	}
	return n
}
