//go:build e2e

package e2e

import (
	"crypto/rand"
	leb "encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// disk mounts a small file system of its own for a test.
func disk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mount(t, dir, 0, "size=96m,mode=0700")
	return dir
}

// mount mounts a file system over dir until lift, or until the test ends.
func mount(t *testing.T, dir string, flags uintptr, options string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Skipf("a file system of its own cannot be mounted (it takes root): %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // unless lifted
}

func lift(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
}

// fill takes all the room that is left on a disk; remove the file to make room.
func fill(t *testing.T, disk string) (file string) {
	t.Helper()
	file = filepath.Join(disk, "filler")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return file
}

// alone returns a cluster of one core with an embedded store in dir.
func alone(t *testing.T, dir string) *cluster {
	t.Helper()
	c := newCluster(t, "disk", "1")
	c.env = append(c.env, "RUEDO_STORE_ETCD_HOSTS=", "RUEDO_SERVER_DISTRIBUTED_EXECUTION=false", "RUEDO_STORE_DATA_DIR="+dir)
	return c
}

// calls calls echo until the returned function is called; each call must succeed.
func (c *cluster) calls() (stop func()) {
	c.t.Helper()
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		n := 0
		for {
			select {
			case <-end:
				c.t.Logf("%d calls succeeded", n)
				return
			default:
			}
			if _, body, err := c.call(http.DefaultClient, "echo", `{"n":1}`); err != nil || body != `{"n":1}` {
				c.t.Errorf("call %d gives %q, %v", n, body, err)
				return
			}
			n++
			time.Sleep(5 * time.Millisecond)
		}
	})
	return sync.OnceFunc(func() { close(end); wg.Wait() })
}

