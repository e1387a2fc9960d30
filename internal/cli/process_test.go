package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// command is the program under test as a real process.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// testscript looks at the name that the binary was called by.
	link := filepath.Join(t.TempDir(), "ruedo")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), link, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(environment(t), "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "RUEDO_CLIENT_HOST=127.0.0.1:1")
	return cmd
}

// dev starts a cluster and returns its URL.
func dev(t *testing.T, args ...string) (url string, cmd *exec.Cmd) {
	t.Helper()
	cmd = command(t, append([]string{"dev", "--port", "0", "-o", "json", "--log-level", "warn"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	var ready struct{ URL string }
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	t.Logf("dev was ready after %s", time.Since(start))
	return ready.URL, cmd
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

// looping is a command that never ends: (loop (br 0)).
const looping = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x05\x03\x01\x00\x01" +
	"\x07\x13\x02\x06memory\x02\x00\x06_start\x00\x00\x0a\x09\x01\x07\x00\x03\x40\x0c\x00\x0b\x0b"

// A call that is interrupted ends immediately and quietly, and so does its
// guest.
func TestInterruptedCall(t *testing.T) {
	url, _ := dev(t)
	module := filepath.Join(t.TempDir(), "loop.wasm")
	if err := os.WriteFile(module, []byte(looping), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"create", "decorator", "long", "--limit", "timeout=1h"},
		{"publish", module, "--decorator", "long"},
	} {
		if out, err := command(t, append(args, "--host", url)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	call := command(t, "call", "loop", "-d", "x", "-v", "--host", url)
	stderr, err := call.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Start(); err != nil {
		t.Fatal(err)
	}
	// -v says where it goes before it goes there.
	lines := bufio.NewReader(stderr)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "core: ") {
		t.Fatalf("%q, %v", line, err)
	}
	if err := call.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(lines)
	if code := exitCode(t, call.Wait()); code != fault.ExitInterrupted || len(rest) != 0 {
		t.Errorf("exit code %d, said %q; want %d and nothing", code, rest, fault.ExitInterrupted)
	}
	// The runner is free again, long before the guest's hour is over.
	var runners []byte
	if !testkit.Poll(testkit.Patience, func() bool {
		out, err := command(t, "get", "runners", "-o", "json", "--host", url).Output()
		if err != nil {
			t.Fatal(err)
		}
		runners = out
		return strings.Count(string(out), `"active_calls": 0`) == 2
	}) {
		t.Fatalf("the guest runs on:\n%s", runners)
	}
}

// Inputs and outputs of 40 MiB pass through the program unchanged, from a file, by
// redirection and through a pipe. It says nothing meanwhile, because nobody
// watches.
func TestLargeCall(t *testing.T) {
	url, _ := dev(t)
	dir := t.TempDir()
	m := wasmtest.New()
	read, write := m.Import("ruedo", "input_read", "ii>i"), m.Import("ruedo", "output_write", "ii>i")
	m.Memory(1024, -1)
	m.AsFunction(m.Func(">i", wasmtest.I32(0), wasmtest.I32(0), wasmtest.I32(64<<20), wasmtest.Call(read), wasmtest.Call(write), wasmtest.Drop(), wasmtest.I32(0)))
	input := bytes.Repeat([]byte("0123456789abcde\n"), 40<<16)
	module, file := filepath.Join(dir, "large.wasm"), filepath.Join(dir, "input")
	if err := errors.Join(os.WriteFile(module, m.Bytes(), 0o600), os.WriteFile(file, input, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"create", "decorator", "large", "--limit", "input=64MiB", "--limit", "output=64MiB"},
		{"publish", module, "--decorator", "large"},
	} {
		if out, err := command(t, append(args, "--host", url)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for name, stdin := range map[string]func(cmd *exec.Cmd){
		"file": func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "-d", "@"+file) },
		"redirection": func(cmd *exec.Cmd) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			cmd.Stdin = f
		},
		"pipe": func(cmd *exec.Cmd) { cmd.Stdin = io.MultiReader(bytes.NewReader(input)) },
	} {
		t.Run(name, func(t *testing.T) {
			call := command(t, "call", "large", "--host", url)
			stdin(call)
			var said strings.Builder
			call.Stderr = &said
			out, err := call.Output()
			if err != nil || !bytes.Equal(out, input) || said.Len() != 0 {
				t.Errorf("%d of %d bytes came back, said %q: %v", len(out), len(input), said.String(), err)
			}
		})
	}
}

// A reader that goes away ends the program quietly.
func TestBrokenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd := command(t, "help", "settings")
	cmd.Stdout = w
	var said strings.Builder
	cmd.Stderr = &said
	err = cmd.Run()
	w.Close()
	if code := exitCode(t, err); code != fault.ExitBrokenPipe || said.Len() != 0 {
		t.Errorf("exit code %d, said %q; want %d and nothing", code, said.String(), fault.ExitBrokenPipe)
	}
}

// A cluster with a data directory has its resources again after a restart.
func TestDevKeeps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	for i, args := range [][]string{{"create", "decorator", "small"}, {"describe", "decorator", "small"}} {
		url, cmd := dev(t, "--data-dir", dir)
		do := command(t, append(args, "--host", url)...)
		if out, err := do.CombinedOutput(); err != nil {
			t.Fatalf("%d: %v\n%s", i, err, out)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(t, cmd.Wait()); code != 0 {
			t.Fatalf("dev ended with %d", code)
		}
	}
}
