package egress

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// serveHTTP starts a server, and returns its URL and a policy for it.
func serveHTTP(t *testing.T, handler http.HandlerFunc, secure bool) (url string, p *Policy) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	cfg, scheme := Config{}, "http"
	if secure {
		s.EnableHTTP2 = true
		s.StartTLS()
		pool := x509.NewCertPool()
		pool.AddCert(s.Certificate())
		cfg.RootCAs, scheme = pool, "https"
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return s.URL, newPolicy(t, newEgress(t, cfg), loopback(scheme, port))
}

func TestRequest(t *testing.T) {
	for _, secure := range []bool{false, true} {
		url, p := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			w.Header().Set("Trailer", "X-Sum")
			w.Header().Add("X-Many", "1")
			w.Header().Add("X-Many", "2")
			w.Header().Set("Set-Cookie", "a=b")
			w.Header().Set("Content-Encoding", "gzip") // not undone
			w.WriteHeader(201)
			fmt.Fprintf(w, "%s %s %s %s %q %v %d|", r.Method, r.RequestURI, r.Proto, r.Host, b, err, r.ContentLength)
			for _, name := range []string{"X-A", "Cookie", "Te", "Connection", "X-Hop", "Keep-Alive", "Proxy-Authorization", "Upgrade", "Accept-Encoding", "Expect", "User-Agent"} {
				if v, ok := r.Header[name]; ok {
					fmt.Fprintf(w, "%s: %s|", name, strings.Join(v, ","))
				}
			}
			w.Header().Set("X-Sum", "7")
		}, secure)
		g := newGuest(t, p)
		host, proto := strings.TrimPrefix(strings.TrimPrefix(url, "http://"), "https://"), "HTTP/1.1"
		if secure {
			proto = "HTTP/2.0"
		}
		// Two at a time: the second uses the connection of the first, but has nothing
		// else of it.
		for range 2 {
			s := g.open(abi.HeadURL, url+"/p%2Fq?x=1#fragment", abi.HeadMethod, "PUT", abi.HeadLength, "5",
				"X-A", "1", "x-a", "2", "Connection", "X-Hop, close", "X-Hop", "1", "Keep-Alive", "1", "Te", "trailers", "Host", "evil.example", "Upgrade", "h2c",
				"Proxy-Authorization", "x", "Transfer-Encoding", "gzip", "Content-Length", "7", "Trailer", "X", "User-Agent", "guest")
			if _, err := s.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			h := s.head()
			if h[abi.HeadStatus] != "201" || h["x-many"] != "1|2" || h["trailer"] != "X-Sum" || h["content-encoding"] != "gzip" || h["transfer-encoding"] != "" {
				t.Errorf("the head is %v", h)
			}
			want := fmt.Sprintf(`PUT /p%%2Fq?x=1 %s %s "hello" <nil> 5|X-A: 1,2|Te: trailers|User-Agent: guest|`, proto, host)
			if got := s.text(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if tr := s.part(s.Trailers); tr["x-sum"] != "7" {
				t.Errorf("the trailers are %v", tr)
			}
			s.close()
		}
		g.end()
		if r := g.call.Report(); r.Streams != 2 || r.Sent != 10 || r.Failed != 0 {
			t.Errorf("used %+v", r)
		}
	}
}

// Credentials in a URL are sent as http.Client sends them.
func TestUserInURL(t *testing.T) {
	url, p := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Authorization"), r.RequestURI)
	}, false)
	g := newGuest(t, p)
	if got := g.get(strings.Replace(url, "//", "//u:p@", 1)).text(); got != "Basic dTpw/" {
		t.Errorf("got %q", got)
	}
	if got := g.get(strings.Replace(url, "//", "//u:p@", 1), "authorization", "own").text(); got != "own/" {
		t.Errorf("got %q", got)
	}
}

func TestMethods(t *testing.T) {
	url, p := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method) }, false)
	port := url[strings.LastIndexByte(url, ':')+1:]
	p = newPolicy(t, p.egress, "GET,POST http://127.0.0.1:"+port)
	g := newGuest(t, p)
	for method, ok := range map[string]bool{"GET": true, "POST": true, "PUT": false, "get": false, "HEAD": false, "CONNECT": false} {
		h := g.open(abi.HeadURL, url, abi.HeadMethod, method, abi.HeadLength, "0").head()
		if ok != (h[abi.HeadStatus] == "200") || !ok && h[abi.HeadError] != "EGRESS_BLOCKED" {
			t.Errorf("%s: %v", method, h)
		}
	}
}

