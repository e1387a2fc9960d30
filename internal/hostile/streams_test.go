//go:build hostile

package hostile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// marked makes a guest one of kind http.
func marked(m *w.Module) { m.Export(abi.MarkerHTTP, m.Func(">")) }

// asHTTP returns a guest of kind http.
func asHTTP(f func(m *w.Module)) []byte {
	m := w.New()
	f(m)
	marked(m)
	return m.Bytes()
}

// echoHTTP answers with the body of the request, as it arrives.
func echoHTTP() []byte {
	return asHTTP(func(m *w.Module) {
		read, write := m.Import(abi.HostModule, abi.ImportInputRead, "ii>i"), m.Import(abi.HostModule, abi.ImportOutputWrite, "ii>i")
		m.Memory(1, 1)
		const n = 0 // the local
		m.AsFunction(m.FuncLocals(">i", locals(1), w.Ops(0x03, 0x40),
			w.CallWith(read, 0, 32<<10), localSet(n), localGet(n), w.I32(0), w.Ops(0x4a), // i32.gt_s
			when(w.I32(0), localGet(n), w.Call(write), w.Drop(), w.Ops(0x0c, 1)), opEnd, w.I32(0)))
	})
}

// endless writes an answer that does not end.
func endless() []byte {
	return asHTTP(func(m *w.Module) {
		write := m.Import(abi.HostModule, abi.ImportOutputWrite, "ii>i")
		m.Memory(1, 1)
		m.AsFunction(m.Func(">i", w.Ops(0x03, 0x40), w.CallWith(write, 0, 64<<10), w.I32(0), w.Ops(0x4a, 0x0d, 0), opEnd, w.I32(0)))
	})
}

// streamRows are row 47, guests that misuse streams, and row 48, their callers.
func streamRows() []*row { return []*row{guestStreamRow(), callerStreamRow()} }

// asked sends orders to the puppet of kind http, and returns its results and the answer.
func (b *bout) asked(orders ...[]byte) ([]int64, *said) {
	in := bytes.Join(orders, nil)
	a, err := b.answer(http.MethodPost, "/svc/"+b.service()+"/", nil, bytes.NewReader(in))
	if err != nil {
		b.Errorf("%v", err)
		return make([]int64, count(in)), nil
	}
	got := results(a.body)
	if len(got) != count(in) {
		b.Errorf("%d of %d orders were carried out: %.300s", len(got), count(in), a.body)
		return make([]int64, count(in)), nil
	}
	return got, a
}

