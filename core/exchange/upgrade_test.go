package exchange

import (
	"io"
	"net"
	"strings"
	"testing"
)

// A call can end while its service switches protocols. Then nothing of the connection is
// read, and it is known, so that it is closed.
func TestASwitchThatComesTooLate(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	c := newConnection("websocket")
	if err := c.Close(); err != nil || c.hijacked() != nil {
		t.Fatal(err)
	}
	c.settle(near, strings.NewReader("x"))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d bytes are read, %v", n, err)
	}
	if c.hijacked() != near {
		t.Error("nobody knows the connection, so nobody closes it")
	}
}
