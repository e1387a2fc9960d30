package egress

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// A guest that opens 10,000 streams, one after the other, gets as many as its limit
// allows.
func TestStreamsOfACall(t *testing.T) {
	var served atomic.Int64
	port := listen(t, func(net.Conn) { served.Add(1) })
	p := newPolicy(t, newEgress(t, Config{}), loopback("tcp", port))
	g := newGuest(t, p)
	refused := 0
	for range 10_000 {
		s := g.open(abi.HeadURL, "tcp://127.0.0.1:"+port)
		if h := s.head(); h[abi.HeadError] == "EGRESS_LIMIT" {
			if refused++; !strings.Contains(h[abi.HeadMessage], "256") {
				t.Fatalf("the head is %v", h)
			}
		} else if h[abi.HeadError] != "" {
			t.Fatalf("the head is %v", h)
		}
		s.close()
	}
	g.end()
	r := g.call.Report()
	if refused != 10_000-MaxStreams || served.Load() != MaxStreams || int(r.Limited) != refused || len(r.Lines) != maxLines {
		t.Errorf("%d are refused, %d were served; used %+v", refused, served.Load(), r)
	}
	if n := p.egress.open.Load(); n != 0 {
		t.Errorf("the runner counts %d streams", n)
	}
}

func TestStreamsAtTheSameTime(t *testing.T) {
	port := listen(t, hold)
	e := newEgress(t, Config{})
	g := newGuest(t, newPolicy(t, e, loopback("tcp", port)))
	var open []*socket
	for range MaxOpen {
		s := g.open(abi.HeadURL, "tcp://127.0.0.1:"+port)
		if h := s.head(); h[abi.HeadError] != "" {
			t.Fatalf("the head is %v", h)
		}
		open = append(open, s)
	}
	if h := g.open(abi.HeadURL, "tcp://127.0.0.1:"+port).head(); h[abi.HeadError] != "EGRESS_LIMIT" || !strings.Contains(h[abi.HeadMessage], "close those") {
		t.Errorf("one too many: %v", h)
	}
	open[0].close()
	// The place is free when the connection is closed.
	for until := time.Now().Add(10 * time.Second); g.call.open.Load() == MaxOpen; {
		if time.Now().After(until) {
			t.Fatal("the place is not free")
		}
		time.Sleep(time.Millisecond)
	}
	if h := g.open(abi.HeadURL, "tcp://127.0.0.1:"+port).head(); h[abi.HeadError] != "" {
		t.Errorf("after one was closed: %v", h)
	}
	// All calls of a runner together.
	e.open.Add(MaxRunnerStreams)
	if h := newGuest(t, g.call.policy).open(abi.HeadURL, "tcp://127.0.0.1:"+port).head(); h[abi.HeadError] != "EGRESS_LIMIT" || !strings.Contains(h[abi.HeadMessage], "runner") {
		t.Errorf("one too many of the runner: %v", h)
	}
	e.open.Add(-MaxRunnerStreams)
}

// An endless answer ends at the limit, and so does what a guest sends.
func TestBytesOfACall(t *testing.T) {
	endless := listen(t, func(conn net.Conn) {
		for {
			if _, err := conn.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	takes := listen(t, hold)
	url, _ := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}
		_, _ = io.Copy(io.Discard, r.Body)
	}, false)
	const limit = 1 << 20
	p := newPolicy(t, newEgress(t, Config{maxBytes: limit}), loopback("tcp", endless), loopback("tcp", takes), loopback("http", url[strings.LastIndexByte(url, ':')+1:]))
	for _, get := range []func(g *guest) *socket{
		func(g *guest) *socket { return g.open(abi.HeadURL, "tcp://127.0.0.1:"+endless) },
		func(g *guest) *socket { return g.get(url) },
	} {
		g := newGuest(t, p)
		s := get(g)
		s.head()
		if n, err := io.Copy(io.Discard, s); err == nil || n > limit || n < limit/2 {
			t.Errorf("got %d bytes, %v", n, err)
		}
		g.end()
		if r := g.call.Report(); r.Limited != 1 || r.Failed != 0 || len(r.Lines) != 1 || !strings.Contains(r.Lines[0], "received 1048576 bytes") {
			t.Errorf("used %+v", r)
		}
	}
	for _, put := range []func(g *guest) *socket{
		func(g *guest) *socket { return g.open(abi.HeadURL, "tcp://127.0.0.1:"+takes) },
		func(g *guest) *socket { return g.open(abi.HeadURL, url, abi.HeadMethod, "POST", abi.HeadLength, "-1") },
	} {
		g := newGuest(t, p)
		s := put(g)
		for n := 0; ; n += 64 << 10 {
			if _, err := s.Write(make([]byte, 64<<10)); err != nil {
				break
			}
			if n > 2*limit {
				t.Fatalf("sent %d bytes", n)
			}
		}
		g.end()
		if r := g.call.Report(); r.Limited != 1 || r.Failed != 0 || len(r.Lines) != 1 || !strings.Contains(r.Lines[0], "sent 1048576 bytes") {
			t.Errorf("used %+v", r)
		}
	}
}

