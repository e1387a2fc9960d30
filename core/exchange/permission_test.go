package exchange_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// permission is what the caller of the exchanges of a site has, until it is taken away.
type permission struct {
	mu   sync.Mutex
	next int
	open map[int]func(error)
}

func (p *permission) follow(_ context.Context, service string, end func(error)) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	id := p.next
	if service == "talk" {
		p.open[id] = end
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, id)
	}
}

func (p *permission) followed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

func (p *permission) takeAway() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, end := range p.open {
		end(access.Unauthenticated())
	}
}

const reason = "this needs a login that is good"

// slowWriter takes its time to set a deadline.
type slowWriter struct {
	*httptest.ResponseRecorder
	began, proceed chan struct{}
}

func (w *slowWriter) SetWriteDeadline(time.Time) error {
	close(w.began)
	<-w.proceed
	return nil
}

// An exchange that is open ends when its caller may not have it any more, and says why
// where the protocol has a place for that.
func TestAnExchangeEndsWithItsPermission(t *testing.T) {
	p := &permission{open: make(map[int]func(error))}
	s := newSite(t, options{follow: p.follow})
	t.Run("what is whole is not followed", func(t *testing.T) {
		s.clients(t, func(t *testing.T, c *http.Client) {
			if res, _ := s.do(t, c, "POST", "/svc/talk/seen", strings.NewReader("body"), nil); res.StatusCode != 200 || p.next != 0 {
				t.Error(res.Status, p.next)
			}
		})
	})
	t.Run("an answer that streams", func(t *testing.T) {
		s.clients(t, func(t *testing.T, c *http.Client) {
			res, err := c.Get(s.URL + "/svc/talk/events?n=2&stay")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			want := "data: 0\n\ndata: 1\n\n"
			if _, err := io.ReadFull(res.Body, make([]byte, len(want))); err != nil {
				t.Fatal(err)
			}
			p.takeAway()
			if b, err := io.ReadAll(res.Body); len(b) > 0 || err == nil {
				t.Errorf("%q %v: it looks complete", b, err)
			}
		})
	})
	t.Run("a caller that does not read", func(t *testing.T) {
		before, _ := s.last()
		conn := s.raw(t)
		fmt.Fprintf(conn, "GET /svc/talk/big?n=67108864 HTTP/1.1\r\nHost: %s\r\n\r\n", s.Addr)
		testkit.Eventually(t, "it streams", func() bool { return p.followed() > 0 })
		p.takeAway()
		testkit.Within(t, port.DefaultIdle/2, "the call is over", func() bool { n, _ := s.last(); return n > before })
		testkit.Within(t, port.DefaultIdle/2, "nothing is followed", func() bool { return p.followed() == 0 })
	})
	t.Run("before the answer", func(t *testing.T) {
		s.clients(t, func(t *testing.T, c *http.Client) {
			body, more := io.Pipe()
			go func() {
				_, _ = io.WriteString(more, "a")
				testkit.Poll(testkit.Patience, func() bool { return p.followed() > 0 })
				p.takeAway()
			}()
			res, got := s.do(t, c, "POST", "/svc/talk/count", body, nil)
			if res.StatusCode != http.StatusUnauthorized || !strings.Contains(got, reason) {
				t.Error(res.Status, got)
			}
			more.Close()
		})
	})
	t.Run("gRPC", func(t *testing.T) {
		chat := connect.NewClient[text, text](s.H2, s.URL+"/svc/talk/test.v1.Talk/Chat", connect.WithGRPC()).CallBidiStream(t.Context())
		if err := chat.Send(wrapperspb.String("hello")); err != nil {
			t.Fatal(err)
		}
		if m, err := chat.Receive(); err != nil || m.Value != "hello?" {
			t.Fatal(m, err)
		}
		p.takeAway()
		if _, err := chat.Receive(); connect.CodeOf(err) != connect.CodeUnauthenticated || !strings.Contains(err.Error(), reason) {
			t.Error(err)
		}
		_ = chat.CloseRequest()
		_ = chat.CloseResponse()
	})
	t.Run("nothing of it is left", func(t *testing.T) {
		w := &slowWriter{ResponseRecorder: httptest.NewRecorder(), began: make(chan struct{}), proceed: make(chan struct{})}
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			defer func() { _ = recover() }() // the answer is cut off
			s.server.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/svc/talk/events?n=2&stay", nil))
		}()
		testkit.Eventually(t, "it streams", func() bool { return p.followed() > 0 })
		p.takeAway()
		<-w.began
		select {
		case <-returned:
			t.Error("a deadline is set on a connection that the exchange has left")
		case <-time.After(50 * time.Millisecond):
		}
		close(w.proceed)
		<-returned
	})
	goodbye := append([]byte{0x88, byte(2 + len(reason))}, binary.BigEndian.AppendUint16(nil, 1008)...)
	goodbye = append(goodbye, reason...)
	for _, c := range []struct {
		name, path, protocol, says, hears string
		end                               []byte
	}{
		{"a WebSocket", "/socket", "websocket", "\x81\x82\x00\x00\x00\x00hi", "\x81\x02hi", goodbye},
		{"a WebSocket that is silent", "/socket", "websocket", "", "", goodbye},
		{"between frames", "/shout", "WebSocket", "\x81\x05hel\n", "\x81\x05hel!\n", goodbye},
		{"within a frame", "/shout", "WebSocket", "\x81\x06hel\n", "\x81\x06hel!\n", nil},
		{"within a head", "/shout", "WebSocket", "\x81\x02\x81\n", "\x81\x02\x81!\n", nil},
		{"a long frame", "/shout", "WebSocket", "\x82\x7e\x00\x83" + strings.Repeat("x", 129) + "\n", "\x82\x7e\x00\x83" + strings.Repeat("x", 129) + "!\n", goodbye},
		{"a longer frame", "/shout", "WebSocket", "\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x03x\n", "\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x03x!\n", goodbye},
		{"after the service's own goodbye", "/shout", "WebSocket", "\x88\x02\n", "\x88\x02!\n", nil},
		{"another protocol", "/shout", "shout", "hello\n", "hello!\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, r, res := s.upgrade(t, c.path, c.protocol)
			if res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(res.Status)
			}
			fmt.Fprint(conn, c.says)
			got := make([]byte, len(c.hears))
			if _, err := io.ReadFull(r, got); err != nil || string(got) != c.hears {
				t.Fatalf("%q %v", got, err)
			}
			testkit.Eventually(t, "it is followed", func() bool { return p.followed() == 1 }) // a silent one has only been answered
			p.takeAway()
			if b, err := io.ReadAll(r); !bytes.Equal(b, c.end) || err != nil {
				t.Errorf("it ends with %q %v", b, err)
			}
			conn.Close()
			testkit.Eventually(t, "nothing is followed", func() bool { return p.followed() == 0 })
		})
	}
}
