package egress

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newEgress returns an Egress whose names are those of the test.
func newEgress(t testing.TB, cfg Config) *Egress {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newPolicy returns a policy with rules, which is closed at the end of the test.
func newPolicy(t testing.TB, e *Egress, rules ...string) *Policy {
	t.Helper()
	p, err := e.Policy(rules)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// guest is a call as its guest sees it.
type guest struct {
	t    testing.TB
	x    *stream.Exchange
	call *Call
}

// newGuest begins a call, which ends with the test.
func newGuest(t testing.TB, p *Policy) *guest {
	g := &guest{t: t, call: p.Call(slog.String("service", "s"))}
	ctx, cancel := context.WithCancel(context.Background())
	g.x = stream.New(stream.Config{Context: ctx, Opener: g.call})
	t.Cleanup(func() {
		g.end()
		cancel()
	})
	return g
}

// end ends the call and waits for its streams.
func (g *guest) end() {
	g.x.End(nil)
	if err, bug := g.x.Wait(context.Background(), time.Now().Add(time.Minute)); err != nil || bug != nil {
		g.t.Error(err, bug)
	}
}

// socket is a stream that the guest has open.
type socket struct {
	*stream.File
	g  *guest
	fd uint32
}

// open opens a stream with the fields of a head, names and values.
func (g *guest) open(pairs ...string) *socket {
	g.t.Helper()
	o, err := stream.ParseOutbound(headOf(pairs...))
	if err != nil {
		g.t.Fatal(err)
	}
	fd, ok := g.x.Open(o)
	if !ok {
		g.t.Fatal("too many streams")
	}
	return &socket{g.x.File(uint32(fd)), g, uint32(fd)}
}

func headOf(pairs ...string) []byte {
	var b []byte
	for n := 0; n < len(pairs); n += 2 {
		b = abi.AppendField(b, pairs[n], pairs[n+1])
	}
	return b
}

// get makes a request without a body.
func (g *guest) get(url string, fields ...string) *socket {
	g.t.Helper()
	return g.open(append([]string{abi.HeadURL, url, abi.HeadLength, "0"}, fields...)...)
}

// wait calls try until it need not wait, at most for a while.
func (g *guest) wait(try func() error) error {
	timeout := time.After(20 * time.Second)
	for {
		if err := try(); err != stream.ErrWait {
			return err
		}
		select {
		case <-g.x.Wake():
		case <-timeout:
			return errors.New("nothing moves")
		}
	}
}

// head waits for the head, with the fields by name.
func (s *socket) head() map[string]string { return s.part(s.Head) }

func (s *socket) part(read func([]byte) (int, error)) map[string]string {
	s.g.t.Helper()
	var all []byte
	buf := make([]byte, 1000)
	for {
		n := 0
		if err := s.g.wait(func() (err error) { n, err = read(buf); return err }); err != nil {
			return map[string]string{abi.HeadMessage: err.Error(), abi.HeadError: "broken"}
		}
		if n == 0 {
			break
		}
		all = append(all, buf[:n]...)
	}
	fields := map[string]string{}
	for len(all) > 0 {
		name, value, rest, ok := abi.NextField(all)
		if !ok {
			s.g.t.Fatalf("the head is malformed: %q", all)
		}
		if old, twice := fields[name]; twice {
			value = old + "|" + value
		}
		fields[name], all = value, rest
	}
	return fields
}

// Read waits.
func (s *socket) Read(p []byte) (n int, err error) {
	err = s.g.wait(func() (err error) { n, err = s.TryRead(p); return err })
	return n, err
}

// Write waits until all is written.
func (s *socket) Write(p []byte) (done int, err error) {
	for done < len(p) {
		n := 0
		if err = s.g.wait(func() (err error) { n, err = s.TryWrite(p[done:]); return err }); err != nil {
			return done, err
		}
		done += n
		if s.Datagram() {
			break
		}
	}
	return done, nil
}

func (s *socket) close() { s.g.x.Close(s.fd) }

// text returns all that the other side sends.
func (s *socket) text() string {
	b, err := io.ReadAll(s)
	if err != nil {
		return string(b) + " and " + err.Error()
	}
	return string(b)
}

// names is a server of names over UDP, which answers with the addresses that it has
// at that moment.
type names struct {
	*net.Resolver
	mu sync.Mutex
	of map[string][]netip.Addr
}

// newNames starts a server of names. A name is an address or several, separated by
// spaces.
func newNames(t testing.TB, of map[string]string) *names {
	n := &names{of: map[string][]netip.Addr{}}
	for name, text := range of {
		n.set(name, text)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		buf := make([]byte, 2000)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := n.answer(buf[:size]); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		serving.Wait()
	})
	n.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	return n
}

func (n *names) set(name, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of[name] = nil
	for _, s := range strings.Fields(text) {
		n.of[name] = append(n.of[name], netip.MustParseAddr(s))
	}
}

func (n *names) answer(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.TrimSuffix(q.Name.String(), ".")
	n.mu.Lock()
	defer n.mu.Unlock()
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	addrs, known := n.of[name]
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addrs {
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 0, Type: q.Type}
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// listen starts a server of connections, each of which serve gets. It ends with
// the test.
func listen(t testing.TB, serve func(net.Conn)) (port string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return port
}

// hold reads a connection until it ends.
func hold(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
