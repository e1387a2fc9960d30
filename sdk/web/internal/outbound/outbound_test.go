//go:build unix

package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is a host whose outbound streams end in the test. The other side
// writes one byte before its data when its head is there, so that the descriptor
// becomes readable as it does in a module.
type network struct {
	host.Host
	t     *testing.T
	serve func(o *other)

	mu     sync.Mutex
	others map[uintptr]*other
	work   sync.WaitGroup
}

// other is the other side of a stream.
type other struct {
	*os.File
	header  http.Header
	control map[string]string

	mu       sync.Mutex
	head     []byte
	there    bool
	trailers []byte
}

func newNetwork(t *testing.T, serve func(o *other)) *network {
	n := &network{t: t, serve: serve, others: make(map[uintptr]*other)}
	t.Cleanup(n.work.Wait)
	return n
}

// answer sends the head, pairs of names and values.
func (o *other) answer(fields ...string) {
	var head []byte
	for i := 0; i < len(fields); i += 2 {
		head = abi.AppendField(head, fields[i], fields[i+1])
	}
	o.mu.Lock()
	o.head = head
	o.mu.Unlock()
	_, _ = o.Write([]byte{'!'})
}

func (n *network) StreamOpen(head []byte) int32 {
	o := &other{control: make(map[string]string)}
	var err error
	if o.header, err = host.ParseFields(string(head), func(k, v string) { o.control[k] = v }); err != nil {
		return abi.ErrInvalid
	}
	kind := syscall.SOCK_STREAM
	if strings.HasPrefix(o.control[abi.HeadURL], "udp:") {
		kind = syscall.SOCK_DGRAM
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, kind, 0)
	if err != nil {
		n.t.Error(err)
		return abi.ErrLimit
	}
	if err := syscall.SetNonblock(fds[1], true); err != nil {
		n.t.Error(err)
	}
	o.File = os.NewFile(uintptr(fds[1]), "other")
	n.mu.Lock()
	n.others[uintptr(fds[0])] = o
	n.mu.Unlock()
	n.work.Go(func() {
		defer o.Close()
		n.serve(o)
	})
	return int32(fds[0])
}

func (n *network) StreamHead(fd uintptr, part uint32, p []byte) int32 {
	n.mu.Lock()
	o := n.others[fd]
	n.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	from := &o.head
	if part == host.PartTrailers {
		from = &o.trailers
	} else if !o.there {
		switch got, err := syscall.Read(int(fd), make([]byte, 1)); {
		case err == syscall.EAGAIN:
			return abi.ErrAgain
		case got == 0 || err != nil:
			return abi.ErrBroken
		}
		o.there = true
	}
	m := copy(p[:min(len(p), 20)], *from) // in pieces, as a host may
	*from = (*from)[m:]
	return int32(m)
}

