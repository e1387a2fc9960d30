//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// echoFile is the module of the smallest service.
func echoFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "echo.wasm")
	if err := os.WriteFile(path, ruedotest.Echo(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// answers checks that calls still succeed.
func (c *cluster) answers() {
	c.t.Helper()
	if _, body, err := c.call(http.DefaultClient, "echo", `{"n":1}`); err != nil || body != `{"n":1}` {
		c.t.Fatalf("a call gives %q, %v", body, err)
	}
}

// refuses checks that a publish soon fails with a reason.
func (c *cluster) refuses(wasm, reason string, code int) {
	c.t.Helper()
	began := time.Now()
	_, stderr, got := c.ruedo("publish", "--no-check", "--name", "other", wasm, "-o", "json")
	if got != code || !strings.Contains(stderr, reason) {
		c.t.Fatalf("publish ends with %d, want %d and %s:\n%s", got, code, reason, stderr)
	}
	if took := time.Since(began); took > 5*time.Second {
		c.t.Errorf("it took %v to refuse", took)
	}
}

// waitStatus waits until status contains a text.
func (c *cluster) waitStatus(text string) {
	c.t.Helper()
	testkit.Within(c.t, 20*time.Second, "status says "+text, func() bool {
		out, _, _ := c.ruedo("get", "status")
		return strings.Contains(out, text)
	})
}

func TestAStoreThatComesBackEmpty(t *testing.T) {
	port, wasm := freePort(t), echoFile(t)
	etcd := startEtcd(t, t.TempDir(), port)
	c := newCluster(t, "empty", port)
	server := c.server()
	c.runner("one")
	c.ready(1)
	c.publishEcho()
	c.answers()

	etcd.signal(t, syscall.SIGKILL)
	etcd.wait(t, 10*time.Second)
	startEtcd(t, t.TempDir(), port)
	c.waitStatus("STORE_EMPTY")
	c.answers()
	c.refuses(wasm, "STORE_EMPTY", 5)
	if out := c.must("get", "services", "-o", "name"); out != "echo\n" {
		t.Errorf("services are %q", out)
	}
	if n := server.count("reason=STORE_EMPTY"); n != 1 {
		t.Errorf("the alarm is logged %d times", n)
	}

	// The operator decides to continue with an empty store.
	server.signal(t, syscall.SIGTERM)
	server.wait(t, 40*time.Second)
	accepting := start(t, append(c.env, "RUEDO_APPLICATION_MODE=server"), binary(t, "ruedo"), "server", "--accept-empty")
	testkit.Within(t, 20*time.Second, "server serves", func() bool { return strings.Contains(accepting.output(), "core is serving") })
	c.ready(1)
	if out := c.must("get", "services", "-o", "name"); out != "" {
		t.Errorf("services are %q", out)
	}
	c.publishEcho()
	c.answers()
}

func TestACoreStartsOnAFullStore(t *testing.T) {
	port, peer, wasm := freePort(t), freePort(t), echoFile(t)
	start(t, nil, binary(t, "etcd"), "--data-dir", t.TempDir(), "--log-level", "warn", "--quota-backend-bytes", "4194304",
		"--listen-client-urls", "http://127.0.0.1:"+port, "--advertise-client-urls", "http://127.0.0.1:"+port,
		"--listen-peer-urls", "http://127.0.0.1:"+peer, "--initial-advertise-peer-urls", "http://127.0.0.1:"+peer,
		"--initial-cluster", "default=http://127.0.0.1:"+peer)
	store, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:" + port}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	testkit.Within(t, 20*time.Second, "etcd answers", func() bool { _, err := store.Get(t.Context(), "x"); return err == nil })
	c := newCluster(t, "full", port)
	first := c.server()
	one := c.runner("one")
	c.ready(1)
	c.publishEcho()
	first.signal(t, syscall.SIGTERM)
	first.wait(t, 40*time.Second)
	one.signal(t, syscall.SIGTERM)
	one.wait(t, 40*time.Second)
	for i := 0; err == nil && i < 1000; i++ {
		_, err = store.Put(t.Context(), fmt.Sprint("fill", i), strings.Repeat("v", 64<<10))
	}

	server := c.server()
	start(t, append(c.env, "RUEDO_APPLICATION_MODE=runner"), binary(t, "ruedo"), "runner", "--name", "two", "--cores", "http://127.0.0.1:"+c.port, "--etcd-hosts", "")
	c.ready(1)
	c.answers()
	c.waitStatus("STORE_FULL")
	c.refuses(wasm, "STORE_FULL", 7)
	if out := c.must("get", "cores", "-o", "name"); out != "" {
		t.Errorf("cores are %q", out)
	}

	gone, err := store.Delete(t.Context(), "fill", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Compact(t.Context(), gone.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Defragment(t.Context(), "127.0.0.1:"+port); err != nil {
		t.Fatal(err)
	}
	if _, err := store.AlarmDisarm(t.Context(), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
	testkit.Within(t, 20*time.Second, "the core is listed", func() bool { return c.must("get", "cores", "-o", "name") != "" })
	testkit.Within(t, 20*time.Second, "the alarm ends", func() bool { return !strings.Contains(c.must("get", "status"), "STORE_FULL") })
	c.must("publish", "--no-check", "--name", "other", wasm)
	server.signal(t, syscall.SIGTERM)
	if code := server.wait(t, 40*time.Second); code != 0 {
		t.Errorf("the core ends with %d", code)
	}
}

func TestADataDirectoryDeletedUnderARunningCore(t *testing.T) {
	wasm, dir := echoFile(t), filepath.Join(t.TempDir(), "store")
	c := newCluster(t, "lost", "1")
	env := append(c.env, "RUEDO_APPLICATION_MODE=server", "RUEDO_STORE_ETCD_HOSTS=", "RUEDO_SERVER_DISTRIBUTED_EXECUTION=false", "RUEDO_STORE_DATA_DIR="+dir)
	server := start(t, env, binary(t, "ruedo"), "server")
	testkit.Within(t, 20*time.Second, "server serves", func() bool { return strings.Contains(server.output(), "core is serving") })
	c.publishEcho()
	c.answers()

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	c.refuses(wasm, "DATA_DIR_LOST", 5)
	c.answers()
	c.waitStatus("DATA_DIR_LOST")
	if n := server.count("reason=DATA_DIR_LOST"); n != 1 {
		t.Errorf("the alarm is logged %d times", n)
	}
	c.answers()
	began := time.Now()
	server.signal(t, syscall.SIGTERM)
	server.wait(t, 40*time.Second)
	t.Logf("ended after %v", time.Since(began))
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the end took %v", took)
	}
}

func TestDamageIsRepairedByTheCLI(t *testing.T) {
	port, wasm := freePort(t), echoFile(t)
	startEtcd(t, t.TempDir(), port)
	store, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:" + port}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	spoil := func(key string) {
		t.Helper()
		if _, err := store.Put(t.Context(), "/ruedo/damage/"+key, "\xff\xff\xff"); err != nil {
			t.Fatal(err)
		}
	}
	c := newCluster(t, "damage", port)
	server := c.server()
	c.runner("one")
	c.ready(1)
	yaml := filepath.Join(t.TempDir(), "small.yaml")
	if err := os.WriteFile(yaml, []byte("kind: Decorator\nname: small\nlimits:\n  memory: 32MiB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.must("apply", "-f", yaml)
	c.must("publish", "--no-check", "--name", "echo", "--decorator", "small", wasm)

	for _, key := range []string{"services/echo", "decorators/small", "modules/" + client.Digest(ruedotest.Echo()) + "/chunks/000000"} {
		spoil(key)
	}
	c.answers() // from memory
	c.waitStatus("INTEGRITY")
	// Nothing valid is left in memory, neither in a core nor in a runner.
	server.signal(t, syscall.SIGTERM)
	server.wait(t, 40*time.Second)
	c.server()
	if _, stderr, code := c.ruedo("describe", "service", "echo", "-o", "json"); code != 1 || !strings.Contains(stderr, "INTEGRITY") {
		t.Errorf("describe ends with %d: %s", code, stderr)
	}
	if _, stderr, code := c.ruedo("describe", "decorator", "small", "-o", "json"); code != 1 || !strings.Contains(stderr, "INTEGRITY") {
		t.Errorf("describe ends with %d: %s", code, stderr)
	}
	c.ready(1)
	c.must("apply", "-f", yaml)
	if out := c.must("publish", "--no-check", "--name", "echo", "--decorator", "small", wasm); !strings.Contains(out, "revision 2") {
		t.Errorf("published: %s", out)
	}
	c.answers()
	c.env = append(c.env, "XDG_CACHE_HOME="+t.TempDir())
	c.runner("fresh")
	c.ready(2)
	for range 4 {
		c.answers()
	}
	if out := c.must("get", "status"); strings.Contains(out, "ALARM") {
		t.Errorf("status: %s", out)
	}
}

// Lists are complete and have one shape, whatever the number of pages.
func TestTheCLIFollowsPages(t *testing.T) {
	port := freePort(t)
	startEtcd(t, t.TempDir(), port)
	store, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:" + port}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	c := newCluster(t, "pages", port)
	c.server()
	value, err := proto.Marshal(&ruedov1.Decorator{Description: strings.Repeat("x", 2000)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 25 {
		var puts []clientv3.Op
		for j := range 100 {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("/ruedo/pages/decorators/d%d", 100*i+j), string(value)))
		}
		if _, err := store.Txn(t.Context()).Then(puts...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Within(t, 20*time.Second, "all are listed", func() bool {
		return strings.Count(c.must("get", "decorators", "-o", "name"), "\n") == 2500
	})
	var list map[string][]any
	if err := json.Unmarshal([]byte(c.must("get", "decorators", "-o", "json")), &list); err != nil || len(list) != 1 || len(list["items"]) != 2500 {
		t.Errorf("%v: %d keys, %d items", err, len(list), len(list["items"]))
	}
}