// A peer that never reads stops the guest, whose memory is bounded, and its call
// ends in time all the same.
func TestPeerThatNeverReads(t *testing.T) {
	release := make(chan struct{})
	port := listen(t, func(net.Conn) { <-release })
	defer close(release)
	for _, scheme := range []string{"tcp", "http"} {
		g := newGuest(t, newPolicy(t, newEgress(t, Config{}), loopback(scheme, port)))
		s := g.open(append([]string{abi.HeadURL, scheme + "://127.0.0.1:" + port}, map[string][]string{
			"http": {abi.HeadMethod, "POST", abi.HeadLength, "-1"},
		}[scheme]...)...)
		piece, sent := make([]byte, 64<<10), 0
		for full := 0; full < 20; { // until nothing moves for a while
			n, err := s.TryWrite(piece)
			if sent += n; err != nil {
				full++
				time.Sleep(10 * time.Millisecond)
				continue
			}
			full = 0
		}
		if sent > 32<<20 {
			t.Errorf("%s: the guest has written %d bytes", scheme, sent)
		}
		s.close()
		began := time.Now()
		g.end()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: the call ends after %s", scheme, took)
		}
	}
}

// A peer that sends one byte at a time is the guest's to wait for.
func TestSlowPeer(t *testing.T) {
	port := listen(t, func(conn net.Conn) {
		for range 20 {
			_, _ = conn.Write([]byte("x"))
			time.Sleep(2 * time.Millisecond)
		}
	})
	g := newGuest(t, newPolicy(t, newEgress(t, Config{}), loopback("tcp", port)))
	if got := g.open(abi.HeadURL, "tcp://127.0.0.1:"+port).text(); got != strings.Repeat("x", 20) {
		t.Errorf("got %q", got)
	}
}

// Calls that end while their streams do anything leave nothing, which TestMain
// sees.
func TestEndingsLeaveNothing(t *testing.T) {
	port := listen(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 10))
		_, _ = conn.Write(make([]byte, 1<<20))
	})
	url, _ := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.CopyN(io.Discard, r.Body, 10)
		_, _ = w.Write(make([]byte, 1<<20))
	}, false)
	p := newPolicy(t, newEgress(t, Config{}), loopback("tcp", port), loopback("tls", port), loopback("udp", port), loopback("http", url[strings.LastIndexByte(url, ':')+1:]))
	for n := range 200 {
		g := newGuest(t, p)
		for i := range n % 7 {
			s := g.open([][]string{
				{abi.HeadURL, "tcp://127.0.0.1:" + port},
				{abi.HeadURL, "tls://127.0.0.1:" + port},
				{abi.HeadURL, "udp://127.0.0.1:" + port},
				{abi.HeadURL, url, abi.HeadMethod, "POST", abi.HeadLength, "-1"},
				{abi.HeadURL, "tcp://10.0.0.1:1"},
			}[(n+i)%5]...)
			_, _ = s.TryWrite(make([]byte, 1000*(i+1)))
			switch n % 4 {
			case 1:
				s.CloseWrite()
			case 2:
				s.head()
			case 3:
				s.close()
			}
		}
		g.end()
		if open := g.call.open.Load(); open != 0 {
			t.Fatalf("%d streams are still open", open)
		}
	}
}
