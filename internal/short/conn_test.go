package short_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/short"
)

// listen returns a connection to each kind of socket, and its peer.
func pairs(t *testing.T) map[string][2]net.Conn {
	t.Helper()
	all := make(map[string][2]net.Conn)
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "socket")} {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		peer, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c := short.Conn(accepted)
		t.Cleanup(func() { _, _ = c.Close(), peer.Close() })
		all[network] = [2]net.Conn{c, peer}
	}
	return all
}

// Deadlines, ends and errors are those of any connection.
func TestAConnectionIsReadAndWrittenAsAnyOther(t *testing.T) {
	for network, pair := range pairs(t) {
		c, peer := pair[0], pair[1]
		piece := make([]byte, 8)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err := c.Read(piece)
		if timeout, ok := errors.AsType[net.Error](err); !errors.Is(err, os.ErrDeadlineExceeded) || !ok || !timeout.Timeout() {
			t.Errorf("%s: reading of a silent peer ends with %v", network, err)
		}
		_ = c.SetReadDeadline(time.Time{})
		if n, err := c.Read(nil); n != 0 || err != nil {
			t.Errorf("%s: nothing is read with %d, %v", network, n, err)
		}
		if _, err := peer.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"01234567", "89"} {
			if n, err := c.Read(piece); string(piece[:n]) != want || err != nil {
				t.Errorf("%s: read %q, %v, want %q", network, piece[:n], err, want)
			}
		}

		// In pieces of all lengths, and more than the buffers of both ends hold.
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
		written := make(chan error, 1)
		go func() {
			var err error
			for left, n := sent, 1; len(left) > 0 && err == nil; n *= 2 {
				n = min(n, len(left))
				_, err = c.Write(left[:n])
				left = left[n:]
			}
			written <- errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
		}()
		if got, err := io.ReadAll(peer); !bytes.Equal(got, sent) || err != nil {
			t.Errorf("%s: %d of %d bytes arrived, %v", network, len(got), len(sent), err)
		}
		if err := <-written; err != nil {
			t.Errorf("%s: writing ends with %v", network, err)
		}
		if _, err := c.Write(piece); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: writing after the end ends with %v", network, err)
		}
		_ = peer.Close()
		if n, err := c.Read(piece); n != 0 || err != io.EOF {
			t.Errorf("%s: read %d bytes after the end, %v", network, n, err)
		}
		_ = c.Close()
		if _, err := c.Read(piece); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: reading after Close ends with %v", network, err)
		}
		if _, err := c.Write(piece); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: writing after Close ends with %v", network, err)
		}
	}
}

// Writes at the same time do not mix, although none of them fits into the buffers at once.
func TestAWriteIsOnePiece(t *testing.T) {
	const size, writers, times = 30 << 10, 4, 40
	for network, pair := range pairs(t) {
		c, peer := pair[0], pair[1]
		_ = c.(interface{ NetConn() net.Conn }).NetConn().(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(1)
		var writing sync.WaitGroup
		for i := range writers {
			writing.Go(func() {
				piece := bytes.Repeat([]byte{byte(i)}, size+i*4<<10) // the last are longer than what is written shortly
				for range times {
					if _, err := c.Write(piece); err != nil {
						t.Error(err)
					}
				}
			})
		}
		piece := make([]byte, size+writers*4<<10)
		for range writers * times {
			if _, err := io.ReadFull(peer, piece[:1]); err != nil {
				t.Fatal(err)
			}
			i := piece[0]
			n := size + int(i)*4<<10
			if _, err := io.ReadFull(peer, piece[1:n]); err != nil {
				t.Fatal(err)
			}
			if bytes.Count(piece[:n], []byte{i}) != n {
				t.Fatalf("%s: another write is in the middle of one", network)
			}
		}
		writing.Wait()
	}
}

// Reading and writing take no memory.
func TestPiecesTakeNoMemory(t *testing.T) {
	for network, pair := range pairs(t) {
		c, peer := pair[0], pair[1]
		there, back := make([]byte, 100), make([]byte, 100)
		if n := testing.AllocsPerRun(100, func() {
			_, werr := c.Write(there)
			_, perr := io.ReadFull(peer, back)
			_, berr := peer.Write(back)
			_, rerr := io.ReadFull(c, there)
			if err := errors.Join(werr, perr, berr, rerr); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", network, n)
		}
	}
}

// What is no socket is read and written as usual.
func TestAPipeIsNoSocket(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if short.Conn(near) != near {
		t.Error("a pipe is taken for a socket")
	}
}
