package exchange_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// answer reads one answer.
func answer(t *testing.T, r *bufio.Reader) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// After a request, whatever the service did with its body, the next one on the
// connection is answered rightly, or the connection is closed.
func TestTheNextRequestOfAConnection(t *testing.T) {
	s := newSite(t, options{})
	for _, c := range []struct {
		name, path string
		size       int
		chunked    bool
		keeps      bool
	}{
		{"a short body that is not read", "/refuse", 100, false, true},
		{"a short body of unknown length that is not read", "/refuse", 100, true, true},
		{"a body that is not read", "/refuse", 200_000, false, true},
		{"a body of unknown length that is not read", "/refuse", 200_000, true, true},
		{"a large body that is not read", "/refuse", 8 << 20, false, false},
		{"a body that is read", "/count", 200_000, false, true},
		{"a body of unknown length that is read", "/count", 200_000, true, true},
		{"a body that is read while the answer is written", "/echo", 1 << 20, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 5 {
				conn := s.raw(t)
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					w := bufio.NewWriter(conn)
					fmt.Fprintf(w, "POST /svc/talk%s HTTP/1.1\r\nHost: %s\r\n", c.path, s.Addr)
					if c.chunked {
						fmt.Fprint(w, "Transfer-Encoding: chunked\r\n\r\n")
						for n := c.size; n > 0; n -= 10_000 {
							fmt.Fprintf(w, "%x\r\n%s\r\n", min(n, 10_000), make([]byte, min(n, 10_000)))
						}
						fmt.Fprint(w, "0\r\n\r\n")
					} else {
						fmt.Fprintf(w, "Content-Length: %d\r\n\r\n%s", c.size, make([]byte, c.size))
					}
					fmt.Fprintf(w, "GET /svc/talk/seen HTTP/1.1\r\nHost: %s\r\n\r\n", s.Addr)
					_ = w.Flush()
				}()
				r := bufio.NewReader(conn)
				res, got := answer(t, r)
				if res.StatusCode != 200 && res.StatusCode != 403 {
					t.Fatalf("%s %s", res.Status, got)
				}
				next, err := http.ReadResponse(r, nil)
				switch {
				case err == nil:
					if b, _ := io.ReadAll(next.Body); next.StatusCode != 200 || !strings.HasPrefix(string(b), "GET /seen ") {
						t.Errorf("the next request: %s %s", next.Status, b)
					}
				case c.keeps || !res.Close:
					t.Errorf("the connection ends with %v after an answer with Close %t", err, res.Close)
				}
				conn.Close()
				<-sent
			}
		})
	}
}

// A caller that sends all of a body before it reads gets its answer.
func TestAnAnswerBeforeTheBodyIsSent(t *testing.T) {
	s := newSite(t, options{})
	conn := s.raw(t)
	fmt.Fprintf(conn, "POST /svc/talk/refuse HTTP/1.1\r\nHost: %s\r\nContent-Length: 900000\r\n\r\n", s.Addr)
	if _, err := conn.Write(make([]byte, 900_000)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond) // what a reset connection would lose
	if res, got := answer(t, bufio.NewReader(conn)); res.StatusCode != http.StatusForbidden || !strings.Contains(got, "no thanks") {
		t.Error(res.Status, got)
	}
}

func TestContinueIsTheServicesDecision(t *testing.T) {
	s := newSite(t, options{})
	for path, want := range map[string]string{"/count": "100", "/refuse": "403"} {
		for _, size := range []int{5, 100_000} {
			conn := s.raw(t)
			fmt.Fprintf(conn, "POST /svc/talk%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", path, s.Addr, size)
			r := bufio.NewReader(conn)
			line, err := r.ReadString('\n')
			if !strings.HasPrefix(line, "HTTP/1.1 "+want) || err != nil {
				t.Fatalf("%s of %d: %q %v", path, size, line, err)
			}
			if want != "100" {
				continue
			}
			_, _ = r.ReadString('\n')
			fmt.Fprintf(conn, "%s", make([]byte, size))
			if res, got := answer(t, r); got != fmt.Sprint(size, " <nil>") {
				t.Error(res.Status, got)
			}
		}
	}
}

// upgrade asks for another protocol.
func (s *site) upgrade(t *testing.T, path, protocol string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn := s.raw(t)
	fmt.Fprintf(conn, "GET /svc/talk%s HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", path, s.Addr, protocol)
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, r, res
}

func TestUpgrade(t *testing.T) {
	s := newSite(t, options{})
	t.Run("lines", func(t *testing.T) {
		before, _ := s.last()
		conn, r, res := s.upgrade(t, "/shout", "shout")
		if res.StatusCode != 101 || res.Header.Get("Upgrade") != "shout" || !strings.EqualFold(res.Header.Get("Connection"), "upgrade") || res.Header.Get("X-Own") != "1" {
			t.Fatal(res)
		}
		for i := range 20 {
			fmt.Fprintf(conn, "%d\n", i)
			if line, err := r.ReadString('\n'); line != fmt.Sprintf("%d!\n", i) || err != nil {
				t.Fatal(line, err)
			}
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
			t.Error(b, err)
		}
		testkit.Eventually(t, "the call is over", func() bool { n, _ := s.last(); return n == before+1 })
		if _, outcome := s.last(); outcome != "" {
			t.Errorf("the outcome is %s", outcome)
		}
	})
	t.Run("WebSocket", func(t *testing.T) {
		conn, r, res := s.upgrade(t, "/socket", "websocket")
		if res.StatusCode != 101 || res.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Fatal(res)
		}
		for _, m := range []string{"hello", "", strings.Repeat("x", 125)} {
			frame := append([]byte{0x81, 0x80 | byte(len(m)), 1, 2, 3, 4}, m...)
			for i := range m {
				frame[6+i] ^= frame[2+i%4]
			}
			_, _ = conn.Write(frame)
			got := make([]byte, 2+len(m))
			if _, err := io.ReadFull(r, got); err != nil || string(got[2:]) != m || got[0] != 0x81 {
				t.Fatal(got, err)
			}
		}
		code := binary.BigEndian.AppendUint16(nil, 1000)
		_, _ = conn.Write(append([]byte{0x88, 0x82, 0, 0, 0, 0}, code...))
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, append([]byte{0x88, 2}, code...)) {
			t.Error(b, err)
		}
	})
	t.Run("the caller leaves", func(t *testing.T) {
		before, _ := s.last()
		conn, _, _ := s.upgrade(t, "/shout", "shout")
		conn.Close()
		testkit.Eventually(t, "the call is over", func() bool { n, _ := s.last(); return n == before+1 })
	})
	t.Run("a service that does not switch", func(t *testing.T) {
		if _, _, res := s.upgrade(t, "/seen", "shout"); res.StatusCode != 200 || res.ContentLength <= 0 {
			t.Error(res)
		}
		if _, _, res := s.upgrade(t, "/seen", "h2c"); res.StatusCode != 200 {
			t.Error(res)
		} else if b, _ := io.ReadAll(res.Body); bytes.Contains(b, []byte("Upgrade")) {
			t.Errorf("%s", b)
		}
	})
	t.Run("a switch that nobody asked for", func(t *testing.T) {
		s.clients(t, func(t *testing.T, c *http.Client) {
			res, got := s.do(t, c, "GET", "/svc/talk/status?n=101", nil, nil)
			if res.StatusCode != http.StatusInternalServerError || !strings.Contains(got, "GUEST_ERROR") {
				t.Error(res.Status, got)
			}
		})
	})
}
