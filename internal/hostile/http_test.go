//go:build hostile

package hostile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2"

	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

const (
	// headerWithin is how soon the core must hang up on a header that does not
	// arrive.
	headerWithin = 10 * time.Second
	// floodWithin is how soon it must hang up on a flood of frames, or read all of
	// it.
	floodWithin = 20 * time.Second
)

// exchange sends bytes on a connection of its own and reads the response until
// the core hangs up, is silent for idle, or the response contains end.
func (b *bout) exchange(send []byte, idle time.Duration, end string) (answer []byte, closed bool) {
	conn, err := b.dial()
	if err != nil {
		b.Errorf("dial: %v", err)
		return nil, false
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(floodWithin))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = conn.Write(send) // the core can hang up meanwhile
	}()
	defer func() { _ = conn.Close(); <-sent }()
	part := make([]byte, 16<<10)
	for len(answer) < 4<<20 {
		_ = conn.SetReadDeadline(time.Now().Add(idle))
		n, err := conn.Read(part)
		answer = append(answer, part[:n]...)
		if err != nil {
			return answer, !errors.Is(err, os.ErrDeadlineExceeded)
		}
		if end != "" && bytes.Contains(answer, []byte(end)) {
			break
		}
	}
	return answer, false
}

// statuses returns the status codes in a stream of HTTP/1.1 responses.
func statuses(answer []byte) []int {
	var list []int
	for r := bufio.NewReader(bytes.NewReader(answer)); ; {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return list
		}
		list = append(list, res.StatusCode)
		if res.StatusCode == http.StatusContinue {
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}

// first returns the status code of the first response, or 0.
func first(answer []byte) int {
	if list := statuses(answer); len(list) > 0 {
		return list[0]
	}
	return 0
}

// httpRow is row 39, for one connection at a time.
func httpRow() *row {
	call := "/call/" + victimName
	// post makes a request with a header chosen by the test.
	post := func(b *bout, path, header, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\n%s\r\n%s", path, b.address(), header, body)
	}
	return &row{
		number: 39, name: "HTTP: slow headers, smuggling, pipelines, chunks", once: true,
		// The victim makes 9,000 calls meanwhile: the heap grows to several times what
		// is live before it is collected (GOGC=400), with an attack or without.
		kept: 64 << 20,
		moves: []move{
			{"slow headers", func(b *bout) {
				var conns []net.Conn
				began := time.Now()
				for range 300 {
					c, err := b.dial()
					if err != nil {
						b.Errorf("dial: %v", err)
						break
					}
					defer c.Close()
					conns = append(conns, c)
					_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\n", call, b.address())
				}
				for n := 0; time.Since(began) < headerWithin && b.established(conns) > 0; n++ {
					for _, c := range conns {
						_, _ = fmt.Fprintf(c, "X-%d: 1\r\n", n)
					}
					time.Sleep(500 * time.Millisecond)
				}
				if open := b.established(conns); open > 0 {
					b.Errorf("%d connections with an endless header are open after %s", open, headerWithin)
				}
			}},
			{"a header of 1 MB", func(b *bout) {
				answer, _ := b.exchange([]byte(post(b, call, "X: "+strings.Repeat("x", 1<<20)+"\r\n", "")), headerWithin, "\r\n\r\n")
				if s := first(answer); s != http.StatusRequestHeaderFieldsTooLarge && len(answer) > 0 {
					b.Errorf("got %.200q", answer)
				}
			}},
			{"two lengths, one of them chunked", func(b *bout) {
				// By its length the first request ends after the G, and another service is
				// called; by its chunks it ends earlier, and GPOST is not a method. A proxy
				// in front of the core can see it either way: only the latter reading, or a
				// refusal, is safe with every proxy.
				second := post(b, "/call/smuggled", "Content-Length: 0\r\n", "")
				for _, header := range []string{
					"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
					"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
					"Content-Length: 6\r\nTransfer-Encoding: \x0bchunked\r\n",
					"Content-Length: 6\r\nTransfer-Encoding : chunked\r\n",
					"Transfer-Encoding: chunked, identity\r\n",
					"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
					"Content-Length: 6\r\nContent-Length: 5\r\n",
					"Content-Length: +6\r\n", "Content-Length: 0x6\r\n", "Content-Length: -1\r\n",
				} {
					answer, _ := b.exchange([]byte(post(b, call, header, "0\r\n\r\nG"+second)), 2*time.Second, "")
					list := statuses(answer)
					if bytes.Contains(answer, []byte(fault.ServiceNotFound)) || len(list) == 0 || len(list) > 2 || list[0] < 400 && list[len(list)-1] < 400 {
						b.Errorf("%q: a second request was seen: %v %.300q", header, list, answer)
					}
				}
			}},
			{"1,000 concurrent requests on a connection", func(b *bout) {
				one := post(b, call, "Content-Length: 1\r\n", "1")
				answer, _ := b.exchange([]byte(strings.Repeat(one, 999)+post(b, call, "Content-Length: 3\r\nConnection: close\r\n", "end")), floodWithin, "")
				if n := len(statuses(answer)); n != 1000 {
					b.Errorf("%d of 1000 were answered", n)
				}
			}},
			{"chunks with huge extensions", func(b *bout) {
				chunk := "1;" + strings.Repeat("x", 3000) + "\r\nx\r\n"
				answer, _ := b.exchange([]byte(post(b, call, "Transfer-Encoding: chunked\r\n", strings.Repeat(chunk, 2000)+"0\r\n\r\n")), floodWithin, "\r\n\r\n")
				if s := first(answer); s < 400 {
					b.Errorf("got %.200q", answer)
				}
				answer, _ = b.exchange([]byte(post(b, call, "Transfer-Encoding: chunked\r\n", "1;"+strings.Repeat("x", 1<<20)+"\r\nx\r\n0\r\n\r\n")), floodWithin, "\r\n\r\n")
				if s := first(answer); s < 400 {
					b.Errorf("got %.200q", answer)
				}
			}},
			{"Expect: 100-continue, then silence", func(b *bout) {
				for _, path := range []string{call, ruedov1connect.InvokeServiceInvokeProcedure} {
					answer, closed := b.exchange([]byte(post(b, path, "Content-Type: application/proto\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n", "")), slowWithin, "")
					if !closed {
						b.Errorf("%s: the connection is open after %s: %.200q", path, slowWithin, answer)
					}
				}
			}},
			{"names, methods and versions that are none", func(b *bout) {
				for _, request := range []string{
					"POST /call/victim HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET\r\n\r\n", "\r\n\r\n\r\n",
					"POST call/victim HTTP/1.1\r\nHost: x\r\n\r\n", "POST /call/\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
					"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://169.254.169.254/ HTTP/1.1\r\nHost: x\r\n\r\n",
					"POST /call/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: x\r\nSecret: 1\r\n\r\n",
				} {
					answer, _ := b.exchange([]byte(request), headerWithin, "\r\n\r\n")
					if s := first(answer); s != 0 && s < 300 {
						b.Errorf("%q: got %.200q", request, answer)
					}
				}
			}},
		},
		peakCore: 64 << 20,
	}
}

// framesRow is row 39, for frames of HTTP/2.
func framesRow() *row {
	call := "/call/" + victimName
	// flood sends frames until the core hangs up, or n times.
	flood := func(name string, n int, mustClose bool, send func(f *frames, i int) error) move {
		return move{name, func(b *bout) {
			f, err := b.frames()
			if err != nil {
				b.Errorf("dial: %v", err)
				return
			}
			defer f.close()
			began, used, sent := time.Now(), b.core.cpu(), 0
			for ; sent < n && !f.isClosed() && time.Since(began) < floodWithin; sent++ {
				if err := send(f, sent); err != nil {
					break
				}
				if sent%200 == 199 {
					// The attacker shares the processors: what it uses itself is not the
					// core's fault.
					time.Sleep(time.Millisecond)
				}
			}
			if mustClose && !testkit.Poll(5*time.Second, f.isClosed) {
				b.Errorf("the connection is open after %d frames: %s", sent, f.went())
			}
			b.note("%d frames in %s, %s of the core's CPU; closed: %v; %s", sent, time.Since(began).Round(time.Millisecond), b.core.cpu()-used, f.isClosed(), tail(f.went(), 200))
		}}
	}
	return &row{
		number: 39, name: "HTTP/2: rapid reset, floods of frames, header bombs", once: true, atOnce: 4,
		moves: []move{
			flood("100,000 rapid resets", 100_000, true, func(f *frames, _ int) error {
				id, err := f.request(true, http.MethodPost, call)
				if err != nil {
					return err
				}
				return f.say(func(fr *http2.Framer) error { return fr.WriteRSTStream(id, http2.ErrCodeCancel) })
			}),
			flood("100,000 resets of requests with a body", 100_000, true, func(f *frames, _ int) error {
				id, err := f.request(false, http.MethodPost, ruedov1connect.InvokeServiceInvokeProcedure, "content-type", "application/proto")
				if err != nil {
					return err
				}
				return f.say(func(fr *http2.Framer) error { return fr.WriteRSTStream(id, http2.ErrCodeCancel) })
			}),
			flood("a header that goes on for ever", 100_000, true, func(f *frames, i int) error {
				return f.say(func(fr *http2.Framer) error {
					if i == 0 {
						return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.headers(http.MethodPost, call)})
					}
					// HPACK fields that are not indexed: "x: 1".
					return fr.WriteContinuation(1, false, bytes.Repeat([]byte{0, 1, 'x', 1, '1'}, 3000))
				})
			}),
			flood("empty continuations", 100_000, false, func(f *frames, i int) error {
				return f.say(func(fr *http2.Framer) error {
					if i == 0 {
						return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.headers(http.MethodPost, call)})
					}
					return fr.WriteContinuation(1, false, nil)
				})
			}),
			flood("settings", 100_000, false, func(f *frames, _ int) error {
				return f.say(func(fr *http2.Framer) error {
					return fr.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096})
				})
			}),
			flood("pings", 100_000, false, func(f *frames, _ int) error {
				return f.say(func(fr *http2.Framer) error { return fr.WritePing(false, [8]byte{}) })
			}),
			flood("empty data", 100_000, false, func(f *frames, i int) error {
				if i == 0 {
					_, err := f.request(false, http.MethodPost, call)
					return err
				}
				return f.data(1, false, nil)
			}),
			flood("priorities", 100_000, false, func(f *frames, i int) error {
				return f.say(func(fr *http2.Framer) error {
					return fr.WritePriority(uint32(2*i+1), http2.PriorityParam{StreamDep: uint32(2*i + 3)})
				})
			}),
			flood("frames of no known type", 100_000, false, func(f *frames, _ int) error {
				return f.say(func(fr *http2.Framer) error { return fr.WriteRawFrame(0xfe, 0xff, 0, make([]byte, 16<<10)) })
			}),
			// A value of 4 KB that is stored in the table, then one byte for each copy
			// of it: 16 MB for each request of 4 KB.
			flood("a bomb of HPACK", 200, false, func(f *frames, _ int) error {
				return f.say(func(fr *http2.Framer) error {
					block := bytes.Clone(f.headers(http.MethodPost, call, "x", strings.Repeat("x", 3900)))
					block = append(block, bytes.Repeat([]byte{0x80 | 62}, 4096)...)
					id := f.next
					f.next += 2
					return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true})
				})
			}),
			{"a body longer than it said", func(b *bout) { b.longer(call) }},
		},
		peakCore: 96 << 20,
	}
}

