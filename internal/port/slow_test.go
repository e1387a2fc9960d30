package port_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// answered reads the status line of an answer and whether the connection was
// closed after it.
func answered(t *testing.T, c net.Conn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the connection is not closed: %v after %q", err, b)
	}
	return string(b)
}

func TestABodyThatStandsStillIsRefusedAndItsConnectionClosed(t *testing.T) {
	addr := serve(t, impatient(), mounted(nil))
	for name, path := range map[string]string{
		"plain HTTP": "/echo", "Connect": "/ruedo.v1.InvokeService/Invoke", "a handler that does not read": "/panic", "nothing there": "/nothing",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, addr)
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{", path)
			got := answered(t, c)
			if strings.HasPrefix(path, "/echo") || strings.HasPrefix(path, "/ruedo") {
				if !strings.Contains(got, "REQUEST_TOO_SLOW") && !strings.Contains(got, "deadline_exceeded") {
					t.Errorf("got %s", got)
				}
			}
		})
	}
}

func TestABodyThatTricklesIsRefused(t *testing.T) {
	addr := serve(t, impatient(), mounted(nil))
	c := dial(t, addr)
	fmt.Fprint(c, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n")
	stop := make(chan struct{})
	var trickle sync.WaitGroup
	trickle.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = c.Write([]byte("x"))
			case <-stop:
				return
			}
		}
	})
	defer trickle.Wait()
	defer close(stop)
	if got := answered(t, c); !strings.Contains(got, string(fault.RequestTooSlow)) {
		t.Errorf("got %s", got)
	}
}

// A handler can take its time, and so can a body that keeps arriving.
func TestSlowHandlersAndSteadyBodiesAreFine(t *testing.T) {
	cfg := impatient()
	cfg.Idle = time.Second // far more than the machine pauses between two pieces of a body
	addr := serve(t, cfg, func(s *port.Server) {
		s.Handle("POST /slow", "slow", access.Own(), port.Bounds{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(2 * cfg.Idle):
				echo(w, r)
			case <-r.Context().Done():
				t.Error("the handler was interrupted")
			}
		}))
		mounted(nil)(s)
	})
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	for name, transport := range map[string]*http.Transport{"h1": {}, "h2": {Protocols: &h2}} {
		t.Cleanup(transport.CloseIdleConnections)
		client := &http.Client{Transport: transport}
		for _, path := range []string{"/slow", "/echo"} {
			t.Run(name+path, func(t *testing.T) {
				t.Parallel()
				r, w := io.Pipe()
				var writing sync.WaitGroup
				writing.Go(func() {
					defer w.Close()
					for range 12 {
						_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<10))
						<-time.After(2 * cfg.Idle / 12)
					}
				})
				res, err := client.Post("http://"+addr+path, "text/plain", r)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				writing.Wait()
				if err != nil || len(b) != 12<<10 {
					t.Errorf("%d bytes, %v", len(b), err)
				}
			})
		}
	}
}

// big answers with more than the kernel's buffers hold.
func big(size int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := port.Hold(r.Context(), size); err != nil {
			w.WriteHeader(faultrpc.HTTPStatus(faultrpc.FromError(err)))
			_, _ = io.WriteString(w, string(fault.ReasonOf(err)))
			return
		}
		_, _ = w.Write(make([]byte, size))
	})
}

func TestAnAnswerThatNobodyReadsIsEnded(t *testing.T) {
	ended := make(chan struct{}, 1)
	addr := serve(t, impatient(), func(s *port.Server) {
		h := big(32 << 20)
		s.Handle("GET /big", "big", access.Own(), port.Bounds{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r)
			ended <- struct{}{}
		}))
	})
	t.Run("h1", func(t *testing.T) {
		c := dial(t, addr)
		fmt.Fprint(c, "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
		within(t, ended)
	})
	t.Run("h2", func(t *testing.T) {
		c := dial(t, addr)
		stream(t, c, "/big", 0)
		within(t, ended)
	})
}

func within(t *testing.T, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(15 * time.Second):
		t.Fatal("the handler still waits for its peer")
	}
}