// guestStreamRow is row 47.
func guestStreamRow() *row {
	const (
		files    = 64 // of a call
		subs     = 640
		again    = 6
		nonblock = 4
		subSize  = 48
		waiting  = 50 * time.Millisecond
	)
	p, wasm := newPuppet(marked)
	var silent net.Listener // accepts, and reads nothing
	opens := func(n int) (orders []byte) {
		head := headOf(abi.HeadURL, "tcp://"+silent.Addr().String())
		orders = p.write(headAt, head)
		for range n {
			orders = append(orders, p.order(abi.ImportStreamOpen, headAt, uint64(len(head)))...)
		}
		return orders
	}
	// polls subscribes to all files, to read or to write, and to a clock.
	polls := func(tag uint64) (orders []byte) {
		for i := range uint64(files) {
			at := 1024 + i*subSize
			orders = append(append(orders, p.order("poke", at+8, tag)...), p.order("poke", at+16, 4+i)...)
		}
		const at = 1024 + files*subSize
		orders = append(orders, p.order("poke", at+16, 1)...) // the monotonic clock
		orders = append(orders, p.order("poke", at+24, uint64(waiting))...)
		return append(orders, p.order("poll_oneoff", 1024, 8192, files+1, 16384)...)
	}
	return &row{
		number: 47, name: "guests: 64 streams, windows never read, polls, heads and trailers that lie",
		setup: func(b *bout) {
			var err error
			tight := net.ListenConfig{Control: narrow} // or the system takes all that a guest writes
			if silent, err = tight.Listen(b.ctx, "tcp", "127.0.0.1:0"); err != nil {
				b.Errorf("%v", err)
				return
			}
			l := silent
			context.AfterFunc(b.ctx, func() { _ = l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					context.AfterFunc(b.ctx, func() { _ = c.Close() })
				}
			}()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			b.granted(wasm, "tcp://127.0.0.0/8:"+port)
		},
		moves: []move{
			{"64 streams and two more, whose peers read nothing", func(b *bout) {
				orders := opens(files + 2)
				first := count(orders) - files - 2
				for fd := uint64(4); fd < 20; fd++ {
					orders = append(orders, p.order("fd_fdstat_set_flags", fd, nonblock)...)
				}
				orders = append(orders, p.order("poke", 2048, 60_000<<32)...) // one vector, from 0
				writes := count(orders)
				for range 8 {
					for fd := uint64(4); fd < 20; fd++ {
						orders = append(orders, p.order("fd_write", fd, 2048, 1, 2056)...)
					}
				}
				got, _ := b.asked(orders)
				for i, fd := range got[first : first+files+2] {
					if want := int64(4 + i); i < files && fd != want || i >= files && fd != abi.ErrLimit {
						b.Errorf("stream %d has the number %d", i, fd)
					}
				}
				full := 0
				for _, errno := range got[writes:] {
					switch errno {
					case again:
						full++
					case 0:
					default:
						b.Errorf("a write that does not wait: %d", errno)
					}
				}
				if full == 0 {
					b.Errorf("16 windows took %d writes of 60,000 bytes", len(got)-writes)
				}
			}},
			{"waiting on 64 descriptors, then with one direction closed", func(b *bout) {
				orders := opens(files)
				orders = append(orders, polls(1)...)
				first := count(orders) - 1
				for fd := uint64(4); fd < 4+files; fd++ {
					orders = append(orders, p.order("sock_shutdown", fd, 2)...)
				}
				orders = append(orders, p.order("poll_oneoff", 1024, 8192, files+1, 16384)...)
				for fd := uint64(4); fd < 4+files; fd++ {
					orders = append(orders, p.order("fd_close", fd)...)
				}
				began := time.Now()
				got, _ := b.asked(orders)
				if got[first] != 0 || got[len(got)-files-1] != 0 {
					b.Errorf("polls: %d and %d", got[first], got[len(got)-files-1])
				}
				for i, errno := range got[len(got)-files:] {
					if errno != 0 {
						b.Errorf("closing %d: %d", i, errno)
					}
				}
				b.bounded("waiting", time.Since(began), time.Second)
			}},
			{"polls with hundreds of subscriptions", func(b *bout) {
				one := p.order("poll_oneoff", 0, subs*subSize, subs, puppetMemory-4096)
				got, _ := b.asked(bytes.Repeat(one, 200))
				for _, errno := range got {
					if errno != 0 {
						b.Errorf("got %d", errno)
					}
				}
			}},
			{"heads that lie", func(b *bout) {
				for _, head := range [][]byte{
					headOf("x", "1\r\nSet-Cookie: a=b"), headOf("x\r\ny", "1"), headOf("x", "a\x00"), headOf(abi.HeadStatus, "2000"), headOf(abi.HeadStatus, "99"), headOf(abi.HeadStatus, "-1"),
					headOf(abi.HeadStatus, "200", abi.HeadStatus, "500"), headOf(":path", "/"), headOf("", "x"), headOf("x", "y")[:5], {0xff, 0xff, 0xff, 0x7f}, {0xff, 0xff, 0xff, 0xff, 'x'},
				} {
					got, a := b.asked(p.carrying(abi.ImportHeadWrite, head))
					if last := got[len(got)-1]; last != abi.ErrInvalid || a != nil && (a.status != 200 || a.header.Get("Set-Cookie") != "") {
						b.Errorf("%q: %d, %v", head, last, a)
					}
				}
				// Those that can be sent do not say how the answer is framed.
				for _, fields := range [][]string{
					{"content-length", "1"}, {"content-length", "100000"}, {"transfer-encoding", "chunked"}, {"content-length", "3", "content-length", "4"},
					{"upgrade", "h2c", "connection", "upgrade"}, {"Ruedo-Call-Id", "mine"},
				} {
					head := headOf(fields...)
					got, a := b.asked(p.carrying(abi.ImportHeadWrite, head))
					if last := got[len(got)-1]; last != int64(len(head)) || a != nil && (a.status != 200 || a.header.Get("Ruedo-Call-Id") == "mine") {
						b.Errorf("%q: %d, %v", fields, last, a)
					}
				}
			}},
			{"trailers that are not", func(b *bout) {
				for _, trailers := range [][]byte{headOf("content-length", "5"), headOf("Transfer-Encoding", "chunked"), headOf("Set-Cookie", "a=b"), headOf("a", "b\r\nc: d"), headOf("", "b"), {1}} {
					got, a := b.asked(p.carrying(abi.ImportTrailersWrite, trailers))
					if last := got[len(got)-1]; last != abi.ErrInvalid || a != nil && a.status != 200 {
						b.Errorf("%q: %d", trailers, last)
					}
				}
			}},
		},
		peakCore: 64 << 20, peakRunner: 96 << 20,
	}
}