// longer sends bodies over HTTP/2 whose size differs from their declared
// length.
func (b *bout) longer(path string) {
	f, err := b.frames()
	if err != nil {
		b.Errorf("dial: %v", err)
		return
	}
	defer f.close()
	for _, length := range []string{"1", "100", "-1", "x", "99999999999999999999"} {
		id, err := f.request(false, http.MethodPost, path, "content-length", length)
		if err == nil {
			_ = f.data(id, true, []byte(`{"call":1}`))
		}
	}
	if !testkit.Poll(headerWithin, func() bool { return f.left() == 0 }) {
		b.Errorf("%d of 5 streams are open: %s", f.left(), f.went())
	}
	f.note(func() {
		for id, status := range f.status {
			if status < 400 {
				b.Errorf("stream %d was taken with %d", id, status)
			}
		}
	})
}

// idleRow is row 39, for connections that do nothing.
func idleRow() *row {
	const (
		many = 9_000 // of the 20,000 descriptors that this process may have
		// rate is how many are opened a second. The row is about connections that do
		// nothing; how fast they are opened would measure this process as well.
		rate = 2_000
	)
	return &row{
		number: 39, name: "HTTP: 9,000 idle connections", once: true, atOnce: 4,
		moves: []move{{"idle", func(b *bout) {
			var conns []net.Conn
			defer func() {
				for _, c := range conns {
					_ = c.Close()
				}
			}()
			served, refused := 0, 0
			began := time.Now()
			for i := range many {
				time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / rate)))
				c, err := b.dial()
				if err != nil {
					refused++
					continue
				}
				conns = append(conns, c)
				if i%3 == 0 {
					continue // it sends nothing at all
				}
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				_, _ = fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", b.address())
				if n, _ := c.Read(make([]byte, 1024)); n > 0 {
					served++
				}
			}
			b.note("%d connections, %d refused, %d had an answer, %d are open", len(conns), refused, served, b.established(conns))
			b.reachable(10, 2*time.Second)
		}}},
		peakCore: 256 << 20,
		// Stacks and buffers of connections, until the next garbage collection.
		kept: 128 << 20,
	}
}

// reachable makes calls on n new connections, one after the other; each must be
// answered in time.
func (b *bout) reachable(n int, within time.Duration) {
	for range n {
		began := time.Now()
		p := newPeer(b.url, false)
		p.http.Timeout = 10 * time.Second
		problem := callOnce(p.http, b.url+"/call/"+victimName, b.caller, `{"new":true}`)
		p.close()
		if problem != "" {
			b.Errorf("a call on a new connection: %s", problem)
		}
		b.bounded("a call on a new connection", time.Since(began), within)
	}
}
