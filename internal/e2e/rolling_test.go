//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// total returns how many requests of a kind have failed.
func (l *load) total(kind string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for reason, k := range l.reasons {
		if strings.HasPrefix(reason, kind+" ") {
			n += k
		}
	}
	return n
}

// An upgrade: every process gets SIGTERM and starts again, one after the other,
// and no call fails.
func TestARollingRestartLosesNoCall(t *testing.T) {
	r := newRing(t, 3, 3)
	l := newLoad(r)
	l.watch()
	l.start(4, 1)
	ends := func(what string, p *process) {
		t.Helper()
		began := time.Now()
		p.send(syscall.SIGTERM)
		if code := p.wait(t, 40*time.Second); code != 0 {
			t.Errorf("%s exits %d", what, code)
		}
		ended := time.Since(began)
		t.Logf("%s ended after %v, all was well again after %v", what, ended.Round(time.Millisecond), (ended + r.healthy(heal)).Round(100*time.Millisecond))
	}
	for i, c := range r.cores {
		ends(coreName(i), c.process)
	}
	for _, w := range r.runners {
		ends(w.name, w.process)
	}
	l.stop()
	if n := l.total("call"); n > 0 {
		t.Errorf("%d calls failed", n)
	}
	l.verify(t, nil)
}

var kills = flag.Int("kills", 10, "how often a process is killed during a publish: 50 in make soak")

// Every publish that was acknowledged is there, whichever process was killed while
// it was going on.
func TestKillsDuringPublishes(t *testing.T) {
	source := random(t)
	r := newRing(t, 3, 2)
	l := newLoad(r)
	acknowledged := 0
	for n := 1; n <= *kills; n++ {
		core, victim, after := source.IntN(3), source.IntN(5), time.Duration(source.IntN(40))*time.Millisecond
		name, p := fmt.Sprint("the publish's ", coreName(core)), r.cores[core].process
		switch {
		case victim == 0:
			name, p = "the store's leader", r.cores[r.storeLeader()].process
		case victim < 3:
			name, p = r.runners[victim-1].name, r.runners[victim-1].process
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.publish(r.client(core), "written", n)
		}()
		time.Sleep(after)
		p.send(syscall.SIGKILL)
		<-done
		<-p.exited
		took := r.healthy(heal)
		var held []int
		if held = l.published["written"]; len(held) > 0 && held[len(held)-1] == n {
			acknowledged++
		}
		t.Logf("%d: kill -9 %s %v after the start; all was well again after %v", n, name, after, took.Round(100*time.Millisecond))
	}
	l.verify(t, nil)
	if acknowledged == 0 && *kills >= 10 {
		t.Error("no publish was acknowledged: this proves nothing")
	}
	t.Logf("%d of %d publishes were acknowledged", acknowledged, *kills)
}

// A member that was away for long, while much was written, catches up on its own.
func TestACoreThatComesBackAfterALongAbsence(t *testing.T) {
	r := newRing(t, 3, 0)
	away := r.cores[2]
	away.send(syscall.SIGKILL)
	<-away.exited
	c := strictClient("127.0.0.1:" + r.cores[0].port)
	var version int64
	for n := range 800 { // more than a member's log holds for those that are behind
		d := &ruedov1.Decorator{Name: fmt.Sprint("d-", n%50), Description: fmt.Sprint(n)}
		update, err := c.Decorators.UpdateDecorator(t.Context(), &ruedov1.UpdateDecoratorRequest{Decorator: d})
		version = update.GetDecorator().GetVersion()
		if client.Explain(err).Reason == "DECORATOR_NOT_FOUND" {
			_, err = c.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: d})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	r.revive()
	r.healthy(heal)
	t.Logf("all was well after %v", time.Since(began).Round(100*time.Millisecond))
	back := strictClient("127.0.0.1:"+away.port, client.WithMinRevision(c.Revision()))
	got, err := back.Decorators.GetDecorator(t.Context(), &ruedov1.GetDecoratorRequest{Name: "d-49"})
	if err != nil || got.GetDecorator().GetVersion() != version {
		t.Errorf("the last write is of version %d, it has %d: %v", version, got.GetDecorator().GetVersion(), err)
	}
}