func (n *network) File(fd int32, name string) (*os.File, error) {
	if err := syscall.SetNonblock(int(fd), true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (n *network) CloseSide(fd uintptr, side int) error {
	return syscall.Shutdown(int(fd), side-1) // Unix counts from 0
}

// transport is package web's over a network.
type transport struct{ *network }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return RoundTrip(t.network, req)
}

func TestRequest(t *testing.T) {
	c := http.Client{Transport: transport{newNetwork(t, func(o *other) {
		if o.control[abi.HeadMethod] != "PUT" || o.control[abi.HeadURL] != "https://a.example/p%2Fq?x=1" || o.control[abi.HeadLength] != "5" {
			t.Errorf("the head is %v", o.control)
		}
		if o.header.Get("Authorization") != "Basic dTpw" || o.header.Get("X-A") != "1" {
			t.Errorf("the fields are %v", o.header)
		}
		b, err := io.ReadAll(o)
		o.answer(abi.HeadStatus, "201", "x-got", fmt.Sprint(string(b), err), "content-length", "6", "trailer", "X-Sum")
		o.mu.Lock()
		o.trailers = abi.AppendField(nil, "x-sum", "7")
		o.mu.Unlock()
		_, _ = io.WriteString(o, "thanks")
	})}}
	req, err := http.NewRequestWithContext(t.Context(), "PUT", "https://u:p@a.example/p%2Fq?x=1#fragment", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-A", "1")
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if res.StatusCode != 201 || res.Status != "201 Created" || res.Header.Get("X-Got") != "hello<nil>" || string(b) != "thanks" || err != nil || res.ContentLength != 6 {
		t.Errorf("got %v with %q, %v", res, b, err)
	}
	if res.Trailer.Get("X-Sum") != "7" {
		t.Errorf("trailers %v", res.Trailer)
	}
	for range 2 {
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := res.Body.Read(b); err == nil {
		t.Error("a closed body is read")
	}
}

// Each hop of a redirect is a stream of its own, which the host checks.
func TestRedirect(t *testing.T) {
	hops := 0
	c := http.Client{Transport: transport{newNetwork(t, func(o *other) {
		hops++
		if o.control[abi.HeadURL] == "http://a.example/" {
			o.answer(abi.HeadStatus, "302", "location", "http://b.example/there")
			return
		}
		o.answer(abi.HeadStatus, "200")
		_, _ = io.WriteString(o, o.control[abi.HeadURL])
	})}}
	res, err := c.Get("http://a.example/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); string(b) != "http://b.example/there" || err != nil || hops != 2 {
		t.Errorf("got %q, %v after %d hops", b, err, hops)
	}
}

// Both directions go on at the same time.
func TestFullDuplex(t *testing.T) {
	n := newNetwork(t, func(o *other) {
		if o.control[abi.HeadLength] != "-1" {
			t.Errorf("the head is %v", o.control)
		}
		o.answer(abi.HeadStatus, "200")
		_, _ = io.Copy(struct{ io.Writer }{o}, struct{ io.Reader }{o})
	})
	in, out := io.Pipe()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://a.example/", in)
	res, err := RoundTrip(n, req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b := make([]byte, 1)
	for i := range 5 {
		want := strconv.Itoa(i)
		if _, err := io.WriteString(out, want); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(res.Body, b); string(b) != want || err != nil {
			t.Fatalf("got %q, %v", b, err)
		}
	}
	out.Close()
	if _, err := res.Body.Read(b); err != io.EOF {
		t.Error(err)
	}
}

func TestAnswersWithoutABody(t *testing.T) {
	n := newNetwork(t, func(o *other) {
		o.answer(abi.HeadStatus, o.header.Get("X-Status"), "content-length", "7")
	})
	for method, status := range map[string]string{"HEAD": "200", "GET": "204", "POST": "304"} {
		req, _ := http.NewRequestWithContext(t.Context(), method, "http://a.example/", nil)
		req.Header.Set("X-Status", status)
		res, err := RoundTrip(n, req)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]int64{"HEAD": 7}[method]; res.Body != http.NoBody || res.ContentLength != want {
			t.Errorf("%s %s: length %d", method, status, res.ContentLength)
		}
	}
}

func TestRequestsThatFail(t *testing.T) {
	failing := errors.New("the body fails")
	blocked := func(o *other) { o.answer(abi.HeadError, "EGRESS_BLOCKED", abi.HeadMessage, "no grant for a.example") }
	for name, c := range map[string]struct {
		request func(*http.Request)
		serve   func(*other)
		want    string
	}{
		"blocked":    {nil, blocked, "EGRESS_BLOCKED: no grant for a.example"},
		"gone":       {nil, func(*other) {}, "unexpected EOF"},
		"no status":  {nil, func(o *other) { o.answer("x", "y") }, "the answer has no status"},
		"bad status": {nil, func(o *other) { o.answer(abi.HeadStatus, "1000") }, "the answer has no status"},
		"scheme":     {func(r *http.Request) { r.URL.Scheme = "ftp" }, nil, `unsupported scheme "ftp"`},
		"no host":    {func(r *http.Request) { r.URL.Host = "" }, nil, "no host"},
		"no URL":     {func(r *http.Request) { r.URL = nil }, nil, "no URL"},
		"method":     {func(r *http.Request) { r.Method = "A B" }, nil, "is not a method"},
		"name":       {func(r *http.Request) { r.Header["A B"] = []string{"x"} }, nil, "is not the name of a header field"},
		"value":      {func(r *http.Request) { r.Header["A"] = []string{"x\r\nB: c"} }, nil, "control characters"},
		"trailers":   {func(r *http.Request) { r.Trailer = http.Header{"A": nil} }, nil, "cannot have trailers"},
		"failed body": {func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("x"), errReader{failing}))
		}, func(o *other) { _, _ = io.Copy(io.Discard, o) }, failing.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			body := &closed{Reader: strings.NewReader("x")}
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://a.example/", body)
			if c.request != nil {
				c.request(req)
			}
			_, err := RoundTrip(newNetwork(t, c.serve), req)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if req.Body == io.ReadCloser(body) && !body.is() {
				t.Error("the body of the request is not closed")
			}
			if e, ok := errors.AsType[*Error](err); name == "blocked" && (!ok || e.Reason != "EGRESS_BLOCKED") {
				t.Errorf("got %v", e)
			}
		})
	}
}

type errReader struct{ error }

func (r errReader) Read([]byte) (int, error) { return 0, r.error }

// closed is a body that knows whether it was closed.
type closed struct {
	io.Reader
	mu sync.Mutex
	n  int
}

func (c *closed) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return nil
}

func (c *closed) is() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n > 0
}