// Both directions go on at the same time, in step.
func TestStreamingBothWays(t *testing.T) {
	for _, secure := range []bool{false, true} {
		url, p := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			_ = rc.EnableFullDuplex()
			w.WriteHeader(200)
			_ = rc.Flush()
			buf := make([]byte, 100)
			for {
				n, err := r.Body.Read(buf)
				_, _ = w.Write(buf[:n])
				_ = rc.Flush()
				if err != nil {
					return
				}
			}
		}, secure)
		g := newGuest(t, p)
		s := g.open(abi.HeadURL, url, abi.HeadMethod, "POST", abi.HeadLength, "-1")
		if _, err := s.Write([]byte("0")); err != nil {
			t.Fatal(err)
		}
		if h := s.head(); h[abi.HeadStatus] != "200" {
			t.Fatalf("the head is %v", h)
		}
		b := make([]byte, 10)
		for i := range 5 {
			if n, err := s.Read(b); string(b[:n]) != fmt.Sprint(i) || err != nil {
				t.Fatalf("secure %t: got %q, %v", secure, b[:n], err)
			}
			if _, err := s.Write(fmt.Append(nil, i+1)); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := s.Read(b); string(b[:n]) != "5" || err != nil {
			t.Fatalf("got %q, %v", b[:n], err)
		}
		s.CloseWrite()
		if _, err := s.Read(b); err != io.EOF {
			t.Errorf("the end: %v", err)
		}
	}
}

// A body that the guest gave up does not look complete to the server.
func TestBodyThatBreaksOff(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, length := range []string{"-1", "100"} {
			got := make(chan error, 1)
			url, p := serveHTTP(t, func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				got <- err
			}, secure)
			g := newGuest(t, p)
			s := g.open(abi.HeadURL, url, abi.HeadMethod, "POST", abi.HeadLength, length)
			if _, err := s.Write([]byte("some")); err != nil {
				t.Fatal(err)
			}
			s.close()
			if err := <-got; err == nil {
				t.Errorf("secure %t, length %s: a body that broke off looks whole", secure, length)
			}
			g.end()
		}
	}
	// Too little is an error for the guest, too.
	url, p := serveHTTP(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, false)
	g := newGuest(t, p)
	s := g.open(abi.HeadURL, url, abi.HeadMethod, "POST", abi.HeadLength, "100")
	_, _ = s.Write([]byte("some"))
	s.CloseWrite()
	if h := s.head(); h[abi.HeadError] != "EGRESS_FAILED" {
		t.Errorf("the head is %v", h)
	}
}

// An answer that breaks off does not look complete to the guest.
func TestAnswerThatBreaksOff(t *testing.T) {
	for _, secure := range []bool{false, true} {
		url, p := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "some")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, secure)
		g := newGuest(t, p)
		s := g.get(url)
		if h := s.head(); h[abi.HeadStatus] != "200" {
			t.Errorf("the head is %v", h)
		}
		if b, err := io.ReadAll(s); string(b) != "some" || err == nil {
			t.Errorf("got %q, %v", b, err)
		}
		if g.end(); g.call.Report().Failed != 1 {
			t.Errorf("used %+v", g.call.Report())
		}
	}
}

// The answer arrives only as fast as the guest reads it.
func TestBackPressure(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var sent atomic.Int64
		url, p := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 1024 {
				n, err := w.Write(make([]byte, 32<<10))
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		}, secure)
		g := newGuest(t, p)
		s := g.get(url)
		s.head()
		// Until the server stops.
		for before := int64(-1); before != sent.Load(); {
			before = sent.Load()
			time.Sleep(50 * time.Millisecond)
		}
		if n := sent.Load(); n > 16<<20 {
			t.Errorf("secure %t: the server has sent %d bytes to a guest that does not read", secure, n)
		}
		if n, err := io.Copy(io.Discard, s); n != 32<<20 || err != nil {
			t.Errorf("secure %t: got %d bytes, %v", secure, n, err)
		}
	}
}