// The store is an etcd of its own, which comes back as it was before: what it has
// holds, although it soon is at a later revision than the core has seen.
func TestAStoreThatIsRolledBackToAnOlderCopy(t *testing.T) {
	port, dir := freePort(t), t.TempDir()
	etcd := startEtcd(t, dir, port)
	c := newCluster(t, "older", port)
	c.server()
	c.runner("one")
	c.ready(1)
	core := strictClient("http://127.0.0.1:" + c.port)
	publish := func(n int) {
		t.Helper()
		if _, err := core.Services.PublishService(t.Context(), witnessRequest("kept", n)); err != nil {
			t.Fatal(err)
		}
	}
	answers := func(n int) bool {
		t.Helper()
		_, body, err := c.call(http.DefaultClient, "kept", "x")
		return err == nil && body == "x"+version(n)
	}
	if _, err := core.Upload(t.Context(), witness(), nil); err != nil {
		t.Fatal(err)
	}
	publish(1)
	etcd.signal(t, syscall.SIGTERM)
	etcd.wait(t, 10*time.Second)
	older := filepath.Join(t.TempDir(), "older")
	if err := os.CopyFS(older, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	etcd = startEtcd(t, dir, port)
	testkit.Within(t, 20*time.Second, "writes are accepted", func() bool {
		_, err := core.Services.PublishService(t.Context(), witnessRequest("kept", 2))
		return err == nil
	})
	if !answers(2) {
		t.Fatal("the new revision does not answer")
	}
	lost := core.Revision()
	etcd.signal(t, syscall.SIGKILL)
	etcd.wait(t, 10*time.Second)

	startEtcd(t, older, port)
	testkit.Within(t, 30*time.Second, "the older revision is live", func() bool { return answers(1) })
	other := strictClient("http://127.0.0.1:"+c.port, client.WithMinRevision(lost))
	req := &ruedov1.InvokeRequest{Service: "kept", Payload: &ruedov1.InvokeRequest_Bytes{Bytes: []byte("x")}}
	if _, err := other.Invoke.Invoke(t.Context(), req); err != nil {
		t.Errorf("a client that requires what is gone: %v", err)
	}
	status, body := c.get("/readyz")
	if status != 200 {
		t.Errorf("readyz: %d, %s", status, body)
	}
	publish(3)
	if !answers(3) {
		t.Error("what is published afterwards does not answer")
	}
	c.ready(1)
}

// A store that answers late, and one that is cut off in one direction only: calls
// go on, writes fail in time, and all heals.
func TestAStoreBehindABadNetwork(t *testing.T) {
	port := freePort(t)
	startEtcd(t, t.TempDir(), port)
	n := newNetwork(t)
	_, through, _ := strings.Cut(n.listen(t, "core", "store", "127.0.0.1:"+port), ":")
	direct := newCluster(t, "far", port)
	c := newCluster(t, "far", through)
	c.server()
	direct.env = append(direct.env, "RUEDO_RUNNER_CORES=http://127.0.0.1:"+c.port)
	start(t, append(direct.env, "RUEDO_APPLICATION_MODE=runner", "RUEDO_STORE_ETCD_HOSTS="), binary(t, "ruedo"), "runner")
	c.ready(1)
	c.publishEcho()
	wasm := echoFile(t)

	whole := n.set(state{delay: 150 * time.Millisecond}, both("core", "store")...)
	c.must("publish", "--no-check", "--name", "slowly", wasm)
	c.answers()
	whole()
	for _, cut := range [][]link{{{"core", "store"}}, {{"store", "core"}}, both("core", "store")} {
		whole := n.set(state{cut: true}, cut...)
		stop := c.calls()
		c.refuses(wasm, "STORE_UNAVAILABLE", 6)
		stop()
		whole()
		testkit.Within(t, 30*time.Second, "writes are accepted again", func() bool {
			_, _, code := c.ruedo("publish", "--no-check", "--name", "other", wasm)
			return code == 0
		})
		c.must("delete", "service", "other", "--yes")
	}
	c.ready(1)
}
