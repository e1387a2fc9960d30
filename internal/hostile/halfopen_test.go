//go:build hostile

package hostile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

const (
	// slowWithin is how soon the core must hang up on a body that does not arrive.
	slowWithin = 25 * time.Second
	// exitWithin is how soon a core must exit after SIGTERM, whatever peers hold
	// open.
	exitWithin = 10 * time.Second
)

// contentType is that of a procedure's requests over Connect.
func (p procedure) contentType() string {
	if p.stream == connect.StreamTypeUnary {
		return "application/proto"
	}
	return "application/connect+proto"
}

// callProcedure stands for POST /call/{service} among the procedures.
func callProcedure(service string) procedure { return procedure{path: "/call/" + service} }

// halfOpen sends a request over HTTP/1.1 whose body never completes: the first
// byte of 1000, then silence, or a byte a second.
func (c *cluster) halfOpen(p procedure) (net.Conn, error) {
	conn, err := c.dial()
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\n\x00", p.path, c.address(), p.contentType())
	return conn, err
}

// dribble sends a byte a second until that fails or stop is called.
func dribble(write func([]byte) error) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if write([]byte{0}) != nil {
					return
				}
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// tooSlow reads the answer to a request whose body does not arrive, up to the
// end of the connection.
func (b *bout) tooSlow(what string, p procedure, conn net.Conn) {
	began := time.Now()
	_ = conn.SetReadDeadline(began.Add(slowWithin))
	all, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.Errorf("%s: the connection is still open after %s; it was answered with %.100q", what, slowWithin, all)
		return
	}
	if took := time.Since(began); took > 20*time.Second {
		b.note("%s: the core hung up after %s", what, took.Round(time.Second))
	}
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(all))), nil)
	if err != nil {
		if p.stream == connect.StreamTypeUnary {
			b.Errorf("%s: the core hung up without an answer: %v: %.100q", what, err, all)
		}
		return
	}
	defer res.Body.Close()
	a, err := b.heard(what, res)
	switch {
	case err != nil:
		b.Errorf("%s: the answer is cut short: %v", what, err)
	case a.err == nil:
		b.Errorf("%s: it was taken: %d %.200q", what, a.status, a.body)
	case a.status == http.StatusNotFound: // not every generated procedure is served
	case p.stream == connect.StreamTypeUnary && !reasonIs(a.err, fault.RequestTooSlow, fault.ServerBusy):
		b.Errorf("%s: got %s, want %s: %.200v", what, faultrpc.FromError(a.err).Reason, fault.RequestTooSlow, a.err)
	}
}

// halfOpenRow is row 43: requests whose bodies do not arrive, to every
// procedure.
func halfOpenRow() *row {
	// each is how many requests are made to every procedure at the same time.
	each := func(b *bout, times int, do func(p procedure)) {
		list := append(b.mustProcedures(), callProcedure(victimName))
		var wg sync.WaitGroup
		for _, p := range list {
			for range times {
				wg.Go(func() { do(p) })
			}
		}
		wg.Wait()
	}
	http1 := func(trickle bool) func(b *bout) {
		return func(b *bout) {
			each(b, 8, func(p procedure) {
				conn, err := b.halfOpen(p)
				if err != nil {
					b.Errorf("%s: %v", p.path, err)
					return
				}
				defer conn.Close()
				if trickle {
					defer dribble(func(x []byte) error { _, err := conn.Write(x); return err })()
				}
				b.tooSlow(p.path, p, conn)
			})
		}
	}
	http2 := func(trickle bool) func(b *bout) {
		return func(b *bout) {
			each(b, 1, func(p procedure) {
				f, err := b.frames()
				if err != nil {
					b.Errorf("%s: %v", p.path, err)
					return
				}
				defer f.close()
				types := []string{p.contentType(), "application/json", "application/grpc", "application/grpc-web"}
				for i := range 8 {
					id, err := f.request(false, http.MethodPost, p.path, "content-type", types[i%len(types)])
					if err != nil {
						break
					}
					_ = f.data(id, false, []byte{0})
				}
				if trickle {
					defer dribble(func(x []byte) error { return f.data(1, false, x) })()
				}
				if !testkit.Poll(slowWithin, func() bool { return f.left() == 0 }) {
					b.Errorf("%s: %d streams of 8 are still there after %s: %s", p.path, f.left(), slowWithin, f.went())
				}
			})
		}
	}
	return &row{
		number: 43, name: "bodies that do not come, to every procedure", once: true,
		moves: []move{
			{"200 connections, a body that stops", http1(false)},
			{"200 connections, 1 byte a second", http1(true)},
			{"200 streams of HTTP/2, a body that stops", http2(false)},
			{"200 streams of HTTP/2, 1 byte a second", http2(true)},
		},
		peakCore: 96 << 20,
	}
}

