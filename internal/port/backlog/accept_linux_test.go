package backlog_test

import (
	"net"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/port/backlog"
)

// Whoever has connected is accepted, with what was sent; nobody is waited for.
func TestWhoWaitsIsAccepted(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{3, 0} {
		n := 0
		for c := range backlog.Accept(l) {
			n++
			if got, err := c.Read(make([]byte, 1)); got != 1 || err != nil {
				t.Errorf("read %d bytes, %v", got, err)
			}
			if _, ok := c.(*net.TCPConn); !ok {
				t.Errorf("%T", c)
			}
			_ = c.Close()
		}
		if n != want {
			t.Errorf("accepted %d connections, want %d", n, want)
		}
	}
	_ = l.Close()
	for range backlog.Accept(l) {
		t.Error("a listener that is closed accepts")
	}
}
