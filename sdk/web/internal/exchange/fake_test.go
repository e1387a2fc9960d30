//go:build unix

package exchange

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

// fakeHost is a host whose descriptors are sockets of this system: the core and
// the runner of one exchange.
type fakeHost struct {
	t    *testing.T
	w    http.ResponseWriter
	r    *http.Request
	head []byte // of the request

	whole   []byte // the body, if it does not stream
	streams bool
	gone    atomic.Bool // the caller
	inEnded chan struct{}

	fd       int32        // of the exchange; 0 before it is opened
	far      *net.TCPConn // its other end
	outEnded chan struct{}
	stop     func() bool
	upgrade  bool
	conn     net.Conn // once protocols were switched

	mu       sync.Mutex
	status   int
	fields   http.Header
	began    bool
	out      []byte
	trailers http.Header
	failure  string
}

// pair returns a descriptor that does not block and its other end.
func pair(t *testing.T) (int32, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := near.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	if err := raw.Control(func(old uintptr) { fd, err = syscall.Dup(int(old)) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return int32(fd), far.(*net.TCPConn)
}

func newFakeHost(t *testing.T, w http.ResponseWriter, r *http.Request) *fakeHost {
	f := &fakeHost{t: t, w: w, r: r, inEnded: make(chan struct{}), outEnded: make(chan struct{})}
	field := func(k, v string) { f.head = abi.AppendField(f.head, k, v) }
	field(abi.HeadCallID, "c-1")
	field(abi.HeadMethod, r.Method)
	field(abi.HeadPath, r.RequestURI)
	field(abi.HeadAuthority, r.Host)
	field(abi.HeadScheme, "http")
	field(abi.HeadProto, r.Proto)
	field(abi.HeadRemote, r.RemoteAddr)
	field(abi.HeadCaller, "somebody")
	field(":unknown", "x")
	for name, values := range r.Header {
		for _, v := range values {
			field(strings.ToLower(name), v)
		}
	}
	var declared []string
	for name := range r.Trailer {
		declared = append(declared, name)
	}
	if len(declared) > 0 {
		field("trailer", strings.Join(declared, ", "))
	}
	if r.ContentLength >= 0 && r.ContentLength <= kept {
		f.whole, _ = io.ReadAll(r.Body)
	} else {
		f.streams = true
	}
	return f
}

func (f *fakeHost) HeadRead(p []byte) int32 {
	n := copy(p[:min(len(p), 100)], f.head) // in pieces, as a host may
	f.head = f.head[n:]
	return int32(n)
}

func (f *fakeHost) HeadWrite(head []byte) int32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status >= 200 || f.status == http.StatusSwitchingProtocols {
		return abi.ErrState
	}
	var status int
	header, err := host.ParseFields(string(head), func(key, value string) {
		if key == abi.HeadStatus {
			status, _ = strconv.Atoi(value)
		}
	})
	if err != nil || status == 0 {
		return abi.ErrInvalid
	}
	f.status, f.fields = status, header
	if status == http.StatusSwitchingProtocols {
		f.switchProtocols()
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		for name, values := range header {
			f.w.Header()[name] = values
		}
		f.w.WriteHeader(status)
		clear(f.w.Header())
	}
	return int32(len(head))
}

func (f *fakeHost) InputSize() int64 {
	if f.streams {
		return -1
	}
	return int64(len(f.whole))
}

func (f *fakeHost) InputRead(p []byte) int32 {
	if f.gone.Load() {
		return abi.ErrBroken
	}
	n := copy(p[:min(len(p), 1000)], f.whole)
	f.whole = f.whole[n:]
	return int32(n)
}

func (f *fakeHost) OutputWrite(p []byte) int32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status < 200 {
		f.t.Errorf("output before the head")
	}
	n := min(len(p), 10_000) // a host may take less
	f.out = append(f.out, p[:n]...)
	return int32(n)
}

func (f *fakeHost) OutputFlush() int32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone.Load() {
		return abi.ErrBroken
	}
	if f.status != http.StatusSwitchingProtocols {
		f.push()
	}
	return 0
}

// push sends what there is to the caller. f.mu is held.
func (f *fakeHost) push() {
	f.begin()
	f.write(f.out)
	f.out = nil
	_ = http.NewResponseController(f.w).Flush()
}

func (f *fakeHost) write(p []byte) {
	if f.r.Method != http.MethodHead && len(p) > 0 {
		_, _ = f.w.Write(p)
	}
}

// begin sends the head. f.mu is held.
func (f *fakeHost) begin() {
	if f.began {
		return
	}
	f.began = true
	for name, values := range f.fields {
		f.w.Header()[name] = values
	}
	if f.fields["Content-Type"] == nil {
		f.w.Header()["Content-Type"] = nil // the guest has sniffed
	}
	f.w.WriteHeader(f.status)
	clear(f.w.Header()) // or declared trailers would have the values of fields
}

