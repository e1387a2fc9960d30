package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/internal/cli"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// rootEnv tells the program under test where the repository is.
const rootEnv = "TEST_ROOT"

func TestMain(m *testing.M) {
	// The program under test starts itself again to compile modules, and to hash passwords.
	if slices.Equal(os.Args[1:], []string{"__compile"}) {
		os.Exit(sandbox.CompileChild(os.Stdin, os.Stdout))
	}
	if slices.Equal(os.Args[1:], []string{"__hash"}) {
		os.Exit(core.HashChild(os.Stdin, os.Stdout))
	}
	testscript.Main(m, map[string]func(){"ruedo": func() {
		os.Exit(cli.Main(context.Background(), cli.Process{
			Args: os.Args[1:], Env: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
			SDK: os.DirFS(os.Getenv(rootEnv)),
		}))
	}})
}

// root returns the directory of the repository.
func root(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("no caller")
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// environment returns the variables that a program needs besides its own: Go's
// caches, and settings that keep Go from using the network.
func environment(t testing.TB) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "-json", "GOCACHE", "GOMODCACHE", "GOPATH").Output()
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]string
	if err := json.Unmarshal(out, &values); err != nil {
		t.Fatal(err)
	}
	env := []string{rootEnv + "=" + root(t), "GORACE=" + os.Getenv("GORACE"), "GOPROXY=off", "GOFLAGS=-mod=mod -buildvcs=false", "GOTOOLCHAIN=local"}
	for k, v := range values {
		env = append(env, k+"="+v)
	}
	return env
}

// TestProgram runs the program as users do.
//
// Under the race detector compiling a guest takes twenty times as long, and
// starting the program seven times. So the commands of scripts, hundreds of them,
// run in the real program, built without the race detector, and all share the
// compiled code. What a script leaves running, such as clusters, is this test's
// own binary, unless the script compiles guests of Go.
func TestProgram(t *testing.T) {
	cache, bin := t.TempDir(), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", filepath.Join(bin, "ruedo"), ".")
	build.Dir = root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("demo", func(t *testing.T) { testDemo(t, bin, cache) })
	t.Run("scripts", func(t *testing.T) { testScripts(t, bin, cache) })
}

// compiling reports whether a script compiles guests of Go.
func compiling(script string) bool {
	return slices.Contains([]string{"absent", "apply", "backup", "change", "check", "cluster", "completion", "cordon", "export", "guests", "http", "logs", "migrate", "new", "types", "watch"}, script)
}

// testDemo lets the program show itself, step by step.
func testDemo(t *testing.T, bin, cache string) {
	demo := exec.CommandContext(t.Context(), filepath.Join(bin, "ruedo"), "demo", "--port", "0")
	demo.Dir = root(t)
	demo.Env = append(environment(t), "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "TMPDIR="+t.TempDir(), "XDG_CACHE_HOME="+cache)
	out, err := demo.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "steps did what they say, in ") || strings.Contains(string(out), "NOT:") {
		t.Errorf("%v\n%s", err, out)
	}
}

func testScripts(t *testing.T, bin, cache string) {
	env, others := environment(t), newStrangers(t, bin)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, env...)
			e.Setenv("XDG_CACHE_HOME", cache)
			e.Values[background{}] = find(e.Getenv("PATH"))
			e.Setenv("PATH", bin+string(filepath.ListSeparator)+e.Getenv("PATH"))
			if compiling(strings.TrimPrefix(filepath.Base(e.WorkDir), "script-")) {
				e.Values[background{}] = find(bin)
			}
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("EXAMPLES", filepath.Join(root(t), "examples"))
			// No script must talk to a core that happens to run on this
			// machine.
			e.Setenv("RUEDO_CLIENT_HOST", "127.0.0.1:1")
			e.Setenv("ADDRESS", address())
			return others.setup(e)
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "stranger":
				return others != "", nil
			case "address":
				return address() != "", nil
			}
			return false, fmt.Errorf("there is no condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cluster":   cmdCluster,
			"etcd":      cmdEtcd,
			"free":      cmdFree,
			"listen":    cmdListen,
			"proxy":     cmdProxy,
			"start":     cmdStart,
			"stopped":   cmdStopped,
			"killed":    cmdKilled,
			"exits":     cmdExits,
			"stderr-of": cmdStderrOf,
			"stranger":  others.cmd,
			"wait-for":  cmdWaitFor,
		},
	})
}

