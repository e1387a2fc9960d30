package port_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// certificates returns TLS for both ends.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	a := pkitest.NewAuthority(t)
	leaves, err := pki.NewLeaves(pki.LeavesConfig{Authorities: func() []*pki.Authority { return []*pki.Authority{a} }, Core: "core-1"})
	if err != nil {
		t.Fatal(err)
	}
	return pki.Server(pki.ServerConfig{Leaves: leaves}), pki.Pinned(a.Pin(), nil)
}

// doors are the ways into one server.
type doors struct {
	tcp, tls, socket string
	client           *tls.Config
	server           *port.Server
	stop             func()
}

// open serves one server over TCP, TLS and a unix socket.
func open(t *testing.T, cfg port.Config, mount func(*port.Server)) *doors {
	t.Helper()
	s := port.New(cfg)
	mount(s)
	secure, client := certificates(t)
	listen := func(network, addr string) net.Listener {
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	plain, over, socket := listen("tcp", "127.0.0.1:0"), listen("tcp", "127.0.0.1:0"), listen("unix", filepath.Join(t.TempDir(), "s"))
	done := make(chan error, 3)
	go func() { done <- s.Serve(plain) }()
	go func() { done <- s.ServeTLS(over, secure) }()
	go func() { done <- s.Serve(socket) }()
	d := &doors{tcp: plain.Addr().String(), tls: over.Addr().String(), socket: socket.Addr().String(), client: client, server: s}
	ended := false
	d.stop = func() {
		if ended {
			return
		}
		ended = true
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(s.Drain(ctx), s.Close(ctx)); err != nil {
			t.Errorf("the server does not end: %v", err)
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(d.stop)
	return d
}

// through returns a client that comes by one door, with one protocol.
func (d *doors) through(t *testing.T, door string, h2 bool) (client *http.Client, url string) {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: d.client.Clone()}
	t.Cleanup(tr.CloseIdleConnections)
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetHTTP2(h2 && door == "tls")
	tr.Protocols.SetUnencryptedHTTP2(h2 && door != "tls")
	switch door {
	case "tls":
		return &http.Client{Transport: tr}, "https://" + d.tls
	case "socket":
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.socket)
		}
		return &http.Client{Transport: tr}, "http://localhost"
	}
	return &http.Client{Transport: tr}, "http://" + d.tcp
}

// each runs a test for every door and protocol.
func (d *doors) each(t *testing.T, test func(t *testing.T, client *http.Client, url, door string, h2 bool)) {
	t.Helper()
	for _, door := range []string{"tcp", "tls", "socket"} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s h2=%t", door, h2), func(t *testing.T) {
				client, url := d.through(t, door, h2)
				test(t, client, url, door, h2)
			})
		}
	}
}

// One server has several doors, and knows through which one a request has come.
func TestOneServerWithSeveralDoors(t *testing.T) {
	d := open(t, port.Config{Identify: func(*http.Request, string, string) (*access.Principal, *fault.Error) {
		return &access.Principal{Name: "user/ada"}, nil
	}}, func(s *port.Server) {
		mounted(nil)(s)
		s.Handle("GET /who", "who", access.Own(), port.Bounds{}, who)
	})
	d.each(t, func(t *testing.T, client *http.Client, url, door string, h2 bool) {
		res, err := client.Get(url + "/who")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		from, proto := "127.0.0.1", "HTTP/1.1"
		if door == "socket" {
			from = ""
		}
		if h2 {
			proto = "HTTP/2.0"
		}
		if want := fmt.Sprintf("user/ada from %s via %s over %s", from, door, proto); string(b) != want || err != nil {
			t.Errorf("%s, want %s, %v", b, want, err)
		}
		opts := []connect.ClientOption{}
		if h2 {
			opts = append(opts, connect.WithGRPC())
		}
		if _, err := ruedov1connect.NewInvokeServiceClient(client, url, opts...).Invoke(t.Context(), &ruedov1.InvokeRequest{Service: "s"}); err != nil {
			t.Error(err)
		}
		// A megabyte each way.
		big := strings.Repeat("x", 1<<20)
		if res, err = client.Post(url+"/echo", "text/plain", strings.NewReader(big)); err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != big {
			t.Errorf("%d bytes came back, %v", len(b), err)
		}
	})
}

