package port_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// A client whose connection is idle when the server leaves gets its next answer,
// and is asked to go. Nobody new is let in.
func TestClientsAreAskedToGoBeforeTheirConnectionsAreClosed(t *testing.T) {
	var server *port.Server
	addr := serve(t, port.Config{}, func(s *port.Server) {
		server = s
		s.Handle("POST /echo", "echo", access.Own(), port.Bounds{}, echo)
	})
	ask := func(c net.Conn) *http.Response {
		t.Helper()
		if _, err := io.WriteString(c, "POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\nhi"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != "hi" {
			t.Fatalf("%q, %v", b, err)
		}
		return res
	}
	idle, silent := dial(t, addr), dial(t, addr)
	if res := ask(idle); res.Close {
		t.Error("a client is asked to go too early")
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		server.Leave(context.Background(), time.Minute)
	}()
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		_ = c.Close()
		if time.Now().After(deadline) {
			t.Fatal("the server accepts connections although it leaves")
		}
	}
	for _, c := range []net.Conn{idle, silent} {
		select {
		case <-left:
			t.Fatal("the server has left although a request can arrive")
		default:
		}
		if res := ask(c); !res.Close {
			t.Error("a client is not asked to go")
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is not closed: %v", err)
		}
	}
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the server waits although no client is left")
	}
}

// A client that asks for nothing holds the server up no longer than the limit.
func TestLeavingIsBounded(t *testing.T) {
	var server *port.Server
	addr := serve(t, port.Config{}, func(s *port.Server) { server = s })
	dial(t, addr)
	res, err := http.Post("http://"+addr+"/nothing", "text/plain", strings.NewReader("")) // its connection stays idle
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	began := time.Now()
	server.Leave(context.Background(), 50*time.Millisecond)
	if took := time.Since(began); took < 50*time.Millisecond || took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Clients who have connected and asked when the server leaves get their answers, even
// those whose connections it had not accepted yet.
func TestWhoHasConnectedIsServed(t *testing.T) {
	for range 20 {
		var server *port.Server
		addr := serve(t, port.Config{}, func(s *port.Server) {
			server = s
			s.Handle("POST /echo", "echo", access.Own(), port.Bounds{}, echo)
		})
		var clients []net.Conn
		for range 30 {
			clients = append(clients, dial(t, addr))
		}
		left := make(chan struct{})
		go func() {
			defer close(left)
			server.Leave(context.Background(), time.Minute)
		}()
		for n, c := range clients {
			if _, err := io.WriteString(c, "POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\nhi"); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("client %d: %v, %v", n, res, err)
			}
		}
		<-left
	}
}