// cmdCluster starts `ruedo dev` and points the CLI at it.
//
//	cluster [FLAG...]
func cmdCluster(ts *testscript.TestScript, neg bool, args []string) {
	p := start(ts, append([]string{"dev", "--port", "0", "-o", "json", "--log-level", "warn"}, args...))
	var ready struct{ URL string }
	if err := json.NewDecoder(bufio.NewReader(p.stdout)).Decode(&ready); err != nil {
		ts.Fatalf("dev did not get ready: %v\n%s", err, p.stderr)
	}
	ts.Setenv("RUEDO_CLIENT_HOST", ready.URL)
}

// cmdEtcd starts an etcd that other processes reach, and names it in $ETCD.
func cmdEtcd(ts *testscript.TestScript, neg bool, args []string) {
	srv, err := etcdembed.Start(context.Background(), etcdembed.Config{Dir: ts.MkAbs("etcd"), ListenClient: "127.0.0.1:0", UnsafeNoFsync: true})
	ts.Check(err)
	ts.Defer(func() { _ = srv.Close() })
	ts.Setenv("ETCD", strings.TrimPrefix(srv.Endpoint(), "http://"))
}

// cmdListen takes a port and names it in $PORT.
func cmdListen(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv("PORT", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

// cmdFree names a port that nobody listens on in each variable.
//
//	free NAME...
func cmdFree(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close()
		ts.Setenv(name, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
}

// cmdProxy starts a reverse proxy in front of the core whose https URL is in a file, on
// the same machine and on plain HTTP, and names its URL in $PROXY.
//
//	proxy FILE
func cmdProxy(ts *testscript.TestScript, neg bool, args []string) {
	to, err := url.Parse(strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	srv := httptest.NewServer(&httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.SetXForwarded()
	}})
	ts.Defer(srv.Close)
	ts.Defer(transport.CloseIdleConnections)
	ts.Setenv("PROXY", srv.URL)
}

// process is a program that runs next to the script.
type process struct {
	cmd    *exec.Cmd
	stdout *os.File
	stderr *testkit.Log
	done   chan error
}

// background is the key of the program that a script leaves running.
type background struct{}

// find returns the first ruedo of a search path.
func find(path string) (exe string) {
	for _, dir := range filepath.SplitList(path) {
		if exe = filepath.Join(dir, "ruedo"); isFile(exe) {
			break
		}
	}
	return exe
}

// start runs ruedo in the background until the script ends.
func start(ts *testscript.TestScript, args []string) *process {
	exe := ts.Value(background{}).(string)
	r, w, err := os.Pipe()
	ts.Check(err)
	p := &process{cmd: exec.Command(exe, args...), stdout: r, stderr: &testkit.Log{}, done: make(chan error, 1)}
	p.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{
		"HOME", "XDG_CACHE_HOME", "PATH", "TMPDIR", "GORACE", rootEnv, "RUEDO_STORE_ETCD_HOSTS", "RUEDO_APPLICATION_CLUSTER_ID",
		"RUEDO_APPLICATION_MODE", "RUEDO_SERVER_DISTRIBUTED_EXECUTION", "RUEDO_RUNNER_NAME", "RUEDO_RUNNER_LABELS",
	} {
		if v := ts.Getenv(name); v != "" {
			p.cmd.Env = append(p.cmd.Env, name+"="+v)
		}
	}
	p.cmd.Stdout, p.cmd.Stderr = w, p.stderr
	p.cmd.SysProcAttr = dieWithParent()
	// The thread that starts it must outlive it.
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- p.cmd.Start()
		w.Close()
		if p.cmd.Process != nil {
			p.done <- p.cmd.Wait()
			close(p.done)
		}
	}()
	ts.Check(<-started)
	ts.Defer(func() {
		_ = p.cmd.Process.Signal(os.Interrupt)
		select {
		case <-p.done:
		case <-time.After(20 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
			ts.Logf("had to be killed: ruedo %s\n%s", strings.Join(args, " "), p.stderr)
		}
		r.Close()
	})
	return p
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// cmdStart starts a process whose stderr goes to a file, and waits until the
// file contains a text.
//
//	start FILE TEXT ARG...
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	p := start(ts, args[2:])
	go func() { _, _ = new(bytes.Buffer).ReadFrom(p.stdout) }()
	poll(ts, func() bool {
		text := p.stderr.String()
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
		return strings.Contains(text, args[1])
	}, func() string { return "no " + args[1] + " in\n" + p.stderr.String() })
	running.Store(ts.MkAbs(args[0]), p)
}

// cmdStderrOf waits until the stderr of a process that cmdStart started contains
// a text, so many times.
//
//	stderr-of FILE TEXT [TIMES]
func cmdStderrOf(ts *testscript.TestScript, neg bool, args []string) {
	p, times := runningAs(ts, args[0]), 1
	if len(args) > 2 {
		var err error
		times, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	pollFor(2*time.Minute, ts, func() bool { return strings.Count(p.stderr.String(), args[1]) >= times },
		func() string { return "no " + args[1] + " in\n" + p.stderr.String() })
}

// running are the processes of cmdStart, by the path of their file. Scripts run
// at the same time.
var running sync.Map

func runningAs(ts *testscript.TestScript, file string) *process {
	p, ok := running.Load(ts.MkAbs(file))
	if !ok {
		ts.Fatalf("nothing was started as %s", file)
	}
	return p.(*process)
}

// cmdStopped interrupts a process and expects an exit code.
//
//	stopped FILE CODE
func cmdStopped(ts *testscript.TestScript, neg bool, args []string) {
	p := runningAs(ts, args[0])
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		ts.Fatalf("did not stop\n%s", p.stderr)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(p.stderr.String()), 0o600))
	if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("exit code %s, want %s\n%s", got, args[1], p.stderr)
	}
}