// A server that goes down closes all its doors.
func TestAllDoorsAreClosedTogether(t *testing.T) {
	d := open(t, port.Config{}, mounted(nil))
	for _, door := range []string{"tcp", "tls", "socket"} { // all three listen
		client, url := d.through(t, door, false)
		res, err := client.Post(url+"/echo", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		client.CloseIdleConnections()
	}
	d.server.Leave(t.Context(), time.Second)
	for network, addr := range map[string]string{"tcp": d.tcp, "tcp4": d.tls, "unix": d.socket} {
		if c, err := net.Dial(network, addr); err == nil {
			_ = c.Close()
			t.Errorf("%s is still open", addr)
		}
	}
	// One that is opened too late does not open.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.server.Serve(l); err != nil {
		t.Error(err)
	}
	d.stop()
}

// A connection that HTTP was taken off works over TLS as without.
func TestUpgrades(t *testing.T) {
	d := open(t, port.Config{}, func(s *port.Server) {
		s.Handle("GET /shout", "shout", access.Own(), port.Bounds{Stream: true}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n")
			for {
				line, err := rw.ReadString('\n')
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, strings.ToUpper(line))
			}
		}))
	})
	over := func(c net.Conn, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		r := bufio.NewReader(c)
		fmt.Fprint(c, "GET /shout HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", res, err)
		}
		for _, line := range []string{"hello\n", "again\n"} {
			fmt.Fprint(c, line)
			if got, err := r.ReadString('\n'); err != nil || got != strings.ToUpper(line) {
				t.Errorf("%q, %v", got, err)
			}
		}
	}
	over(net.Dial("tcp", d.tcp))
	over(net.Dial("unix", d.socket))
	cfg := d.client.Clone()
	cfg.NextProtos = []string{"http/1.1"}
	over(tls.Dial("tcp", d.tls, cfg))
}

// The rules for speed and for connections hold below TLS, too.
func TestTheRulesHoldOverTLS(t *testing.T) {
	cfg := impatient()
	cfg.Connections = 8
	d := open(t, cfg, mounted(nil))
	// Silent connections make room for those that say something.
	for range 3 * cfg.Connections {
		dial(t, d.tls)
	}
	client, url := d.through(t, "tls", true)
	res, err := client.Post(url+"/echo", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	// A body that stops is ended.
	c, err := tls.Dial("tcp", d.tls, d.client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(c, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nx")
	slow, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(slow.Body); string(b) != string(fault.RequestTooSlow) {
		t.Errorf("a body that stops: %s", b)
	}
}

// Who speaks no TLS is told so, and who says nothing is not waited for.
func TestHandshakesThatAreNone(t *testing.T) {
	d := open(t, port.Config{}, mounted(nil))
	silent := dial(t, d.tls)
	began := time.Now()
	c := dial(t, d.tls)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.Contains(string(b), "HTTP request to an HTTPS server") {
		t.Errorf("%s, %v", b, err)
	}
	_ = silent.SetDeadline(time.Now().Add(20 * time.Second))
	if n, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 15*time.Second {
		t.Errorf("%d bytes, %v after %s", n, err, time.Since(began))
	}
}

// Who is refused gets the answer, whatever is still on its way to the server, and can
// go on with the same connection.
func TestARefusedRequestGetsItsAnswer(t *testing.T) {
	d := open(t, port.Config{Identify: byHeader}, mounted(nil))
	d.each(t, func(t *testing.T, client *http.Client, url, _ string, _ bool) {
		for _, size := range []int{0, 10, 4 << 20, 10} {
			for _, c := range []struct {
				authorization string
				want          int
			}{{"bad", http.StatusUnauthorized}, {"user/ada", http.StatusOK}} {
				req, err := http.NewRequest(http.MethodPost, url+"/echo", strings.NewReader(strings.Repeat("x", size)))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", c.authorization)
				res, err := client.Do(req)
				if err != nil {
					t.Fatalf("%d bytes of %s: %v", size, c.authorization, err)
				}
				b, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != c.want || c.want == http.StatusOK && len(b) != size {
					t.Errorf("%d bytes of %s: %d, %d bytes, %v", size, c.authorization, res.StatusCode, len(b), err)
				}
			}
		}
	})
}
