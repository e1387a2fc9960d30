package egress

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// loopback are the rules of most tests: a port of this machine.
func loopback(scheme, port string) string { return scheme + "://127.0.0.0/8:" + port }

func TestConnection(t *testing.T) {
	port := listen(t, func(conn net.Conn) {
		b, _ := io.ReadAll(conn) // until the guest's half close
		_, _ = conn.Write(bytes.ToUpper(b))
	})
	g := newGuest(t, newPolicy(t, newEgress(t, Config{}), loopback("tcp", port)))
	s := g.open(abi.HeadURL, "tcp://127.0.0.1:"+port)
	h := s.head()
	if h[abi.HeadRemote] != "127.0.0.1:"+port || !strings.HasPrefix(h[abi.HeadLocal], "127.0.0.1:") {
		t.Errorf("the head is %v", h)
	}
	if _, err := s.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	s.CloseWrite()
	if got := s.text(); got != "HELLO" {
		t.Errorf("got %q", got)
	}
	g.end()
	if r := g.call.Report(); r.Streams != 1 || r.Sent != 5 || r.Received != 5 || r.Blocked+r.Failed+r.Limited != 0 || r.Lines != nil {
		t.Errorf("used %+v", r)
	}
}

// What the guest wrote before it closed a stream arrives.
func TestCloseDelivers(t *testing.T) {
	got := make(chan string, 1)
	port := listen(t, func(conn net.Conn) {
		b, _ := io.ReadAll(conn)
		got <- string(b)
	})
	g := newGuest(t, newPolicy(t, newEgress(t, Config{}), loopback("tcp", port)))
	s := g.open(abi.HeadURL, "tcp://127.0.0.1:"+port)
	s.head()
	if _, err := s.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	s.close()
	if b := <-got; b != "last words" {
		t.Errorf("got %q", b)
	}
}

// Large amounts go both ways at the same time and in order.
func TestBothWays(t *testing.T) {
	port := listen(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	g := newGuest(t, newPolicy(t, newEgress(t, Config{}), loopback("tcp", port)))
	s := g.open(abi.HeadURL, "tcp://127.0.0.1:"+port)
	const total = 4 << 20
	var sent, got bytes.Buffer
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	buf := make([]byte, 20000)
	var err error
	for err == nil {
		err = g.wait(func() error {
			if sent.Len() < total {
				n, err := s.TryWrite(chunk)
				if err == nil {
					sent.Write(chunk[:n])
				}
				if sent.Len() >= total {
					s.CloseWrite()
				}
			}
			n, err := s.TryRead(buf)
			got.Write(buf[:n])
			return err
		})
	}
	if err != io.EOF || !bytes.Equal(sent.Bytes(), got.Bytes()) {
		t.Errorf("%v: sent %d bytes, got %d", err, sent.Len(), got.Len())
	}
}

func TestConnectionsThatFail(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
	ln.Close()
	resets := listen(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.(*net.TCPConn).SetLinger(0)
	})
	names := newNames(t, map[string]string{"there.example": "127.0.0.1"})
	e := newEgress(t, Config{Resolver: names.Resolver})
	p := newPolicy(t, e, loopback("tcp", closed), loopback("tcp", resets), loopback("tls", resets), "tcp://gone.example:1")

	for url, want := range map[string]string{
		"tcp://127.0.0.1:" + closed: "connection refused",
		"tcp://gone.example:1":      "no such host",
		"tls://127.0.0.1:" + resets: "connection reset",
	} {
		g := newGuest(t, p)
		h := g.open(abi.HeadURL, url).head()
		if h[abi.HeadError] != "EGRESS_FAILED" || !strings.Contains(h[abi.HeadMessage], want) || !strings.HasPrefix(h[abi.HeadMessage], url) {
			t.Errorf("%s: %v", url, h)
		}
		if g.end(); g.call.Report().Failed != 1 {
			t.Errorf("%s: %+v", url, g.call.Report())
		}
	}

	// A connection that breaks does not look like one that ended.
	g := newGuest(t, p)
	s := g.open(abi.HeadURL, "tcp://127.0.0.1:"+resets)
	s.head()
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(s); err == nil {
		t.Errorf("got %q and no error", b)
	}
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("a write to a broken connection succeeds")
	}
}

