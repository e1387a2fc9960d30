//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// site is cores that keep their store themselves.
type site struct {
	t     *testing.T
	cores []*siteCore
	home  string
}

type siteCore struct {
	port, peer, dir string
	*process
}

func newSite(t *testing.T, n int) *site {
	t.Helper()
	s := &site{t: t, home: t.TempDir()}
	for range n {
		s.cores = append(s.cores, &siteCore{port: freePort(t), peer: freePort(t), dir: filepath.Join(t.TempDir(), "data")})
	}
	return s
}

// start starts core i, which joins core via; -1 begins the store. It returns when
// the core serves.
func (s *site) start(i, via int) {
	s.t.Helper()
	c := s.cores[i]
	args := []string{"server", "--port", c.port, "--peer-address", "127.0.0.1:" + c.peer, "--data-dir", c.dir}
	if via >= 0 {
		args = append(args, "--join", "http://127.0.0.1:"+s.cores[via].port)
	}
	c.process = start(s.t, []string{"HOME=" + s.home}, binary(s.t, "ruedo"), args...)
	testkit.Within(s.t, 60*time.Second, "core serves", func() bool { return strings.Contains(c.output(), "core is serving") })
}

// run runs a command against a core, and returns its exit code and output.
func (s *site) run(i int, args ...string) (code int, out string) {
	s.t.Helper()
	p := start(s.t, []string{"HOME=" + s.home, "RUEDO_CLIENT_HOST=127.0.0.1:" + s.cores[i].port}, binary(s.t, "ruedo"), args...)
	code = p.wait(s.t, 60*time.Second)
	return code, p.output()
}

func (s *site) must(i int, args ...string) string {
	s.t.Helper()
	code, out := s.run(i, args...)
	if code != 0 {
		s.t.Fatalf("ruedo %s exits %d:\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// tryCreate creates a decorator, and returns the exit code and the output.
func (s *site) tryCreate(i int, name string) (int, string) {
	s.t.Helper()
	return s.run(i, "create", "decorator", name, "--limit", "memory=32MiB")
}

// created reports whether a decorator could be created, or was by an attempt whose
// answer was lost.
func (s *site) created(i int, name string) bool {
	s.t.Helper()
	code, out := s.tryCreate(i, name)
	return code == 0 || strings.Contains(out, "exists")
}

// The walk of docs/high-availability.md.
func TestThreeCoresKeepTheirStoreThemselves(t *testing.T) {
	s := newSite(t, 3)
	s.start(0, -1)
	s.start(1, 0)
	s.start(2, 1)
	if code, out := s.tryCreate(0, "first"); code != 0 {
		t.Fatalf("exits %d:\n%s", code, out)
	}
	if out := s.must(2, "get", "members", "-o", "json"); strings.Count(out, `"role": "voter"`) != 3 || strings.Count(out, `"state": "running"`) != 3 {
		t.Fatalf("members:\n%s", out)
	}

	// One of three dies: all goes on.
	s.cores[2].signal(t, syscall.SIGKILL)
	<-s.cores[2].exited
	testkit.Within(t, 20*time.Second, "writes go on with two of three", func() bool { return s.created(0, "second") })

	// A second one hangs: reads go on, writes fail within 2 s with the count.
	s.cores[1].signal(t, syscall.SIGSTOP)
	testkit.Within(t, 10*time.Second, "the lost quorum is noticed", func() bool { return strings.Contains(s.must(0, "get", "status"), "STORE_NO_QUORUM") })
	if out := s.must(0, "get", "decorators"); !strings.Contains(out, "second") {
		t.Errorf("decorators from memory:\n%s", out)
	}
	began := time.Now()
	if code, out := s.tryCreate(0, "third"); code != 6 || !strings.Contains(out, "1 of 3 voters answer, and a write needs 2") {
		t.Errorf("a write without a quorum exits %d:\n%s", code, out)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("a write without a quorum took %v", took)
	}

	// It goes on, and the store heals.
	s.cores[1].signal(t, syscall.SIGCONT)
	testkit.Within(t, 20*time.Second, "the store heals", func() bool { return s.created(0, "third") })

	// The first is lost with its data. The core that others join through may be any.
	s.cores[0].signal(t, syscall.SIGKILL)
	<-s.cores[0].exited
	s.start(2, 1)
	testkit.Within(t, 20*time.Second, "writes go on without the first", func() bool { return s.created(2, "fourth") })
	if err := os.RemoveAll(s.cores[0].dir); err != nil {
		t.Fatal(err)
	}
	s.must(1, "member", "replace", "127.0.0.1:"+s.cores[0].peer, "--yes")
	s.start(0, 1)
	out := s.must(0, "get", "decorators")
	for _, name := range []string{"first", "second", "third", "fourth"} {
		if !strings.Contains(out, name) {
			t.Errorf("%s is lost:\n%s", name, out)
		}
	}

	// SIGTERM ends each of them in time.
	for _, c := range s.cores {
		c.signal(t, syscall.SIGTERM)
		if code := c.wait(t, 30*time.Second); code != 0 {
			t.Errorf("a core exits %d", code)
		}
	}
}