func TestHeadOfAnAnswerIsBounded(t *testing.T) {
	for _, secure := range []bool{false, true} {
		url, p := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
			for n := range 100 {
				w.Header().Set(fmt.Sprintf("X-%d", n), strings.Repeat("x", 1000))
			}
		}, secure)
		g := newGuest(t, p)
		if h := g.get(url).head(); h[abi.HeadError] != "EGRESS_FAILED" {
			t.Errorf("secure %t: %d fields", secure, len(h))
		}
	}
}

// A server that takes too long to answer, or sends one byte at a time, is given up.
func TestFirstByteTimeout(t *testing.T) {
	port := listen(t, func(conn net.Conn) {
		buf := make([]byte, 1000)
		_, _ = conn.Read(buf)
		for range 2000 {
			if _, err := conn.Write([]byte("H")); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	p := newPolicy(t, newEgress(t, Config{firstByte: 100 * time.Millisecond}), loopback("http", port))
	began := time.Now()
	h := newGuest(t, p).get("http://127.0.0.1:" + port).head()
	if h[abi.HeadError] != "EGRESS_FAILED" || time.Since(began) > 10*time.Second {
		t.Errorf("after %s: %v", time.Since(began), h)
	}
}

// Connections are kept for the next call of the plan, and closed with the plan.
func TestConnectionsOfAPlan(t *testing.T) {
	var opened, closed atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	e := newEgress(t, Config{})
	one, two := newPolicy(t, e, loopback("http", port)), newPolicy(t, e, loopback("http", port))
	ask := func(p *Policy) {
		g := newGuest(t, p)
		if got := g.get(s.URL).text(); got != "x" {
			t.Errorf("got %q", got)
		}
		g.end()
	}
	for range 5 {
		ask(one)
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for one plan", n)
	}
	ask(two)
	if n := opened.Load(); n != 2 {
		t.Errorf("%d connections for two plans", n)
	}
	one.Close()
	two.Close()
	for until := time.Now().Add(10 * time.Second); closed.Load() != 2; {
		if time.Now().After(until) {
			t.Fatalf("%d of 2 connections are closed", closed.Load())
		}
		time.Sleep(time.Millisecond)
	}
}

// Nothing of the environment has a say.
func TestNoProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy is asked") }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	names := newNames(t, map[string]string{"a.example": "127.0.0.1"})
	url, _ := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }, false)
	port := url[strings.LastIndexByte(url, ':')+1:]
	p := newPolicy(t, newEgress(t, Config{Resolver: names.Resolver}), "http://a.example:"+port+" to 127.0.0.1")
	if got := newGuest(t, p).get("http://A.example.:" + port).text(); got != "a.example:"+port {
		t.Errorf("got %q", got)
	}
}

// A guest that closes its stream ends the request.
func TestCloseEndsTheRequest(t *testing.T) {
	gone := make(chan struct{})
	url, p := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}, false)
	g := newGuest(t, p)
	s := g.get(url)
	s.head()
	s.close()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the server still waits")
	}
}

// FuzzOpen opens what a guest may ask for. Nothing but the server of the test is
// ever reached, and every stream ends.
func FuzzOpen(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1:1/", "tcp://127.0.0.1:1", "udp://[::1]:53", "https://u:p@a.example/%zz", "http://127.1:1"} {
		f.Add(headOf(abi.HeadURL, s, abi.HeadMethod, "GET", abi.HeadLength, "0", "x", "y"), []byte("body"))
	}
	e, err := New(Config{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrUnexpectedEOF }}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, head, body []byte) { fuzzOpen(t, e, head, body) })
}

func fuzzOpen(t *testing.T, e *Egress, head, body []byte) {
	p := newPolicy(t, e, "http://*.example", "tcp://a.example:1", "udp://a.example:53", "https://b.example")
	g := newGuest(t, p)
	o, err := stream.ParseOutbound(head)
	if err != nil {
		return
	}
	fd, ok := g.x.Open(o)
	if !ok {
		t.Fatal("not opened")
	}
	s := &socket{g.x.File(uint32(fd)), g, uint32(fd)}
	_, _ = s.TryWrite(body)
	s.CloseWrite()
	if h := s.head(); h[abi.HeadError] != "EGRESS_BLOCKED" && h[abi.HeadError] != "EGRESS_FAILED" {
		t.Fatalf("%q: %v", head, h)
	}
	if bytes.Contains([]byte(fmt.Sprint(g.call.Report().Lines)), []byte("\n")) {
		t.Fatal("a line of the log is split")
	}
}
