//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// many is how many decorators a test carries: an import of them takes some time.
const many = 150

// documents writes decorators as documents to import, and returns the directory.
func documents(t *testing.T, memory int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "site")
	if err := os.MkdirAll(filepath.Join(dir, "decorators"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		name := fmt.Sprintf("d-%03d", i)
		doc := fmt.Sprintf("kind: Decorator\nname: %s\nlimits: {memory: %dMiB}\n", name, memory)
		if err := os.WriteFile(filepath.Join(dir, "decorators", name+".yaml"), []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// decorators returns how many decorators there are with each limit of memory.
func (c *cluster) decorators() map[string]int {
	c.t.Helper()
	found := map[string]int{}
	for line := range strings.Lines(c.must("get", "decorators", "-o", "yaml")) {
		if memory, ok := strings.CutPrefix(strings.TrimSpace(line), "memory: "); ok {
			found[memory]++
		}
	}
	return found
}

// killed starts the program and kills it after some time, unless it has ended
// before: then it returns true.
func (c *cluster) killed(after time.Duration, args ...string) (ended bool) {
	c.t.Helper()
	p := start(c.t, c.env, binary(c.t, "ruedo"), args...)
	select {
	case <-p.exited:
		return true
	case <-time.After(after):
	}
	_ = p.cmd.Process.Kill() // it may just have ended
	<-p.exited
	return false
}

// seeded returns random numbers that a failed test can be repeated with.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// An import that is killed leaves whole resources, and is completed by another one.
func TestAnImportIsKilled(t *testing.T) {
	c := alone(t, t.TempDir())
	c.server()
	c.publishEcho()
	stop := c.calls()
	defer stop()
	random := seeded(t)
	for round, memory := range []int{16, 32} {
		site := documents(t, memory)
		want := fmt.Sprint(memory, "MiB")
		for kills := 0; ; kills++ {
			if c.killed(time.Duration(50+random.IntN(600))*time.Millisecond, "db", "import", site, "--force") {
				break
			}
			found := c.decorators()
			whole := found["16MiB"] // those of the first round are whole, or not there
			if round > 0 {
				whole += found[want]
			}
			if len(found) > round+1 || whole > many || round > 0 && whole != many {
				t.Fatalf("after %d kills: %v", kills+1, found)
			}
			if kills == 10 {
				c.must("db", "import", site, "--force")
				break
			}
		}
		if found := c.decorators(); found[want] != many {
			t.Fatalf("%v, want %d with %s", found, many, want)
		}
		out := c.must("db", "import", site)
		if n := strings.Count(out, "unchanged   decorator"); n != many {
			t.Errorf("an import once more: %d unchanged\n%s", n, tail(out, 500))
		}
	}
	c.answers()
}

// A migration whose command or whose target is killed leaves the old store as it was,
// and is completed by another one.
func TestAMigrationIsKilled(t *testing.T) {
	etcd := freePort(t)
	startEtcd(t, t.TempDir(), etcd)
	from, to := alone(t, t.TempDir()), newCluster(t, "target", etcd)
	old := from.server()
	from.publishEcho()
	from.must("db", "import", documents(t, 16))
	stop := from.calls()
	defer stop()
	target := to.server()
	random := seeded(t)
	url := "http://127.0.0.1:" + to.port
	for kills := range 8 {
		wait := time.Duration(50+random.IntN(500)) * time.Millisecond
		if kills%2 == 0 {
			from.killed(wait, "db", "migrate", "--to", url, "--force")
			continue
		}
		p := start(t, from.env, binary(t, "ruedo"), "db", "migrate", "--to", url, "--force")
		time.Sleep(wait) // the moment is left to chance
		target.signal(t, syscall.SIGKILL)
		target.wait(t, 10*time.Second)
		p.wait(t, 30*time.Second)
		target = to.server()
	}
	if out := from.must("db", "migrate", "--to", url, "--force"); !strings.Contains(out, fmt.Sprintf("migrated 1 service with 1 revision, %d decorators", many)) {
		t.Errorf("%s", out)
	}
	if found := from.decorators(); found["16MiB"] != many {
		t.Errorf("the old store has %v", found)
	}
	if found := to.decorators(); found["16MiB"] != many {
		t.Errorf("the new store has %v", found)
	}
	from.answers()
	stop()

	// The core moves to the new store: another process serves calls meanwhile.
	to.runner("one")
	to.ready(1)
	stop = to.calls()
	defer stop()
	from.ends(old)
	from.env = append(from.env, "RUEDO_STORE_ETCD_HOSTS=127.0.0.1:"+etcd, "RUEDO_APPLICATION_CLUSTER_ID=target")
	from.server()
	from.answers()
	testkit.Within(t, 15*time.Second, "those that were killed are gone from the list", func() bool {
		return strings.Count(from.must("get", "cores", "-o", "name"), "\n") == 2
	})
}

// A disk without room for an export or a backup gets none, and no part of one.
func TestAFullDiskUnderABackup(t *testing.T) {
	root := disk(t)
	c := alone(t, t.TempDir())
	c.server()
	c.publishEcho()
	filler := fill(t, root)
	for _, args := range [][]string{{"db", "backup", "x.tar.zst"}, {"db", "export", "x"}, {"db", "export", "x.tar"}} {
		args[2] = filepath.Join(root, args[2])
		_, stderr, code := c.ruedo(args...)
		if code != 2 || !strings.Contains(stderr, "no space left on device") {
			t.Errorf("%v ends with %d:\n%s", args, code, stderr)
		}
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
		t.Errorf("%v is left behind, %v", entries, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	c.must("db", "backup", filepath.Join(root, "x.tar.zst"))
	c.must("db", "verify", filepath.Join(root, "x.tar.zst"))
}
