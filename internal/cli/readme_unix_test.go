//go:build unix

package cli_test

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// TestReadme does what the README says about the first five minutes, word for
// word: it feeds each command of the console block to a shell, in a copy of the
// repository and without a network. What the block shows as output must come,
// line by line and in this order; other lines can come between. "..." stands for
// the rest of a line, and times and digests can differ. A command fails only if
// an error is shown.
//
// Only the port differs, because a cluster may run on this machine.
func TestReadme(t *testing.T) {
	for _, tool := range []string{"sh", "make", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the README uses %s: %v", tool, err)
		}
	}
	tree := copyTree(t)
	terminals := console(t, "$ make build")
	if len(terminals) != 2 {
		t.Fatalf("the block is about %d terminals, want one for the cluster and another one", len(terminals))
	}
	env := slices.DeleteFunc(environment(t), func(v string) bool { return strings.HasPrefix(v, "GOFLAGS=") || strings.HasPrefix(v, rootEnv+"=") })
	env = append(env, "HOME="+t.TempDir(), "TMPDIR="+t.TempDir(), "RUEDO_SERVER_PORT=0", "NO_COLOR=1")

	first := openTerminal(t, tree, append(env, "PATH="+os.Getenv("PATH")))
	last := len(terminals[0]) - 1
	for _, c := range terminals[0][:last] {
		first.run(c, "")
	}
	first.send(terminals[0][last].line) // it goes on
	address := regexp.MustCompile(`core +(http://\S+)`)
	var host string
	testkit.Within(t, time.Minute, "the cluster is ready", func() bool {
		if m := address.FindStringSubmatch(first.out.String()); m != nil {
			host = m[1]
		}
		return host != ""
	})

	second := openTerminal(t, t.TempDir(), append(env, "PATH="+filepath.Join(tree, "bin")+string(filepath.ListSeparator)+os.Getenv("PATH"), "RUEDO_CLIENT_HOST="+host))
	for _, c := range terminals[1] {
		second.run(c, host)
	}
	first.interrupt()
}

// copyTree copies the sources of the repository.
func copyTree(t *testing.T) string {
	t.Helper()
	from, to := root(t), t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, ".") || name == "bin":
			continue
		case e.IsDir():
			err = os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(from, name)))
		case e.Type().IsRegular():
			var b []byte
			if b, err = os.ReadFile(filepath.Join(from, name)); err == nil {
				err = os.WriteFile(filepath.Join(to, name), b, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// step is a command of the README and what it shows as its output.
type step struct {
	line  string
	shows []string
}

// console returns the commands of the README's console block that begins with a
// line, for each terminal. A comment on a line of its own begins another one.
func console(t *testing.T, begins string) [][]step {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(b), "```console\n"+begins)
	if !ok {
		t.Fatalf("the README has no console block that begins with %q", begins)
	}
	block, _, _ = strings.Cut(begins+block, "\n```")
	terminals := [][]step{nil}
	for line := range strings.Lines(block) {
		line = strings.TrimRight(line, "\n")
		current := &terminals[len(terminals)-1]
		switch text, isCommand := strings.CutPrefix(line, "$ "); {
		case isCommand:
			*current = append(*current, step{line: text})
		case strings.HasPrefix(line, "# "):
			terminals = append(terminals, nil)
		case line != "":
			c := &(*current)[len(*current)-1]
			c.shows = append(c.shows, line)
		}
	}
	return terminals
}

// terminal is a shell that is told what to do line by line.
type terminal struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out testkit.Log
	ran int
}

func openTerminal(t *testing.T, dir string, env []string) *terminal {
	t.Helper()
	s := &terminal{t: t, cmd: exec.Command("sh")}
	s.cmd.Dir, s.cmd.Env = dir, env
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.in = in
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = s.cmd.Wait()
	})
	return s
}

// send types a command. Its own input is empty.
func (s *terminal) send(line string) {
	if _, err := fmt.Fprintf(s.in, "{ %s\n} </dev/null\n", line); err != nil {
		s.t.Fatal(err)
	}
}

// run runs a command to its end and checks what it shows. A host other than ""
// is used in the place of the default one.
func (s *terminal) run(c step, host string) {
	s.t.Helper()
	if u, err := url.Parse(host); err == nil && host != "" {
		c.line = strings.ReplaceAll(c.line, core.DefaultListen, u.Host)
	}
	s.ran++
	before, end := len(s.out.String()), fmt.Sprintf("end of %d: ", s.ran)
	s.send(c.line)
	if _, err := fmt.Fprintf(s.in, "printf '\\n%s%%d\\n' $?\n", end); err != nil {
		s.t.Fatal(err)
	}
	var out, status string
	if !testkit.Poll(5*time.Minute, func() bool {
		var ok bool
		out, status, ok = strings.Cut(s.out.String()[before:], end)
		return ok && strings.HasSuffix(status, "\n")
	}) {
		s.t.Fatalf("$ %s\ndid not end:\n%s", c.line, s.out.String()[before:])
	}
	s.t.Logf("$ %s\n%s", c.line, out)
	fails := slices.ContainsFunc(c.shows, func(line string) bool { return strings.HasPrefix(line, "error: ") })
	if failed := status != "0\n"; failed != fails {
		s.t.Fatalf("$ %s\nexit code %s", c.line, status)
	}
	got := bufio.NewScanner(strings.NewReader(out))
	for _, want := range c.shows {
		pattern := shown(want)
		for found := false; !found; {
			if !got.Scan() {
				s.t.Fatalf("$ %s\nThe README shows\n\t%s\nwhich does not come, or not in this order", c.line, want)
			}
			found = pattern.MatchString(strings.TrimRight(got.Text(), " "))
		}
	}
}

var differs = regexp.MustCompile(`\\\.\\\.\\\.|\b[0-9a-f]{12}\b|\b[0-9]+(\\\.[0-9]+)? ?(µs|ms|s|KiB|MiB)\b`)

// shown returns a pattern for a line of output.
func shown(line string) *regexp.Regexp {
	return regexp.MustCompile("^" + differs.ReplaceAllStringFunc(regexp.QuoteMeta(line), func(s string) string {
		switch {
		case strings.HasPrefix(s, `\`):
			return ".*"
		case len(s) == 12 && !strings.ContainsAny(s, `. \`):
			return "[0-9a-f]{12}"
		}
		return `[0-9.]+ ?(µs|ms|s|KiB|MiB)`
	}) + "$")
}

// interrupt is Ctrl-C.
func (s *terminal) interrupt() {
	s.t.Helper()
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		s.t.Errorf("Ctrl-C does not end it:\n%s", s.out.String())
	}
}