// cmdKilled kills a process.
//
//	killed FILE
func cmdKilled(ts *testscript.TestScript, neg bool, args []string) {
	p := runningAs(ts, args[0])
	ts.Check(p.cmd.Process.Kill())
	<-p.done
}

// cmdExits runs ruedo and expects an exit code. Its output is for stdout and
// stderr, as with exec.
//
//	exits CODE ARG...
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	wantExit(ts, args[0], ts.Exec("ruedo", args[1:]...))
}

// wantExit checks the exit code of a program that has run.
func wantExit(ts *testscript.TestScript, want string, err error) {
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != want {
		ts.Fatalf("exit code %d, want %s", code, want)
	}
}

// cmdWaitFor runs ruedo again and again until its output contains a text; with
// !, until it does not.
//
//	wait-for TEXT ARG...
func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	last := ""
	pollFor(2*time.Minute, ts, func() bool {
		err := ts.Exec("ruedo", args[1:]...)
		last = ts.ReadFile("stdout") + ts.ReadFile("stderr")
		return err == nil && strings.Contains(last, args[0]) != neg
	}, func() string { return "waited for " + args[0] + " in vain:\n" + last })
}

func poll(ts *testscript.TestScript, ok func() bool, why func() string) {
	pollFor(30*time.Second, ts, ok, why)
}

func pollFor(limit time.Duration, ts *testscript.TestScript, ok func() bool, why func() string) {
	if !testkit.Poll(limit, ok) {
		ts.Fatalf("%s", why())
	}
}
