package port_test

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// A core has thousands of connections that wait for a next call. Each takes at most 8 KiB:
// 4 KiB are the stack of its goroutine, which the race detector doubles, so the rest is
// what is measured. That of its peer, which is in this process as well, is included.
func TestAnIdleConnectionTakesLittleMemory(t *testing.T) {
	d := open(t, port.Config{}, func(s *port.Server) {
		s.HandlePlain("/call/", "call", access.Own(), port.Bounds{Weight: 1}, echo)
	})
	const most, connections = 4 << 10, 400
	request := "POST /call/a HTTP/1.1\r\nHost: localhost\r\nUser-Agent: test\r\nAccept-Encoding: gzip\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000)
	answer := make([]byte, 4<<10)
	all := make([]net.Conn, 0, connections+1)
	defer func() {
		for _, c := range all {
			_ = c.Close()
		}
	}()
	call := func() {
		c, err := net.Dial("tcp", d.tcp)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		n, err := io.ReadAtLeast(c, answer, 1000)
		if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 200 ") {
			t.Fatalf("%q, %v", answer[:n], err)
		}
	}
	memory := func() int64 {
		var m runtime.MemStats
		for range 3 { // what is pooled goes with the second
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	call()
	before := memory()
	for range connections {
		call()
	}
	testkit.Eventually(t, "they are idle", func() bool { return d.server.InFlight() == 0 })
	if each := (memory() - before) / connections; each > most {
		t.Errorf("a connection takes %d bytes, the limit is %d", each, most)
	}
}