func TestAnswersThatBreakOff(t *testing.T) {
	n := newNetwork(t, func(o *other) {
		o.answer(abi.HeadStatus, "200", "content-length", "10")
		_, _ = io.WriteString(o, "short")
	})
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.example/", nil)
	res, err := RoundTrip(n, req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); string(b) != "short" || err != io.ErrUnexpectedEOF {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestRequestsEndWithTheirContext(t *testing.T) {
	for _, when := range []string{"before", "head", "body"} {
		ctx, cancel := context.WithCancel(t.Context())
		n := newNetwork(t, func(o *other) {
			if when == "body" {
				o.answer(abi.HeadStatus, "200")
			} else {
				cancel()
			}
			_, _ = io.Copy(io.Discard, o) // until it is closed
		})
		if when == "before" {
			cancel()
		}
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://a.example/", nil)
		res, err := RoundTrip(n, req)
		if when == "body" && err == nil {
			time.AfterFunc(time.Millisecond, cancel)
			_, err = res.Body.Read(make([]byte, 1))
			res.Body.Close()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", when, err)
		}
		cancel()
	}
}

func TestDial(t *testing.T) {
	n := newNetwork(t, func(o *other) {
		o.answer(abi.HeadLocal, "10.0.0.1:1000", abi.HeadRemote, "10.0.0.2:22")
		b, _ := io.ReadAll(o)
		_, _ = io.WriteString(o, o.control[abi.HeadURL]+" "+string(b))
	})
	for network, want := range map[string]string{"tcp": "tcp://h:22 hello", "tls": "tls://h:22 hello", "tcp6": "tcp://h:22 hello"} {
		c, err := Dial(t.Context(), n, network, "h:22")
		if err != nil {
			t.Fatal(err)
		}
		if c.LocalAddr().String() != "10.0.0.1:1000" || c.RemoteAddr().(*net.TCPAddr).Port != 22 {
			t.Errorf("%s: from %v to %v", network, c.LocalAddr(), c.RemoteAddr())
		}
		if _, ok := c.(net.PacketConn); ok {
			t.Errorf("%s is a PacketConn", network)
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Error(err)
		}
		var timeout net.Error
		if _, err := c.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got %v", network, err)
		}
		if err := c.SetDeadline(time.Time{}); err != nil {
			t.Error(err)
		}
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Error(err)
		}
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
		if b, err := io.ReadAll(c); string(b) != want || err != nil {
			t.Errorf("%s: got %q, %v", network, b, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: got %v", network, err)
		}
	}
}

func TestDialDatagrams(t *testing.T) {
	n := newNetwork(t, func(o *other) {
		o.answer(abi.HeadRemote, "10.0.0.2:161")
		b := make([]byte, 100)
		for {
			got, err := o.Read(b)
			if err != nil || string(b[:got]) == "end" {
				return
			}
			_, _ = o.Write(append([]byte("re: "), b[:got]...))
		}
	})
	c, err := Dial(t.Context(), n, "udp", "10.0.0.2:161")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := c.(net.PacketConn)
	b := make([]byte, 100)
	for _, text := range []string{"one", "two"} {
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"re: one", "re: two"} {
		got, from, err := p.ReadFrom(b)
		if string(b[:got]) != want || err != nil || from.String() != "10.0.0.2:161" || from.Network() != "udp" {
			t.Errorf("got %q from %v, %v", b[:got], from, err)
		}
	}
	if _, err := p.WriteTo(b, c.RemoteAddr()); !errors.Is(err, net.ErrWriteToConnected) {
		t.Error(err)
	}
	_, _ = io.WriteString(c, "end")
}

func TestDialsThatFail(t *testing.T) {
	refuse := func(o *other) { o.answer(abi.HeadError, "EGRESS_FAILED", abi.HeadMessage, "connection refused") }
	for _, c := range []struct{ network, address, want string }{
		{"tcp", "h:22", "EGRESS_FAILED: connection refused"},
		{"unix", "/x", "unknown network unix"},
		{"tcp", "h", "missing port"},
		{"tcp", "h:ssh", "not the number of a port"},
		{"tcp", "h:0", "not the number of a port"},
		{"tcp", "h:65536", "not the number of a port"},
		{"tcp", ":22", "not the name or the address of a host"},
		{"tcp", "u@h:22", "not the name or the address of a host"},
		{"tcp", "a/b:22", "not the name or the address of a host"},
	} {
		_, err := Dial(t.Context(), newNetwork(t, refuse), c.network, c.address)
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: got %v, want %s", c.network, c.address, err, c.want)
		}
	}
	_, err := Dial(t.Context(), full{}, "tcp", "h:22")
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != "EGRESS_LIMIT" {
		t.Errorf("got %v", err)
	}
}

// full is a host with too many streams.
type full struct{ host.Host }

func (full) StreamOpen([]byte) int32 { return abi.ErrLimit }
