//go:build hostile

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor/executortest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// TestOneServicePublishedManyTimes publishes 300 revisions of a Go service and
// calls each. In the end, runners hold memory for only a few of them, and soon
// after for only one.
func TestOneServicePublishedManyTimes(t *testing.T) {
	const revisions = 300
	// How much more a runner can have than with one revision: some compiled plans
	// in their grace period, and the garbage of loading them.
	const memory, files = 128 << 20, 16
	c := newCluster(t)
	guest := executortest.Guest(t)
	publish := func(n int) {
		t.Helper()
		err := c.publish(t.Context(), "revised", guest, nil, func(req *ruedov1.PublishServiceRequest) {
			req.Env["REVISION"] = fmt.Sprint(n)
		})
		if err != nil {
			t.Fatalf("revision %d: %v", n, err)
		}
		for range runnerCount {
			res, err := c.client.Call(t.Context(), "revised", []byte("env REVISION"))
			if err != nil || string(res.Output) != fmt.Sprint(n) {
				t.Fatalf("revision %d answers %q, %v", n, res.Output, err)
			}
		}
	}
	publish(0)
	first := make(map[*process]state)
	for _, p := range c.runners {
		first[p] = p.state(t)
		p.resetPeak(t)
	}
	began := time.Now()
	for n := range revisions {
		publish(n + 1)
	}
	t.Logf("%d revisions were published in %s", revisions, time.Since(began).Round(time.Second))
	for _, p := range c.runners {
		was, now := first[p], p.state(t)
		t.Logf("%s: memory %s with one revision, %s after %d, at most %s; files %d, then %d", p.name, mib(was.rss), mib(now.rss), revisions, mib(now.peak), was.files, now.files)
		if now.rss > was.rss+memory || now.peak > was.rss+2*memory {
			t.Errorf("%s has %s of memory and had up to %s, with one revision %s", p.name, mib(now.rss), mib(now.peak), mib(was.rss))
		}
		if now.files > was.files+files {
			t.Errorf("%s has %d open files, with one revision %d", p.name, now.files, was.files)
		}
	}
	for _, p := range c.runners {
		was := first[p]
		var now state
		if !testkit.Poll(40*time.Second, func() bool {
			now = p.state(t)
			return now.files <= was.files+2 && now.rss <= was.rss+memory/2
		}) {
			t.Errorf("%s does not let go: memory %s, with one revision %s; files %d, were %d", p.name, mib(now.rss), mib(was.rss), now.files, was.files)
		}
		t.Logf("%s: in the end memory %s, files %d", p.name, mib(now.rss), now.files)
	}
}

// TestACacheDirectoryIsLost removes the cache directories of runners while
// services are published and called.
func TestACacheDirectoryIsLost(t *testing.T) {
	c := newCluster(t)
	v := newVictim(t, c)
	dir := func(p *process) string { return filepath.Join(c.home, p.name) }
	remove := func(p *process) {
		t.Helper()
		if err := os.RemoveAll(dir(p)); err != nil {
			t.Fatal(err)
		}
	}
	spoil := func(p *process) {
		t.Helper()
		remove(p)
		if err := os.WriteFile(dir(p), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serial := 0
	// publish publishes a new module as a service and returns what its runners
	// answered.
	publish := func() (name string, said []*ruedov1.Preparation, err error) {
		t.Helper()
		serial++
		name = fmt.Sprint("lost-", serial)
		wasm := w.Function(w.I32(int32(serial)), w.Drop(), w.I32(0)).Bytes()
		digest, err := c.client.Upload(t.Context(), wasm, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.client.Services.PublishService(t.Context(), &ruedov1.PublishServiceRequest{Name: name, Module: digest})
		return name, res.GetPreparations(), err
	}
	// works publishes and expects a number of runners to answer.
	works := func(what string, want int) {
		t.Helper()
		name, said, err := publish()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		ran := map[string]bool{}
		for range 4 * runnerCount {
			res, err := c.client.Call(t.Context(), name, nil)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			ran[res.Info.GetRunner()] = true
		}
		if len(ran) != want {
			t.Errorf("%s: %d runners answer, want %d", what, len(ran), want)
		}
		for _, s := range said {
			if strings.Contains(s.Error, "/") || strings.Contains(s.Error, "directory") {
				t.Errorf("%s: a runner tells too much: %s", what, s.Error)
			}
		}
	}
	calls := v.watch(func() {
		works("before", 2)
		for _, p := range c.runners {
			remove(p)
		}
		works("the directories are gone", 2)
		for _, p := range c.runners {
			if _, err := os.Stat(filepath.Join(dir(p), "modules")); err != nil {
				t.Errorf("%s has not made it again: %v", p.name, err)
			}
		}
		spoil(c.runners[0])
		for range 3 {
			works("one runner has no directory", 1)
		}
		if n := strings.Count(c.runners[0].output(0), "modules cannot be compiled"); n != 1 {
			t.Errorf("the runner says %d times that it cannot compile", n)
		}
		if !strings.Contains(c.runners[0].output(0), dir(c.runners[0])) {
			t.Error("the runner does not name the path in its log")
		}

		spoil(c.runners[1])
		_, _, err := publish()
		e := faultrpc.FromError(err)
		if err == nil || e.Reason == fault.Internal || strings.Contains(everything(err), c.home) || !strings.Contains(e.Message, "cannot store modules on its disk") {
			t.Errorf("no runner has a directory: got %s %v", e.Reason, err)
		}
		t.Logf("no runner has a directory: %s: %v (%s)", e.Reason, err, e.Fix)

		for _, p := range c.runners {
			remove(p)
		}
		works("the disks are back", 2)
	})
	if len(calls.problems) > 0 {
		t.Errorf("%d of %d calls of another service failed: %s", len(calls.problems), calls.calls, calls.problems[0])
	}
	t.Logf("another service meanwhile: %s", calls)
	for _, p := range c.runners {
		if n := strings.Count(p.output(0), "can be used again"); n == 0 {
			t.Errorf("%s does not say that its directory is back", p.name)
		}
	}
	v.stop()
}