// A core that is told to stop does so within seconds, whatever its peers do.
func TestShutdown(t *testing.T) {
	unary := procedure{path: "/ruedo.v1.InvokeService/Invoke"}
	upload := procedure{path: "/ruedo.v1.ModuleService/UploadModule", stream: connect.StreamTypeClient}
	hold := func(p procedure) func(*cluster) (io.Closer, error) {
		return func(c *cluster) (io.Closer, error) { return c.halfOpen(p) }
	}
	for _, tt := range []struct {
		name string
		open func(c *cluster) (io.Closer, error)
	}{
		{"calls whose body does not come", hold(callProcedure(victimName))},
		{"requests whose body does not come", hold(unary)},
		{"uploads whose body does not come", hold(upload)},
		{"calls over HTTP/2 whose body does not come", func(c *cluster) (io.Closer, error) {
			f, err := c.frames()
			if err != nil {
				return nil, err
			}
			_, err = f.request(false, http.MethodPost, "/call/"+victimName)
			return closing(f.close), err
		}},
		{"answers that nobody reads", func(c *cluster) (io.Closer, error) {
			f, err := c.frames(stalled)
			if err != nil {
				return nil, err
			}
			_, err = f.request(true, http.MethodPost, "/call/large")
			return closing(f.close), err
		}},
		{"connections without a request", func(c *cluster) (io.Closer, error) { return c.dial() }},
	} {
		for _, n := range []int{1, 50} {
			t.Run(fmt.Sprintf("%d %s", n, tt.name), func(t *testing.T) {
				c := newCluster(t)
				if strings.HasPrefix(tt.name, "answers") {
					b := &bout{cluster: c, ctx: t.Context(), row: &row{}, serial: new(atomic.Int64)}
					b.mustPublishLarge("large")
				}
				before := c.sockets(t)
				for range n {
					held, err := tt.open(c)
					if err != nil {
						t.Fatal(err)
					}
					defer held.Close()
				}
				// Until the core has accepted them all.
				if !testkit.Poll(5*time.Second, func() bool { return c.sockets(t) >= before+n }) {
					t.Fatalf("the core has not taken %d connections", n)
				}
				began := time.Now()
				if err := c.core.cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				select {
				case <-c.core.exited:
				case <-time.After(60 * time.Second):
					t.Fatalf("the core is still there a minute after SIGTERM:\n%s", tail(c.core.output(0), 2000))
				}
				took, code := time.Since(began), c.core.cmd.ProcessState.ExitCode()
				t.Logf("it ended after %s with code %d", took.Round(10*time.Millisecond), code)
				if took > exitWithin || code != 0 {
					t.Errorf("it ended after %s with code %d, want at most %s and code 0:\n%s", took.Round(10*time.Millisecond), code, exitWithin, tail(c.core.output(0), 1000))
				}
			})
		}
	}
}

// closing is a Close that cannot fail.
type closing func()

func (f closing) Close() error { f(); return nil }

// sockets returns how many sockets the core has open.
func (c *cluster) sockets(t *testing.T) int {
	dir := fmt.Sprintf("/proc/%d/fd/", c.core.pid())
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(slices.DeleteFunc(files, func(f os.DirEntry) bool {
		to, _ := os.Readlink(dir + f.Name()) // it may be gone
		return !strings.HasPrefix(to, "socket:")
	}))
}
