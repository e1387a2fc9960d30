//go:build hostile

package hostile

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is an HTTP/2 connection on which the test chooses every frame. It
// answers pings and settings as a peer must, and grants no window.
type frames struct {
	conn net.Conn
	// closed is closed when the core has closed the connection.
	closed chan struct{}
	// began is when the connection was opened.
	began time.Time

	write sync.Mutex // held for each frame
	fr    *http2.Framer
	enc   *hpack.Encoder
	block bytes.Buffer
	next  uint32
	// authority is the host that requests are for: the core.
	authority string

	mu     sync.Mutex
	ends   map[uint32]ending
	status map[uint32]int
	goAway *http2.ErrCode
}

// ending describes how the core ended a stream.
type ending struct {
	after time.Duration // since the connection began
	reset bool
	code  http2.ErrCode
}

// narrow makes a connection buffer only few bytes of what it receives, so that
// the core's own buffers fill.
func narrow(_, _ string, c syscall.RawConn) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
	}), err)
}

// dial opens a TCP connection to the core.
func (c *cluster) dial() (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second, Control: narrow}
	return d.Dial("tcp", c.address())
}

// address returns the host:port of the core.
func (c *cluster) address() string { return strings.TrimPrefix(c.url, "http://") }

// frames opens an HTTP/2 connection.
func (c *cluster) frames(settings ...http2.Setting) (*frames, error) {
	conn, err := c.dial()
	if err != nil {
		return nil, err
	}
	f := &frames{
		conn: conn, closed: make(chan struct{}), began: time.Now(), fr: http2.NewFramer(conn, conn), next: 1,
		authority: c.address(), ends: make(map[uint32]ending), status: make(map[uint32]int),
	}
	f.fr.AllowIllegalWrites = true
	f.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.enc = hpack.NewEncoder(&f.block)
	_, err = conn.Write([]byte(http2.ClientPreface))
	if err = errors.Join(err, f.fr.WriteSettings(settings...)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	go f.read()
	return f, nil
}

// close hangs up and waits for the reader.
func (f *frames) close() {
	_ = f.conn.Close()
	<-f.closed
}

// say writes frames. Whatever it writes after the core hung up is lost.
func (f *frames) say(write func(fr *http2.Framer) error) error {
	f.write.Lock()
	defer f.write.Unlock()
	_ = f.conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
	return write(f.fr)
}

// headers encodes a header block. The caller holds f.write.
func (f *frames) headers(method, path string, header ...string) []byte {
	f.block.Reset()
	list := append([]string{":method", method, ":scheme", "http", ":authority", f.authority, ":path", path}, header...)
	for i := 0; i+1 < len(list); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: list[i], Value: list[i+1]}) // into memory
	}
	return f.block.Bytes()
}

// request opens a stream; end means that it has no body.
func (f *frames) request(end bool, method, path string, header ...string) (stream uint32, err error) {
	err = f.say(func(fr *http2.Framer) error {
		stream = f.next
		f.next += 2
		return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.headers(method, path, header...), EndStream: end, EndHeaders: true})
	})
	return stream, err
}

// data sends a part of a body.
func (f *frames) data(stream uint32, end bool, b []byte) error {
	return f.say(func(fr *http2.Framer) error { return fr.WriteData(stream, end, b) })
}

// read records what the core sends until it hangs up.
func (f *frames) read() {
	defer close(f.closed)
	for {
		frame, err := f.fr.ReadFrame()
		if err != nil {
			if _, ok := errors.AsType[http2.StreamError](err); ok {
				continue
			}
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.say((*http2.Framer).WriteSettingsAck)
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = f.say(func(fr *http2.Framer) error { return fr.WritePing(true, frame.Data) })
			}
		case *http2.MetaHeadersFrame:
			status, _ := strconv.Atoi(frame.PseudoValue("status"))
			f.note(func() { f.status[frame.StreamID] = max(f.status[frame.StreamID], status) })
			if frame.StreamEnded() {
				f.end(frame.StreamID, ending{})
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				f.end(frame.StreamID, ending{})
			}
		case *http2.RSTStreamFrame:
			f.end(frame.StreamID, ending{reset: true, code: frame.ErrCode})
		case *http2.GoAwayFrame:
			f.note(func() { f.goAway = &frame.ErrCode })
		}
	}
}

func (f *frames) note(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *frames) end(stream uint32, e ending) {
	f.note(func() {
		if _, ok := f.ends[stream]; !ok {
			e.after = time.Since(f.began)
			f.ends[stream] = e
		}
	})
}

// isClosed reports whether the core has closed the connection.
func (f *frames) isClosed() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

// left returns how many of the streams the core has not ended. A closed
// connection has none.
func (f *frames) left() int {
	if f.isClosed() {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return int(f.next/2) - len(f.ends)
}

// silent returns how many of the streams got no response at all.
func (f *frames) silent() int {
	if f.isClosed() {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := int(f.next / 2)
	for id := uint32(1); id < f.next; id += 2 {
		_, ended := f.ends[id]
		if _, begun := f.status[id]; begun || ended {
			n--
		}
	}
	return n
}

// went describes how the streams ended, for the report.
func (f *frames) went() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := make(map[string]int)
	for id, e := range f.ends {
		how := "answered"
		if e.reset {
			how = "reset with " + e.code.String()
		}
		counts[fmt.Sprintf("%s, status %d", how, f.status[id])]++
	}
	var list []string
	for _, how := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%d %s", counts[how], how))
	}
	if f.goAway != nil {
		list = append(list, "GOAWAY "+f.goAway.String())
	}
	return strings.Join(list, "; ")
}
