//go:build hostile

package hostile

import (
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// headAt is where the puppet has the head that it writes, and readAt the one that it
	// reads, of which answerBytes are looked at.
	headAt, readAt, answerBytes = 0, 8192, 512
	// reachTime is the timeout of a service that is granted the network.
	reachTime = 5 * time.Second
)

// headOf encodes a head.
func headOf(fields ...string) (head []byte) {
	for i := 0; i+1 < len(fields); i += 2 {
		head = abi.AppendField(head, fields[i], fields[i+1])
	}
	return head
}

// reach has the puppet begin an outbound stream, and returns its number and the head
// that comes back: nothing if the number is an error.
func (b *bout) reach(p *puppet, head []byte) (fd int64, fields map[string]string) {
	in := slices.Concat(p.write(headAt, head), p.order(abi.ImportStreamOpen, headAt, uint64(len(head))),
		p.order(abi.ImportStreamHead, 4, 0, readAt, answerBytes))
	for i := range answerBytes / 8 {
		in = append(in, p.order("peek", uint64(readAt+8*i))...)
	}
	got := b.orders(b.service(), in)
	peeked := got[len(got)-answerBytes/8:]
	fd, n := got[len(got)-answerBytes/8-2], got[len(got)-answerBytes/8-1]
	if fd < 0 || n <= 0 {
		return fd, nil
	}
	var text []byte
	for _, word := range peeked {
		text = binary.LittleEndian.AppendUint64(text, uint64(word))
	}
	fields = make(map[string]string)
	for text = text[:min(n, answerBytes)]; len(text) > 0; {
		name, value, rest, ok := abi.NextField(text)
		if !ok {
			break // longer than what was read
		}
		fields[name], text = value, rest
	}
	return fd, fields
}

// stays fails if a service gets anywhere. A head that is not one, or a reason that is the
// policy's, is how it is told.
func (b *bout) stays(p *puppet, what string, head []byte) {
	fd, fields := b.reach(p, head)
	switch reason := fields[abi.HeadError]; {
	case fd == abi.ErrInvalid:
	case fd < 0 || reason != string(fault.EgressBlocked):
		b.Errorf("%s: descriptor %d, %q", what, fd, fields)
	case fields[abi.HeadMessage] == "":
		b.Errorf("%s: nothing says why: %q", what, fields)
	}
}

// granted publishes the puppet with rules.
func (b *bout) granted(wasm []byte, rules ...string) {
	d := &ruedov1.Decorator{Name: b.service("net"), Limits: &ruedov1.Limits{Timeout: durationpb.New(reachTime)}, Grants: &ruedov1.Grants{Egress: rules}}
	if _, err := b.client.Decorators.CreateDecorator(b.ctx, &ruedov1.CreateDecoratorRequest{Decorator: d}); err != nil {
		if _, err = b.client.Decorators.UpdateDecorator(b.ctx, &ruedov1.UpdateDecoratorRequest{Decorator: d}); err != nil {
			b.Errorf("decorator: %v", err)
		}
	}
	if err := b.publish(b.ctx, b.service(), b.unique(wasm), nil, carrying(d.Name)); err != nil {
		b.Errorf("publish %s: %v", b.service(), err)
	}
}

// sites are a server of this machine that is granted, which redirects to one that is not
// and counts who gets there. They end with the try.
type sites struct {
	port, trapPort string
	trapped        atomic.Int64
}

func (b *bout) sites() *sites {
	s := &sites{}
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { s.trapped.Add(1) }))
	site := httptest.NewServer(http.RedirectHandler(trap.URL+"/", http.StatusFound))
	context.AfterFunc(b.ctx, func() { site.Close(); trap.Close() })
	_, s.port, _ = net.SplitHostPort(site.Listener.Addr().String())
	_, s.trapPort, _ = net.SplitHostPort(trap.Listener.Addr().String())
	return s
}

func (s *sites) untouched(b *bout) {
	if n := s.trapped.Swap(0); n > 0 {
		b.Errorf("%d requests got where they must not", n)
	}
}