// get returns what a page of the core says.
func (c *cluster) get(path string) (status int, body string) {
	c.t.Helper()
	res, err := http.Get("http://127.0.0.1:" + c.port + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// writesFail checks that each kind of write soon fails with a reason and says
// what to do.
func (c *cluster) writesFail(wasm, reason string, code int) {
	c.t.Helper()
	c.refuses(wasm, reason, code)
	yaml := filepath.Join(c.t.TempDir(), "small.yaml")
	if err := os.WriteFile(yaml, []byte("kind: Decorator\nname: small\nlimits:\n  memory: 32MiB\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	for _, args := range [][]string{{"apply", "-f", yaml}, {"delete", "service", "echo", "--yes"}} {
		began := time.Now()
		_, stderr, got := c.ruedo(append(args, "-o", "json")...)
		if got != code || !strings.Contains(stderr, reason) || !strings.Contains(stderr, `"fix"`) {
			c.t.Errorf("%v ends with %d, want %d, %s and a fix:\n%s", args, got, code, reason, stderr)
		}
		if took := time.Since(began); took > 5*time.Second {
			c.t.Errorf("%v took %v to fail", args, took)
		}
	}
}

// alarmed waits until the core says everywhere that its store has an alarm.
func (c *cluster) alarmed(reason string) {
	c.t.Helper()
	c.waitStatus("ALARM:")
	if out := c.must("get", "status"); !strings.Contains(out, reason) || !strings.Contains(out, "Fix:") {
		c.t.Errorf("status: %s", out)
	}
	if _, body := c.get("/metrics"); !strings.Contains(body, `ruedo_alarms{reason="`+reason+`"} 1`) {
		c.t.Errorf("the metrics have no alarm %s", reason)
	}
	if status, body := c.get("/readyz"); status != http.StatusOK || !strings.Contains(body, "alarm "+reason) {
		c.t.Errorf("readyz says %d, %s", status, body)
	}
}

// recovers waits until the alarm has ended, and checks that writes work.
func (c *cluster) recovers(wasm string) {
	c.t.Helper()
	testkit.Within(c.t, 30*time.Second, "the alarm ends", func() bool {
		out, _, code := c.ruedo("get", "status")
		return code == 0 && !strings.Contains(out, "ALARM")
	})
	testkit.Within(c.t, 20*time.Second, "the store answers", func() bool { return !strings.Contains(c.must("get", "status"), "does not answer") })
	c.must("publish", "--no-check", "--name", "other", wasm)
	c.must("delete", "service", "other", "--yes")
	c.answers()
}

// ends stops a core and checks that it ends well and in time.
func (c *cluster) ends(server *process) {
	c.t.Helper()
	began := time.Now()
	server.signal(c.t, syscall.SIGTERM)
	if code := server.wait(c.t, 40*time.Second); code != 0 {
		c.t.Errorf("the core ends with %d:\n%s", code, tail(server.output(), 2000))
	}
	if took := time.Since(began); took > 15*time.Second {
		c.t.Errorf("the end took %v", took)
	}
}

func TestAFullDiskUnderARunningCore(t *testing.T) {
	root, wasm := disk(t), echoFile(t)
	c := alone(t, filepath.Join(root, "store"))
	server := c.server()
	c.publishEcho()
	stop := c.calls()
	defer stop()

	filler := fill(t, root)
	c.writesFail(wasm, "STORE_FULL", 7)
	c.alarmed("STORE_FULL")
	if n := server.count("reason=STORE_FULL"); n != 1 {
		t.Errorf("the alarm is logged %d times", n)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	c.recovers(wasm)

	// A restart of the core while the disk is full.
	filler = fill(t, root)
	c.alarmed("STORE_FULL")
	stop()
	c.ends(server)
	server = c.server()
	stop = c.calls()
	defer stop()
	c.writesFail(wasm, "STORE_FULL", 7)
	c.alarmed("STORE_FULL")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	c.recovers(wasm)
	stop()
	c.ends(server)
}

// The disk fills up while a module is being written, which etcd does not survive.
func TestADiskThatFillsUpDuringAPublish(t *testing.T) {
	root, wasm := disk(t), echoFile(t)
	c := alone(t, filepath.Join(root, "store"))
	server := c.server()
	c.publishEcho()
	stop := c.calls()
	defer stop()

	filler := c.fillWhilePublishing(root)
	c.writesFail(wasm, "STORE_FULL", 7)
	c.alarmed("STORE_FULL")
	t.Logf("etcd failed: %t", strings.Contains(server.output(), "the embedded store has failed"))
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	c.recovers(wasm)
	c.fillWhilePublishing(root)
	c.alarmed("STORE_FULL")
	stop()
	c.ends(server)
}

// fillWhilePublishing publishes a large module and takes all the room on the disk
// as soon as a part of it is written.
func (c *cluster) fillWhilePublishing(root string) (file string) {
	c.t.Helper()
	large := filepath.Join(c.t.TempDir(), "large.wasm")
	if err := os.WriteFile(large, withSection(ruedotest.Echo(), 20<<20), 0o600); err != nil {
		c.t.Fatal(err)
	}
	before := free(c.t, root)
	published := make(chan string, 1)
	go func() {
		_, stderr, code := c.ruedo("publish", "--no-check", "--name", "large", large, "-o", "json")
		published <- fmt.Sprint(code, " ", stderr)
	}()
	for deadline := time.Now().Add(20 * time.Second); free(c.t, root) > before-2<<20; {
		if time.Now().After(deadline) {
			c.t.Fatal("nothing is written")
		}
	}
	file = filepath.Join(root, "filler")
	f, err := os.Create(file)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	for at, size := int64(0), free(c.t, root); size > 0; size = free(c.t, root) {
		if unix.Fallocate(int(f.Fd()), 0, at, size) == nil { // etcd may have taken some of it
			at += size
		}
	}
	c.t.Logf("publish: %s", <-published)
	return file
}

// free returns how many bytes are free on a disk.
func free(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// withSection returns a module with a custom section of random bytes.
func withSection(wasm []byte, size int) []byte {
	section := append([]byte{1, 'x'}, make([]byte, size)...)
	_, _ = rand.Read(section[2:]) // never fails
	out := append([]byte(nil), wasm...)
	out = leb.AppendUvarint(append(out, 0), uint64(len(section)))
	return append(out, section...)
}

func TestAStoreThatCannotBeMadeOnAFullDisk(t *testing.T) {
	root := disk(t)
	c := alone(t, filepath.Join(root, "store"))
	fill(t, root)
	p := start(t, append(c.env, "RUEDO_APPLICATION_MODE=server"), binary(t, "ruedo"), "server")
	if code := p.wait(t, 20*time.Second); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if out := p.output(); !strings.Contains(out, "has no space left") || !strings.Contains(out, "fix: make room on its disk") {
		t.Errorf("output:\n%s", out)
	}
}

func TestAStoreWhoseDiskVanishesAndComesBack(t *testing.T) {
	root, wasm := disk(t), echoFile(t)
	dir := filepath.Join(root, "store")
	c := alone(t, dir)
	server := c.server()
	c.publishEcho()
	stop := c.calls()
	defer stop()
	for _, way := range []struct {
		what, reason string
		apply        func()
	}{
		{"vanished", "DATA_DIR_LOST", func() { mount(t, root, 0, "mode=0700") }},
		{"read-only", "DATA_DIR_READ_ONLY", func() {
			// While files are open, a file system cannot be made read-only, but a
			// mount of it over itself can.
			if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		way.apply()
		c.writesFail(wasm, way.reason, 5)
		c.alarmed(way.reason)
		lift(t, root)
		c.recovers(wasm)
	}
	mount(t, root, 0, "mode=0700")
	c.alarmed("DATA_DIR_LOST")
	stop()
	c.ends(server)
}