func TestTLSByTheHost(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate, of example.com
	defer server.Close()
	cert := server.TLS.Certificates[0]
	port := listen(t, func(conn net.Conn) {
		secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		b, _ := io.ReadAll(secure)
		_, _ = secure.Write(append(b, secure.ConnectionState().ServerName...))
		_ = secure.CloseWrite()
	})
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	names := newNames(t, map[string]string{"example.com": "127.0.0.1", "other.example": "127.0.0.1"})
	rules := []string{"tls://example.com:" + port + " to 127.0.0.0/8", "tls://other.example:" + port + " to 127.0.0.0/8"}
	p := newPolicy(t, newEgress(t, Config{Resolver: names.Resolver, RootCAs: pool}), rules...)

	g := newGuest(t, p)
	s := g.open(abi.HeadURL, "tls://example.com:"+port)
	if h := s.head(); h[abi.HeadRemote] != "127.0.0.1:"+port {
		t.Errorf("the head is %v", h)
	}
	if _, err := s.Write([]byte("hello ")); err != nil {
		t.Fatal(err)
	}
	s.CloseWrite()
	if got := s.text(); got != "hello example.com" {
		t.Errorf("got %q", got)
	}
	// The certificate is checked: its name, and who signed it.
	if h := g.open(abi.HeadURL, "tls://other.example:"+port).head(); h[abi.HeadError] != "EGRESS_FAILED" || !strings.Contains(h[abi.HeadMessage], "certificate") {
		t.Errorf("another name: %v", h)
	}
	g = newGuest(t, newPolicy(t, newEgress(t, Config{Resolver: names.Resolver}), rules...))
	if h := g.open(abi.HeadURL, "tls://example.com:"+port).head(); h[abi.HeadError] != "EGRESS_FAILED" || !strings.Contains(h[abi.HeadMessage], "certificate") {
		t.Errorf("an unknown authority: %v", h)
	}
}

func TestDatagrams(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	url := "udp://" + server.LocalAddr().String()
	_, port, _ := net.SplitHostPort(server.LocalAddr().String())
	g := newGuest(t, newPolicy(t, newEgress(t, Config{}), loopback("udp", port)))
	s := g.open(abi.HeadURL, url)
	if h := s.head(); h[abi.HeadRemote] != server.LocalAddr().String() {
		t.Errorf("the head is %v", h)
	}
	// Each write is a datagram, also an empty one and a large one.
	buf := make([]byte, 70000)
	for _, size := range []int{5, 0, 60000, 1} {
		if _, err := s.Write(bytes.Repeat([]byte("x"), size)); err != nil {
			t.Fatal(err)
		}
		if size == 0 { // the helper writes no empty ones
			if _, err := s.TryWrite(nil); err != nil {
				t.Fatal(err)
			}
		}
		n, from, err := server.ReadFrom(buf)
		if n != size || err != nil {
			t.Errorf("a datagram of %d bytes arrives with %d, %v", size, n, err)
		}
		_, _ = server.WriteTo(buf[:n], from)
		if n, err := s.Read(buf); n != size || err != nil {
			t.Errorf("the answer of %d bytes arrives with %d, %v", size, n, err)
		}
	}
	s.close()
	g.end()
	if r := g.call.Report(); r.Failed+r.Blocked+r.Limited != 0 || r.Sent != 60006 || r.Received != 60006 {
		t.Errorf("used %+v", r)
	}

	// Nobody listens: the error is seen.
	server.Close()
	g = newGuest(t, g.call.policy)
	s = g.open(abi.HeadURL, url)
	s.head()
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(buf); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
}

// A peer that never answers the connection ends within the time to dial.
func TestDialTimeout(t *testing.T) {
	// The handshake of TLS never goes on.
	port := listen(t, hold)
	g := newGuest(t, newPolicy(t, newEgress(t, Config{dialTimeout: 50 * time.Millisecond}), loopback("tls", port), loopback("https", port)))
	for _, scheme := range []string{"tls", "https"} {
		if h := g.open(abi.HeadURL, scheme+"://127.0.0.1:"+port).head(); h[abi.HeadError] != "EGRESS_FAILED" || !strings.Contains(h[abi.HeadMessage], "no answer in time") {
			t.Errorf("%s: %v", scheme, h)
		}
	}
}