func (f *fakeHost) TrailersWrite(trailers []byte) int32 {
	header, err := host.ParseFields(string(trailers), nil)
	if err != nil {
		return abi.ErrInvalid
	}
	f.trailers = header
	return int32(len(trailers))
}

func (f *fakeHost) Fail(_ uint32, message string) { f.failure = message }

func (f *fakeHost) BodyOpen() int32 {
	if f.fd != 0 {
		f.t.Error("the body was opened twice")
		return f.fd
	}
	f.fd, f.far = pair(f.t)
	if f.upgrade {
		go f.pumpOut()
		return f.fd
	}
	f.stop = context.AfterFunc(f.r.Context(), func() {
		f.gone.Store(true)
		_ = f.far.SetLinger(0)
		_ = f.far.Close()
	})
	go f.pumpIn()
	go f.pumpOut()
	return f.fd
}

// pumpIn carries the body of the request.
func (f *fakeHost) pumpIn() {
	defer close(f.inEnded)
	if f.streams {
		if _, err := io.Copy(struct{ io.Writer }{f.far}, f.r.Body); err != nil {
			_ = f.far.SetLinger(0) // the guest reads that it broke off
			_ = f.far.Close()
			return
		}
	}
	_ = f.far.CloseWrite()
}

// pumpOut carries the body of the answer.
func (f *fakeHost) pumpOut() {
	defer close(f.outEnded)
	buf := make([]byte, 32<<10)
	for {
		n, err := f.far.Read(buf)
		f.mu.Lock()
		if n > 0 {
			if f.conn != nil {
				_, _ = f.conn.Write(buf[:n])
			} else {
				f.out = append(f.out, buf[:n]...)
				f.push()
			}
		}
		f.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (f *fakeHost) StreamOpen([]byte) int32 { return abi.ErrLimit }

func (f *fakeHost) StreamHead(_ uintptr, part uint32, p []byte) int32 {
	if part != host.PartTrailers {
		return abi.ErrState
	}
	if f.gone.Load() {
		return abi.ErrBroken
	}
	var head []byte
	if f.streams {
		<-f.inEnded
	}
	head = host.AppendFields(nil, f.r.Trailer, nil)
	f.r.Trailer = nil
	return int32(copy(p, head))
}

func (f *fakeHost) File(fd int32, name string) (*os.File, error) {
	if err := syscall.SetNonblock(int(fd), true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (f *fakeHost) CloseSide(fd uintptr, side int) error {
	return syscall.Shutdown(int(fd), side-1) // Unix counts from 0
}

// switchProtocols makes bytes of both directions go over the caller's connection.
// f.mu is held.
func (f *fakeHost) switchProtocols() {
	c, rw, err := http.NewResponseController(f.w).Hijack()
	if err != nil {
		f.t.Error(err)
		return
	}
	f.conn = c
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n")
	_ = f.fields.Write(c)
	_, _ = io.WriteString(c, "\r\n")
	go func() {
		defer close(f.inEnded)
		_, _ = io.Copy(struct{ io.Writer }{f.far}, rw)
		_ = f.far.CloseWrite()
	}()
}

// finish does what core and runner do after the guest has returned.
func (f *fakeHost) finish(result int32) {
	if f.fd != 0 {
		<-f.outEnded
	}
	if f.conn != nil {
		_ = f.conn.Close()
		<-f.inEnded
		_ = f.far.Close()
		return
	}
	if f.fd != 0 && !f.upgrade {
		select {
		case <-f.inEnded:
		default: // nobody may read the body after the handler has returned
			_ = http.NewResponseController(f.w).SetReadDeadline(time.Unix(1, 0))
			_ = f.r.Body.Close()
			<-f.inEnded
		}
		f.stop()
	}
	if f.fd != 0 {
		_ = f.far.Close()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if (result != 0) != (f.failure != "") {
		f.t.Errorf("result %d with failure %q", result, f.failure)
	}
	if result != 0 {
		if f.began {
			panic(http.ErrAbortHandler)
		}
		http.Error(f.w, f.failure, http.StatusInternalServerError)
		return
	}
	if !f.began && len(f.trailers) == 0 && f.fields["Trailer"] == nil && f.r.Method != http.MethodHead && f.status >= 200 && f.status != 204 && f.status != 304 {
		f.fields.Set("Content-Length", strconv.Itoa(len(f.out)))
	}
	f.begin()
	f.write(f.out)
	for name, values := range f.trailers {
		f.w.Header()[http.TrailerPrefix+name] = values
	}
}

// bridge serves h as a guest does.
func bridge(t *testing.T, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		f := newFakeHost(t, w, r)
		f.finish(answer(f, h))
	})
}