// callerStreamRow is row 48.
func callerStreamRow() *row {
	const (
		slow     = 100 // callers that dribble
		unread   = 24  // answers that nobody reads, on connections of their own
		dribbles = 25
	)
	open := func(b *bout, service, request string) net.Conn {
		c, err := b.dial()
		if err == nil {
			_, err = fmt.Fprintf(c, request, b.service(service), b.address())
		}
		if err != nil {
			b.Errorf("dial: %v", err)
			return nil
		}
		return c
	}
	// over waits until the runners have ended the calls. The victim has some.
	over := func(b *bout) {
		var active uint32
		if !testkit.Poll(backWithin, func() bool {
			list, err := b.client.Cluster.ListRunners(b.ctx, &ruedov1.ListRunnersRequest{})
			active = 0
			for _, r := range list.GetItems() {
				active += r.GetActiveCalls()
			}
			return err == nil && active <= 2*runnerCount
		}) {
			b.Errorf("%d calls go on after %s although their callers have left", active, backWithin)
		}
	}
	echoes := func(b *bout) {
		a, err := b.answer(http.MethodPost, "/svc/"+b.service("echo")+"/", nil, strings.NewReader("hello"))
		if err != nil || a.status != http.StatusOK || string(a.body) != "hello" {
			b.Errorf("a call beside them: %v, %v", a, err)
		}
	}
	return &row{
		number: 48, name: "callers of streams: slow ones, ones that do not read, and every way to leave", once: true,
		atOnce: 4 * runnerCount, // what the runners execute at the same time
		setup: func(b *bout) {
			l := &ruedov1.Limits{Timeout: durationpb.New(time.Minute), CpuTime: durationpb.New(10 * time.Second)}
			for name, wasm := range map[string][]byte{"echo": echoHTTP(), "endless": endless()} {
				if err := b.publish(b.ctx, b.service(name), b.unique(wasm), l); err != nil {
					b.Errorf("publish: %v", err)
				}
			}
		},
		// The same number of callers that do read, as much as the way there holds.
		control: func(b *bout) {
			for range unread {
				if c := open(b, "endless", "GET /svc/%s/ HTTP/1.1\r\nHost: %s\r\n\r\n"); c != nil {
					_ = c.SetReadDeadline(time.Now().Add(reachTime))
					if _, err := io.CopyN(io.Discard, c, 8<<20); err != nil {
						b.Errorf("a caller that reads: %v", err)
					}
					_ = c.Close()
				}
				time.Sleep(pace)
			}
		},
		moves: []move{
			{"slow bodies, left in every way", func(b *bout) {
				var conns []net.Conn
				for range slow {
					if c := open(b, "echo", "POST /svc/%s/ HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n"); c != nil {
						defer c.Close()
						conns = append(conns, c)
					}
					time.Sleep(pace / 10)
				}
				for range dribbles {
					for _, c := range conns {
						_, _ = io.WriteString(c, "1\r\nx\r\n")
					}
					time.Sleep(pace)
				}
				echoes(b)
				leave := []func(c *net.TCPConn){
					func(c *net.TCPConn) { _ = c.Close() },
					func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
					func(c *net.TCPConn) { _ = c.CloseWrite() },
					func(c *net.TCPConn) { _, _ = io.WriteString(c, "zz\r\n") },
					func(c *net.TCPConn) { _, _ = io.WriteString(c, "fffffffffffffffff\r\n") },
				}
				for i, c := range conns {
					buf := make([]byte, 256)
					_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
					if n, err := c.Read(buf); i == 0 && (err != nil || !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200"))) {
						b.Errorf("it was not served: %q, %v", buf[:n], err)
					}
					leave[i%len(leave)](c.(*net.TCPConn))
				}
				over(b)
			}},
			{"answers that nobody reads", func(b *bout) {
				var conns []net.Conn
				for range unread {
					if c := open(b, "endless", "GET /svc/%s/ HTTP/1.1\r\nHost: %s\r\n\r\n"); c != nil {
						defer c.Close()
						conns = append(conns, c)
					}
					time.Sleep(pace) // as those that do read
				}
				echoes(b)
				echoes(b)
				for _, c := range conns {
					_ = c.Close()
				}
				over(b)
			}},
			{"streams of a connection whose windows are shut, and resets", func(b *bout) {
				f, err := b.frames(stalled)
				if err != nil {
					b.Errorf("dial: %v", err)
					return
				}
				defer f.close()
				var ids []uint32
				for i := range 100 {
					service := []string{"echo", "endless"}[i%2]
					id, err := f.request(i%2 == 1, http.MethodPost, "/svc/"+b.service(service)+"/")
					if err != nil {
						b.Errorf("%v", err)
						return
					}
					if ids = append(ids, id); i%2 == 0 {
						_ = f.data(id, false, make([]byte, 200))
					}
				}
				echoes(b)
				time.Sleep(span / 2)
				for i, id := range ids {
					if i%4 == 0 {
						continue // they end with their connection
					}
					_ = f.say(func(fr *http2.Framer) error {
						return fr.WriteRSTStream(id, []http2.ErrCode{http2.ErrCodeCancel, http2.ErrCodeInternal, http2.ErrCodeNo}[i%3])
					})
				}
				f.close()
				over(b)
				echoes(b)
			}},
		},
		peakCore: 160 << 20, peakRunner: 160 << 20,
		files: 64 * runnerCount, // connections for streams, which runners keep for a while
	}
}
