//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// site is cores that keep their store themselves.
type site struct {
	t     *testing.T
	cores []*siteCore
	home  string
	env   []string // of the cores
}

type siteCore struct {
	port, peer, dir string
	env             []string // of this one
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
	s.launch(i, via)
	s.serving(i)
}

// launch is start without waiting.
func (s *site) launch(i, via int) {
	s.t.Helper()
	c := s.cores[i]
	args := []string{"server", "--port", c.port, "--peer-address", "127.0.0.1:" + c.peer, "--data-dir", c.dir}
	if via >= 0 {
		args = append(args, "--join", "http://127.0.0.1:"+s.cores[via].port)
	}
	c.process = start(s.t, slices.Concat([]string{"HOME=" + s.home}, s.env, c.env), binary(s.t, "ruedo"), args...)
}

// serving waits until core i serves.
func (s *site) serving(i int) {
	s.t.Helper()
	testkit.Within(s.t, 60*time.Second, "core serves", func() bool { return strings.Contains(s.cores[i].output(), "core is serving") })
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

// health waits until the health of the cluster says something, with an exit code.
func (s *site) health(i, code int, says string) {
	s.t.Helper()
	testkit.Eventually(s.t, fmt.Sprintf("the health says with exit code %d: %s", code, says), func() bool {
		got, out := s.run(i, "inspect", "cluster", "health")
		return got == code && strings.Contains(out, says)
	})
}

// What TestAWalkWithoutOtherSoftware types, with what must not be lost on the way.
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

	s.health(1, 0, "3 of 3 voters answer")

	// One of three dies: all goes on.
	s.cores[2].signal(t, syscall.SIGKILL)
	<-s.cores[2].exited
	testkit.Within(t, 20*time.Second, "writes go on with two of three", func() bool { return s.created(0, "second") })

	s.health(0, 1, "if one more is lost, writes fail")

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

	s.health(0, 2, "1 of 3 voters answer, and a write needs 2: writes fail")

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

// Two of three are gone for good: one is made the whole store.
func TestAStoreIsRecoveredFromOneCore(t *testing.T) {
	s := newSite(t, 3)
	s.start(0, -1)
	s.start(1, 0)
	s.start(2, 0)
	if code, out := s.tryCreate(0, "kept"); code != 0 {
		t.Fatalf("exits %d:\n%s", code, out)
	}
	for _, c := range s.cores {
		c.signal(t, syscall.SIGKILL)
		<-c.exited
	}
	dir := "RUEDO_STORE_DATA_DIR=" + s.cores[0].dir
	recover := func(args ...string) (int, string) {
		p := start(t, []string{"HOME=" + s.home, dir}, binary(t, "ruedo"), append([]string{"store", "recover"}, args...)...)
		return p.wait(t, 60*time.Second), p.output()
	}
	if code, out := recover("--yes"); code != 2 || !strings.Contains(out, "gives up all members except that of") {
		t.Errorf("without --force-new-cluster it exits %d:\n%s", code, out)
	}
	if code, out := recover("--force-new-cluster", "--yes"); code != 0 || !strings.Contains(out, "members given up: 127.0.0.1:") || !strings.Contains(out, "are lost, although they were acknowledged") {
		t.Fatalf("it exits %d:\n%s", code, out)
	}
	s.start(0, -1)
	if out := s.must(0, "get", "decorators"); !strings.Contains(out, "kept") {
		t.Errorf("decorators:\n%s", out)
	}
	// A core with old data is told so; with an empty directory it joins.
	c := s.cores[1]
	c.process = start(t, []string{"HOME=" + s.home}, binary(t, "ruedo"), "server", "--port", c.port, "--peer-address", "127.0.0.1:"+c.peer, "--data-dir", c.dir)
	if code := c.wait(t, 60*time.Second); code != 5 || !strings.Contains(c.output(), "was removed from its store") {
		t.Errorf("a core with old data exits %d:\n%s", code, c.output())
	}
	if err := os.RemoveAll(c.dir); err != nil {
		t.Fatal(err)
	}
	s.start(1, 0)
	if out := s.must(1, "get", "members", "-o", "json"); strings.Count(out, `"role": "voter"`) != 2 {
		t.Errorf("members:\n%s", out)
	}
}

// At the quota writes are refused and all else goes on; a compaction mends it.
func TestTheQuotaOfAStoreOfSeveralCores(t *testing.T) {
	s := newSite(t, 2)
	s.env = []string{"RUEDO_STORE_QUOTA=24", "RUEDO_SERVER_DISTRIBUTED_EXECUTION=true"}
	s.start(0, -1)
	s.start(1, 0)
	runner := func(name string) *process {
		return start(t, []string{"HOME=" + s.home, "RUEDO_RUNNER_NAME=" + name}, binary(t, "ruedo"), "runner", "--cores", "http://127.0.0.1:"+s.cores[0].port)
	}
	runner("first")
	listed := func(name string) bool { return strings.Contains(s.must(1, "get", "runners"), name) }
	testkit.Within(t, 20*time.Second, "the runner is listed", func() bool { return listed("first") })

	core := strictClient("http://127.0.0.1:" + s.cores[0].port)
	schema, err := structpb.NewStruct(map[string]any{"description": strings.Repeat("x", 120<<10)})
	if err != nil {
		t.Fatal(err)
	}
	large := &ruedov1.Decorator{Name: "large", InputSchema: schema}
	create := func() error {
		_, err := core.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: large})
		return err
	}
	remove := func() error {
		_, err := core.Decorators.DeleteDecorator(t.Context(), &ruedov1.DeleteDecoratorRequest{Name: "large"})
		return err
	}
	warned := false
	for range 700 {
		if err = create(); err != nil {
			break
		}
		if err := remove(); err != nil {
			t.Fatalf("a deletion is refused: %v", err)
		}
		local, err := core.Members.GetLocalMember(t.Context(), &ruedov1.GetLocalMemberRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if status := local.GetMember().GetStatus(); !warned && status.GetSizeBytes()*100 > status.GetQuotaBytes()*85 {
			testkit.Within(t, 10*time.Second, "there is a warning", func() bool { return strings.Contains(s.must(0, "get", "status"), "STORE_NEARLY_FULL") })
			warned = true
		}
	}
	if p := client.Explain(err); p.Reason != "STORE_FULL" || !strings.Contains(p.Message, "its quota is 24 MiB") || !strings.Contains(p.Fix, "compact") {
		t.Fatalf("at the quota: %+v", p)
	}
	testkit.Within(t, 10*time.Second, "the alarm is shown", func() bool { return strings.Contains(s.must(0, "get", "status"), "STORE_FULL") })
	if code, out := s.tryCreate(0, "small"); code != 7 || !strings.Contains(out, "fix: ruedo store compact") {
		t.Errorf("a write exits %d:\n%s", code, out)
	}
	runner("second")
	testkit.Within(t, 20*time.Second, "a new runner is listed in a full store", func() bool { return listed("first") && listed("second") })

	out := s.must(0, "store", "compact", "-o", "json")
	if strings.Count(out, `"after_bytes"`) != 2 || strings.Count(out, `"error": ""`) != 2 {
		t.Errorf("compacted:\n%s", out)
	}
	testkit.Within(t, 10*time.Second, "writes are accepted again", func() bool { return s.created(1, "small") })
	if !listed("first") || !listed("second") {
		t.Error("a runner is gone")
	}
	testkit.Within(t, 10*time.Second, "the alarm ends", func() bool { return !strings.Contains(s.must(0, "get", "status"), "ALARM") })
}