func TestAnswersInFlightAreBounded(t *testing.T) {
	const size = 8 << 20
	cfg := port.Config{Memory: 4 * size, ConnMemory: 2 * size}
	addr := serve(t, cfg, func(s *port.Server) { s.Handle("GET /big", "big", access.Own(), port.Bounds{}, big(size)) })
	status := func(c net.Conn) int {
		fmt.Fprint(c, "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}
	for i := range 4 {
		if got := status(dial(t, addr)); got != http.StatusOK {
			t.Fatalf("answer %d: %d", i, got)
		}
	}
	// None of the four has read its answer. The fifth is refused, or gets the
	// room of one that has stood still for too long.
	c := dial(t, addr)
	if got := status(c); got != http.StatusTooManyRequests && got != http.StatusOK {
		t.Errorf("the answer over the budget: %d", got)
	}
	testkit.Eventually(t, "there is room again", func() bool { return status(dial(t, addr)) == http.StatusOK })
}

func TestBodiesInFlightAreBounded(t *testing.T) {
	release := make(chan struct{})
	cfg := port.Config{Memory: 1 << 20}
	addr := serve(t, cfg, func(s *port.Server) {
		s.Handle("POST /hold", "hold", access.Own(), port.Bounds{Weight: 4}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			echo(w, r)
			<-release
		}))
		mounted(nil)(s)
	})
	defer close(release)
	c := dial(t, addr)
	fmt.Fprintf(c, "POST /hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", 200<<10, strings.Repeat("x", 200<<10))
	if _, err := io.ReadFull(c, make([]byte, 100<<10)); err != nil {
		t.Fatal(err)
	}
	post := func(path string, n int) int {
		res, err := http.Post("http://"+addr+path, "text/plain", strings.NewReader(strings.Repeat("x", n)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode
	}
	defer http.DefaultClient.CloseIdleConnections()
	if got := post("/echo", 900<<10); got != http.StatusTooManyRequests {
		t.Errorf("a body for which there is no room: %d", got)
	}
	if got := post("/echo", 1<<10); got != http.StatusOK {
		t.Errorf("a small body: %d", got)
	}
}

// Shutdown completes even if a peer has sent half a body, or does not read.
func TestDrainingDoesNotWaitForPeersThatDoNothing(t *testing.T) {
	s := port.New(port.Config{Idle: 5 * time.Second})
	mounted(nil)(s)
	s.Handle("GET /big", "big", access.Own(), port.Bounds{}, big(32<<20))
	l, err := port.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	for range 10 {
		fmt.Fprint(dial(t, l.Addr().String()), "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\nx")
		fmt.Fprint(dial(t, l.Addr().String()), "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	testkit.Eventually(t, "all are in flight", func() bool { return s.InFlight() == 20 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	began := time.Now()
	if err := s.Drain(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Close returns the same result again, even if it did not wait for all
// connections.
func TestClosingAgainReturnsTheSame(t *testing.T) {
	s := port.New(port.Config{})
	l, err := port.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	dial(t, l.Addr().String()) // sends no request
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A request that takes more than the whole memory of the port is let in when
// nothing else is. It has the usual patience for its peer as long as nobody waits
// for its room.
func TestALargeRequestAloneIsNotHurried(t *testing.T) {
	const size = 8 << 20
	addr := serve(t, port.Config{Idle: 6 * time.Second, Rate: 1, Memory: 1 << 20}, func(s *port.Server) {
		s.Handle("POST /echo", "echo", access.Own(), port.Bounds{Weight: 1}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(b[:size])
		}))
	})
	c := dial(t, addr)
	body := bytes.Repeat([]byte("x"), size)
	if _, err := fmt.Fprintf(c, "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", size, body); err != nil {
		t.Fatal(err)
	}
	// The peer stands still for longer than it could under pressure.
	<-time.After(1500 * time.Millisecond)
	if got := answered(t, c); len(got) < size {
		t.Errorf("%d bytes of %d arrived", len(got), size)
	}
}
