//go:build e2e

package e2e

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// network carries the connections between processes, and loses and delays what it
// is told to. Processes are named; a link is a direction: what one of them sends
// to another.
//
// What a cut link carries is held back and arrives when the link is whole again,
// unless the connection has ended by then, as TCP does over a lossy route.
type network struct {
	mu      sync.Mutex
	links   map[link]state
	changed chan struct{}     // closed when links change
	names   map[string]string // of stores' members, by the URL that they advertise
	tap     func(l link, b []byte)
	open    map[net.Conn]link // accepted connections: who has dialed whom
	ended   chan struct{}
	wg      sync.WaitGroup
}

type link struct{ from, to string }

func (l link) back() link { return link{l.to, l.from} }

// state is how a link is. The zero value is whole and fast.
type state struct {
	cut   bool
	delay time.Duration // of each piece of up to 32 KiB
}

func newNetwork(t *testing.T) *network {
	n := &network{links: make(map[link]state), changed: make(chan struct{}), names: make(map[string]string), open: make(map[net.Conn]link), ended: make(chan struct{})}
	t.Cleanup(func() {
		close(n.ended)
		n.reset(func(link) bool { return true })
		n.wg.Wait()
	})
	return n
}

// listen returns an address that leads to another one. Connections to it are
// those that from makes to to. If from is empty, the first request on each
// connection says who sends it, as those of etcd's members do.
func (n *network) listen(t *testing.T, from, to, address string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			n.wg.Go(func() { n.carry(in, link{from, to}, address) })
		}
	})
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

// carry carries one connection until it ends.
func (n *network) carry(in net.Conn, l link, address string) {
	defer in.Close()
	first := make([]byte, 32<<10)
	size := 0
	if l.from == "" {
		_ = in.SetReadDeadline(time.Now().Add(10 * time.Second))
		var err error
		if size, err = in.Read(first); err != nil {
			return
		}
		_ = in.SetReadDeadline(time.Time{})
		l.from = n.sender(first[:size])
	}
	out, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer out.Close()
	if !n.opened(in, l) {
		return
	}
	defer n.closed(in)
	n.wg.Go(func() {
		n.pass(l.back(), out, in, nil)
		_ = in.Close()
		_ = out.Close()
	})
	n.pass(l, in, out, first[:size])
}

// sender returns who sends a request of a member of a store.
func (n *network) sender(request []byte) string {
	for line := range strings.Lines(string(request)) {
		if name, url, ok := strings.Cut(line, ": "); ok && strings.EqualFold(name, "X-PeerURLs") {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.names[strings.TrimSpace(url)]
		}
	}
	return ""
}

func (n *network) opened(c net.Conn, l link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.ended:
		return false
	default:
		n.open[c] = l
		return true
	}
}

func (n *network) closed(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, c)
}

// pass carries one direction of a connection; first has arrived already.
func (n *network) pass(l link, from, to net.Conn, first []byte) {
	buf := make([]byte, 32<<10)
	for {
		b, err := first, error(nil)
		if first = nil; len(b) == 0 {
			var k int
			k, err = from.Read(buf)
			b = buf[:k]
		}
		if len(b) > 0 {
			if n.tap != nil {
				n.tap(l, b)
			}
			if !n.wait(l) {
				return
			}
			if _, err := to.Write(b); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait returns when the link carries something. It reports whether the network
// still exists.
func (n *network) wait(l link) bool {
	for {
		n.mu.Lock()
		s, changed := n.links[l], n.changed
		n.mu.Unlock()
		if !s.cut {
			select {
			case <-time.After(s.delay):
				return true
			case <-n.ended:
				return false
			}
		}
		select {
		case <-changed:
		case <-n.ended:
			return false
		}
	}
}

// set changes links until the returned function is called.
func (n *network) set(s state, links ...link) (restore func()) {
	change := func(s state) {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, l := range links {
			n.links[l] = s
		}
		close(n.changed)
		n.changed = make(chan struct{})
	}
	change(s)
	return func() { change(state{}) }
}

// reset breaks open connections.
func (n *network) reset(which func(link) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c, l := range n.open {
		if which(l) {
			_ = c.Close()
		}
	}
}

// both returns the links between a process and others, in both directions.
func both(a string, others ...string) (links []link) {
	for _, b := range others {
		links = append(links, link{a, b}, link{b, a})
	}
	return links
}

// A cut of one direction leaves the other one whole, and nothing is lost.
func TestTheNetworkOfTheFaultTests(t *testing.T) {
	n := newNetwork(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", n.listen(t, "a", "b", ln.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	says := func(from, to net.Conn, text string, arrives bool) {
		t.Helper()
		if _, err := from.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		limit := 5 * time.Second
		if !arrives {
			limit = 50 * time.Millisecond
		}
		_ = to.SetReadDeadline(time.Now().Add(limit))
		_, err := to.Read(got)
		if arrives != (err == nil) || arrives && !bytes.Equal(got, []byte(text)) {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	says(client, server, "one", true)
	whole := n.set(state{cut: true}, link{"a", "b"})
	says(client, server, "two", false)
	says(server, client, "back", true)
	whole()
	got := make([]byte, 3)
	_ = server.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := server.Read(got); err != nil || string(got) != "two" {
		t.Errorf("after the cut: %q, %v", got, err)
	}
	says(client, server, "new", true)
	began := time.Now()
	fast := n.set(state{delay: 100 * time.Millisecond}, both("a", "b")...)
	says(client, server, "slow", true)
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("a slow link took %v", took)
	}
	fast()
	n.reset(func(l link) bool { return l == link{"a", "b"} })
	_ = server.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := server.Read(got); err == nil {
		t.Error("a connection survives a reset")
	}
}
