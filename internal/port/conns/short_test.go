package conns_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port/conns"
)

// What is moved in short pieces is what Read and Write move, deadlines and ends included.
func TestShortPiecesAreThoseOfTheConnection(t *testing.T) {
	for _, brief := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c, ok := conns.New(1, brief).Add(accepted, access.ViaTCP, "")
		if !ok {
			t.Fatal("there is no room")
		}
		defer c.Close()

		piece := make([]byte, 8)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if n, err := c.ReadShort(piece); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("brief %t: read %d bytes of a silent peer, %v", brief, n, err)
		}
		_ = c.SetReadDeadline(time.Time{})
		if _, err := peer.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"01234567", "89"} {
			if n, err := c.ReadShort(piece); string(piece[:n]) != want || err != nil {
				t.Errorf("brief %t: read %q, %v, want %q", brief, piece[:n], err, want)
			}
		}

		// More than the buffers of both ends hold.
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		go func() {
			_, err := c.WriteShort(sent)
			if err := errors.Join(err, c.CloseWrite()); err != nil {
				t.Errorf("brief %t: %v", brief, err)
			}
		}()
		if got, err := io.ReadAll(peer); !bytes.Equal(got, sent) || err != nil {
			t.Errorf("brief %t: %d of %d bytes arrived, %v", brief, len(got), len(sent), err)
		}
		_ = c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		_ = peer.(*net.TCPConn).CloseWrite()
		if n, err := c.ReadShort(piece); n != 0 || err != io.EOF {
			t.Errorf("brief %t: read %d bytes after the end, %v", brief, n, err)
		}
		if _, err := c.WriteShort(piece); err == nil {
			t.Errorf("brief %t: wrote after the end", brief)
		}
	}
}

// What is no socket is read and written as usual.
func TestAPipeIsNoSocket(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	c, _ := conns.New(1, true).Add(near, access.ViaSocket, "")
	go func() { _, _ = far.Write([]byte("x")) }()
	if n, err := c.ReadShort(make([]byte, 8)); n != 1 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}