// egressRows are rows 26 to 28: services that reach for what they must not. What it takes
// to make a name lead elsewhere later, and every class of address, is tested in package
// egress, where names are the test's.
func egressRows() []*row {
	p, wasm := newPuppet()
	var s *sites // of the row
	get := func(url string, fields ...string) []byte {
		return headOf(append([]string{abi.HeadURL, url, abi.HeadMethod, "GET"}, fields...)...)
	}
	port := func(b *bout) string { _, port, _ := net.SplitHostPort(b.address()); return port }
	reached := func(b *bout) {
		if _, fields := b.reach(p, get("http://127.0.0.1:"+s.port+"/")); fields[abi.HeadStatus] != "302" {
			b.Errorf("a site that is granted answers %q", fields)
		}
	}
	return []*row{{
		number: 26, name: "egress to loopback, link-local, metadata and the core, by every spelling",
		setup: func(b *bout) {
			s = b.sites()
			b.granted(wasm, "http://127.0.0.0/8:"+s.port, "http://127.0.0.0/8:"+port(b), "tcp://127.0.0.0/8:"+port(b), "udp://127.0.0.0/8:"+port(b),
				"http://[::1]:"+port(b), "tcp://[::1]:"+port(b), "http://localhost:"+port(b)+" to 127.0.0.0/8,::1/128",
				"tcp://169.254.0.0/16:1", "tcp://[fe80::/10]:1", "tcp://[fd00::/8]:1", "http://[64:ff9b::/96]:"+port(b))
		},
		moves: []move{
			{"a site that is granted", reached},
			{"the core", func(b *bout) {
				for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "localhost", "LOCALHOST", "localhost.",
					"[::1]", "[::]", "0.0.0.0", "0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[::127.0.0.1]", "[::1%25lo]", "127.0.0.1."} {
					b.stays(p, "http "+host, get("http://"+host+":"+port(b)+"/metrics"))
					b.stays(p, "tcp "+host, headOf(abi.HeadURL, "tcp://"+host+":"+port(b)))
					b.stays(p, "udp "+host, headOf(abi.HeadURL, "udp://"+host+":"+port(b)))
				}
			}},
			// Of a port that nobody has: a policy that lets it pass must not ask a real one.
			{"metadata", func(b *bout) {
				for _, host := range []string{"169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "2852039166", "0xa9.0xfe.0xa9.0xfe",
					"0251.0376.0251.0376", "169.254.43518", "169.254.169.254.", "[64:ff9b::a9fe:a9fe]", "[fe80::a9fe:a9fe%25eth0]"} {
					b.stays(p, host, headOf(abi.HeadURL, "tcp://"+host+":1"))
				}
			}},
		},
		peakCore: 64 << 20, peakRunner: 64 << 20,
	}, {
		number: 27, name: "egress by names that lead to this machine, and by redirects",
		setup: func(b *bout) {
			s = b.sites()
			b.granted(wasm, "http://127.0.0.0/8:"+s.port, "http://localhost:"+s.trapPort, "http://*.localhost:"+s.trapPort, "tcp://localhost:"+s.trapPort)
		},
		moves: []move{
			{"a name of a grant that leads to loopback", func(b *bout) {
				for _, url := range []string{"http://localhost:" + s.trapPort, "http://a.localhost:" + s.trapPort, "tcp://localhost:" + s.trapPort} {
					fd, fields := b.reach(p, headOf(abi.HeadURL, url))
					// A name below localhost need not have an address.
					if reason := fields[abi.HeadError]; fd < 0 || reason != string(fault.EgressBlocked) && (reason != string(fault.EgressFailed) || !strings.Contains(url, "a.localhost")) {
						b.Errorf("%s: descriptor %d, %q", url, fd, fields)
					}
				}
				s.untouched(b)
			}},
			{"a redirect", func(b *bout) {
				_, fields := b.reach(p, get("http://127.0.0.1:"+s.port+"/"))
				to := fields["Location"] + fields["location"]
				if fields[abi.HeadStatus] != "302" || to == "" {
					b.Errorf("the host followed a redirect: %q", fields)
					return
				}
				b.stays(p, "the next hop", get(to))
				s.untouched(b)
			}},
		},
		peakCore: 64 << 20, peakRunner: 64 << 20,
	}, {
		number: 28, name: "egress with URLs and heads that lie",
		setup: func(b *bout) {
			s = b.sites()
			b.granted(wasm, "http://127.0.0.0/8:"+s.port, "http://allowed.invalid", "http://xn--llowed-4nf.invalid")
		},
		moves: []move{
			{"a site that is granted", reached},
			{"hosts that look like another one", func(b *bout) {
				for _, url := range []string{
					"http://127.0.0.1:" + s.port + "@127.0.0.1:" + s.trapPort + "/", "http://allowed.invalid@127.0.0.1:" + s.trapPort + "/",
					"http://allowed.invalid:80@127.0.0.1:" + s.trapPort + "/", "http://127.0.0.1:" + s.trapPort + "/@allowed.invalid", "http://127.0.0.1:" + s.trapPort + "#@allowed.invalid",
					"http://127.0.0.1:" + s.trapPort + "?@allowed.invalid", "http://127.0.0.1:" + s.trapPort + "\\@allowed.invalid/", "http://allowed.invalid.evil.invalid/",
					"http://evilallowed.invalid/", "http://\u0430llowed.invalid/", "http://allowed.invalid%2eevil.invalid/", "http://127.0.0.1:" + s.port + ":" + s.trapPort + "/",
					"http:127.0.0.1:" + s.trapPort, "//127.0.0.1:" + s.trapPort + "/", "file:///etc/passwd", "unix:///var/run/docker.sock", "gopher://127.0.0.1:" + s.trapPort + "/", "http://",
					"tcp://allowed.invalid:80/../../127.0.0.1:" + s.trapPort, "https://127.0.0.1:" + s.port + "/",
				} {
					b.stays(p, url, get(url))
				}
				s.untouched(b)
			}},
			{"ends of lines", func(b *bout) {
				here := "http://127.0.0.1:" + s.port + "/"
				for _, head := range [][]byte{
					get(here, "x", "1\r\nHost: other"), get(here, "x\r\ny", "1"), get(here, "x: y", "1"), get(here, "", "1"), get(here, "x", "\x00"),
					get(here + "\r\nHost: other"), get("http://127.0.0.1:" + s.port + "/ HTTP/1.1\r\nX: y"), headOf(abi.HeadURL, here, abi.HeadMethod, "GET / HTTP/1.1\r\nHost: other\r\n\r\nGET"),
					headOf(abi.HeadURL, here, abi.HeadURL, "http://127.0.0.1:"+s.trapPort+"/"), headOf(abi.HeadURL, here, abi.HeadLength, "-2"), headOf(abi.HeadURL, here, abi.HeadLength, "x"),
					headOf(abi.HeadURL, here, ":authority", "other"), headOf(abi.HeadMethod, "GET"), nil, get(here)[:20], append(get(here), 0xff, 0xff, 0xff, 0xff),
					get(here, "x", strings.Repeat("y", 4000), "z", "\n"),
				} {
					if fd, fields := b.reach(p, head); fd != abi.ErrInvalid {
						b.Errorf("%.100q: descriptor %d, %q", head, fd, fields)
					}
				}
			}},
			{"fields of the connection", func(b *bout) {
				_, fields := b.reach(p, get("http://127.0.0.1:"+s.port+"/", "Transfer-Encoding", "chunked", "Content-Length", "5", "Host", "other", "Connection", "upgrade", "Upgrade", "h2c"))
				if fields[abi.HeadStatus] != "302" {
					b.Errorf("they changed how the request is framed: %q", fields)
				}
			}},
		},
		peakCore: 64 << 20, peakRunner: 64 << 20,
	}}
}
