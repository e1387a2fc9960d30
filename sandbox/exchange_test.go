package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// recorder keeps an answer that streamed.
type recorder struct {
	head, body []byte
	err        error // that ended the body
	times      int
	each       func([]byte) // called for what was read, if set
}

func (r *recorder) Stream(head []byte, body io.Reader) {
	r.times++
	r.head = head
	buf := make([]byte, 5000)
	for {
		n, err := body.Read(buf)
		r.body = append(r.body, buf[:n]...)
		if n > 0 && r.each != nil {
			r.each(buf[:n])
		}
		if err != nil {
			r.err = err
			return
		}
	}
}

// openFunc is an opener.
type openFunc func(ctx context.Context, o *stream.Outbound, p *stream.Peer) error

func (f openFunc) Open(ctx context.Context, o *stream.Outbound, p *stream.Peer) error {
	return f(ctx, o, p)
}

// echoes answers with what a guest sends, in upper case, when it has ended.
var echoes = openFunc(func(_ context.Context, o *stream.Outbound, p *stream.Peer) error {
	p.Head(abi.AppendField(nil, abi.HeadRemote, o.URL.Host))
	b, err := io.ReadAll(p)
	if err != nil {
		return err
	}
	_, err = p.Write(bytes.ToUpper(b))
	return err
})

// silent waits until the guest or its call is gone.
var silent = openFunc(func(ctx context.Context, _ *stream.Outbound, p *stream.Peer) error {
	p.Head(abi.AppendField(nil, abi.HeadRemote, "silent"))
	<-ctx.Done()
	return ctx.Err()
})

func loadHTTP(t testing.TB, limits sandbox.Limits) *sandbox.Template {
	t.Helper()
	return load(t, sandbox.Spec{Wasm: guest(t, "http"), Limits: limits})
}

func headOf(pairs ...string) []byte {
	var b []byte
	for n := 0; n < len(pairs); n += 2 {
		b = abi.AppendField(b, pairs[n], pairs[n+1])
	}
	return b
}

func get(path string) sandbox.Request {
	return sandbox.Request{Head: headOf(abi.HeadMethod, "GET", abi.HeadPath, path)}
}

// parts reads like a body that arrives in pieces.
func parts(b []byte) io.Reader { return stream.Slow(b) }

func TestHTTPKind(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	if k := tpl.Report().Kind; k != sandbox.HTTP {
		t.Fatalf("the kind is %s", k)
	}
	for range 3 {
		req := get("/whole")
		req.Input, req.Responder = []byte("input"), &recorder{}
		res, err := tpl.Call(t.Context(), req)
		if err != nil {
			t.Fatalf("%v\n%s", err, res.Logs)
		}
		if want := headOf(abi.HeadStatus, "201", "X-Calls", "1"); string(res.Output) != "5 input" || !bytes.Equal(res.Head, want) || res.Streamed {
			t.Errorf("got %q with %q, streamed %t", res.Output, res.Head, res.Streamed)
		}
	}
	// A body that streams has no size, and no answer that streams is needed for it.
	req := get("/whole")
	req.Body = strings.NewReader("input")
	if res, err := tpl.Call(t.Context(), req); err != nil || string(res.Output) != "-1 " && string(res.Output) != "-1 input" {
		t.Errorf("got %q, %v", res.Output, err)
	}
}

func TestFullDuplex(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	body := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB, many windows
	for _, path := range []string{"/echo", "/blocking"} {
		for _, streams := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s streams %t", path[1:], streams), func(t *testing.T) {
				r := &recorder{}
				req := get(path)
				req.Responder = r
				if req.Input = body; streams {
					req.Input, req.Body = nil, parts(body)
					req.Trailers = func() []byte { return headOf("grpc-status", "0") }
				}
				res, err := tpl.Call(t.Context(), req)
				if err != nil {
					t.Fatalf("%v\n%s", err, res.Logs)
				}
				if !res.Streamed || r.times != 1 || r.err != io.EOF || !bytes.Equal(r.body, body) || res.Output != nil {
					t.Errorf("streamed %t, %d times: %d bytes, %v; %d bytes of output", res.Streamed, r.times, len(r.body), r.err, len(res.Output))
				}
				if path == "/echo" {
					if want := headOf(abi.HeadStatus, "200", "content-type", "text/plain"); !bytes.Equal(r.head, want) || res.ContentType != "text/plain" {
						t.Errorf("the head is %q", r.head)
					}
					if streams && !bytes.Equal(res.Trailers, headOf("grpc-status", "0")) {
						t.Errorf("the trailers are %q", res.Trailers)
					}
				}
			})
		}
	}
}

// TestMessagesGoBackAndForth sends each message after the answer to the last one.
func TestMessagesGoBackAndForth(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	for _, path := range []string{"/echo", "/blocking"} {
		body, send := io.Pipe()
		sent := 0
		next := func([]byte) {
			if sent++; sent == 100 {
				send.Close()
				return
			}
			go func() { _, _ = fmt.Fprintf(send, "message %d\n", sent) }()
		}
		go func() { _, _ = io.WriteString(send, "message 0\n") }()
		r := &recorder{each: next}
		req := get(path)
		req.Body, req.Responder = body, r
		if res, err := tpl.Call(t.Context(), req); err != nil || sent != 100 {
			t.Errorf("%s: %d messages, %v\n%s", path, sent, err, res.Logs)
		}
	}
}

func TestReadingTickingAndAnsweringAtOnce(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	body, send := io.Pipe()
	r := &recorder{}
	answer := sync.OnceFunc(func() {
		_, _ = send.Write(make([]byte, 10_000))
		send.Close()
	})
	r.each = func([]byte) {
		if bytes.Count(r.body, []byte("tick")) >= 3 { // one read can have several
			go answer()
		}
	}
	req := get("/ticks")
	req.Body, req.Responder = body, r
	if res, err := tpl.Call(t.Context(), req); err != nil || !strings.HasSuffix(string(r.body), "read 10000 after true\n") {
		t.Errorf("got %q, %v\n%s", r.body, err, res.Logs)
	}
}

// TestWhatACallLeavesIsGone ends calls that have goroutines, timers and streams in
// every way; the next call is as the first one, and nothing of the host is left.
func TestWhatACallLeavesIsGone(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{CPU: 200 * time.Millisecond})
	for _, tt := range []struct {
		how    string
		reason fault.Reason
	}{{"", ""}, {"loop", fault.GuestCPU}, {"wait", fault.GuestTimeout}, {"exit", fault.GuestExit}, {"panic", fault.GuestTrap}, {"", ""}} {
		t.Run("how "+tt.how, func(t *testing.T) {
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if tt.how == "wait" {
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			}
			defer cancel()
			body, send := io.Pipe()
			defer send.Close()
			req := get("/leave/" + tt.how)
			req.Opener, req.Body = silent, body
			res, err := tpl.Call(ctx, req)
			if tt.reason == "" {
				if err != nil || string(res.Output) != "calls 1" {
					t.Errorf("got %q, %v\n%s", res.Output, err, res.Logs)
				}
			} else {
				refused(t, err, tt.reason)
			}
			if res, err := tpl.Call(t.Context(), get("/whole")); err != nil || !bytes.Contains(res.Head, []byte("X-Calls\x01\x00\x00\x001")) {
				t.Errorf("the next call: %q, %v", res.Head, err)
			}
		})
	}
	if n := tpl.Idle(); n == 0 {
		t.Error("no instance is used again")
	}
}

func TestOutboundStreams(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	blocked := openFunc(func(context.Context, *stream.Outbound, *stream.Peer) error {
		return &fault.Error{Reason: stream.ReasonBlocked, Message: "no rule"}
	})
	gone := openFunc(func(context.Context, *stream.Outbound, *stream.Peer) error {
		return fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	})
	broken := openFunc(func(context.Context, *stream.Outbound, *stream.Peer) error { panic("a bug") })
	for _, tt := range []struct {
		name, url string
		opener    sandbox.Opener
		want      string
	}{
		{"an echo", "tcp://host:7", echoes, "HELLO"},
		{"datagrams", "udp://host:7", openFunc(func(_ context.Context, _ *stream.Outbound, p *stream.Peer) error {
			p.Head(headOf(abi.HeadRemote, "x"))
			b := make([]byte, 100)
			n, err := p.Read(b)
			if err != nil {
				return err
			}
			_, err = p.Write(b[:n])
			return err
		}), "hello"},
		{"no network", "tcp://host:7", nil, "EGRESS_BLOCKED: the service has no grant for the network; read tcp://host:7: Permission denied"},
		{"refused by a rule", "https://host/", blocked, "EGRESS_BLOCKED: no rule; read https://host/: Permission denied"},
		{"refused by the other side", "tcp://host:7", gone, "EGRESS_FAILED: dial: " + syscall.ECONNREFUSED.Error() + "; read tcp://host:7: Connection refused"},
		{"a bug of the host", "tcp://host:7", broken, "EGRESS_FAILED: internal error in the host; read tcp://host:7: I/O error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := get("/dial/" + tt.url)
			req.Input, req.Opener = []byte("hello"), tt.opener
			if res, err := tpl.Call(t.Context(), req); err != nil || string(res.Output) != tt.want {
				t.Errorf("got %q, want %q; %v\n%s", res.Output, tt.want, err, res.Logs)
			}
		})
	}
	req := get("/dial/ftp://host")
	if _, err := tpl.Call(t.Context(), req); err == nil {
		t.Error("ftp is opened")
	}
}

func TestStreamsAreCounted(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	req := get("/many")
	req.Opener = silent
	want := fmt.Sprintf("%d streams, then %d; the body %d; again 0", stream.MaxFiles, abi.ErrLimit, abi.ErrLimit)
	res, err := tpl.Call(t.Context(), req)
	// The closed one makes room once the host has seen that it is closed.
	if got := strings.TrimSuffix(string(res.Output), "1") + "0"; err != nil || string(res.Output) != want && got != want {
		t.Errorf("got %q, want %q; %v\n%s", res.Output, want, err, res.Logs)
	}
}

func TestHeadsThatLie(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	for _, tt := range []struct {
		name, path string
		input      []byte
		want       string
	}{
		{"a head", "/heads", headOf(":status", "204"), "18 -3"},
		{"an informational head", "/heads", headOf(":status", "103", "link", "x"), "31 31"},
		{"informational heads that are too large together", "/heads", headOf(":status", "103", "link", strings.Repeat("x", 40<<10)), "40990 -2"},
		{"CRLF in a value", "/heads", headOf("a", "b\r\nc: d"), "-4 -4"},
		{"a status that is not", "/heads", headOf(":status", "1000"), "-4 -4"},
		{"a length that lies", "/heads", []byte{255, 255, 255, 255, 'a'}, "-4 -4"},
		{"too large", "/heads", headOf("a", strings.Repeat("b", 64<<10)), "-2 -2"},
		{"trailers", "/trailers", headOf("Grpc-Status", "0"), "14 20"},
		{"trailers that frame", "/trailers", headOf("Content-Length", "5"), "14 -4"},
		{"trailers with a line", "/trailers", headOf("a", "b\nc"), "14 -4"},
	} {
		req := get(tt.path)
		req.Input = tt.input
		res, err := tpl.Call(t.Context(), req)
		if err != nil || string(res.Output) != tt.want {
			t.Errorf("%s: got %q, want %q; %v", tt.name, res.Output, tt.want, err)
		}
		if want := headOf("first", "1"); strings.HasSuffix(tt.want, "14 -4") && !bytes.Equal(res.Trailers, want) {
			t.Errorf("%s: the trailers are %q", tt.name, res.Trailers)
		}
	}
}

// TestFlush: an answer that ends soon after it was flushed needs no stream.
func TestFlush(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	for how, streamed := range map[string]bool{"": false, "compute": true, "wait": true} {
		r := &recorder{}
		req := get("/flush/" + how)
		req.Responder = r
		res, err := tpl.Call(t.Context(), req)
		if got := string(res.Output) + string(r.body); err != nil || res.Streamed != streamed || got != "first last" {
			t.Errorf("%q: streamed %t, %q, %v", how, res.Streamed, got, err)
		}
	}
}

// TestFlushBeforeTheEndOfASlice: where a slice ends is chance, so it does not make an
// answer stream that ends soon after it was flushed.
func TestFlushBeforeTheEndOfASlice(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	for n := range 60 {
		r := &recorder{}
		req := get(fmt.Sprint("/flush/after/", n))
		req.Responder = r
		res, err := tpl.Call(t.Context(), req)
		if err != nil || res.Streamed || string(res.Output) != "first last" {
			t.Errorf("after %d parts of a slice and %d units of fuel: streamed %t, %q, %v", n, res.Fuel, res.Streamed, res.Output, err)
		}
	}
}

func TestPollWithThousandsOfSubscriptions(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	req := get("/spin")
	req.Body = parts([]byte("some bytes"))
	if res, err := tpl.Call(t.Context(), req); err != nil || string(res.Output) != "4096 events, error 0" {
		t.Errorf("got %q, %v\n%s", res.Output, err, res.Logs)
	}
}

func TestAnswerThatBreaksOff(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	r := &recorder{}
	req := get("/fail")
	req.Responder = r
	res, err := tpl.Call(t.Context(), req)
	refused(t, err, fault.GuestError)
	if !res.Streamed || !errors.Is(r.err, stream.ErrAborted) || len(r.body) != 40<<10 {
		t.Errorf("streamed %t: %d bytes, then %v", res.Streamed, len(r.body), r.err)
	}
}

func TestLimitsOfBodies(t *testing.T) {
	body := make([]byte, 300_000)
	for _, path := range []string{"/echo", "/blocking"} {
		t.Run("input of "+path[1:], func(t *testing.T) {
			tpl := loadHTTP(t, sandbox.Limits{Input: 200_000})
			r := &recorder{}
			req := get(path)
			req.Body, req.Responder = parts(body), r
			_, err := tpl.Call(t.Context(), req)
			e := refused(t, err, fault.InputTooLarge)
			if !errors.Is(r.err, stream.ErrAborted) || len(r.body) > 200_000 {
				t.Errorf("%v: %d bytes, then %v", e, len(r.body), r.err)
			}
		})
		t.Run("output of "+path[1:], func(t *testing.T) {
			tpl := loadHTTP(t, sandbox.Limits{Output: 200_000})
			r := &recorder{}
			req := get(path)
			req.Body, req.Responder = parts(body), r
			_, err := tpl.Call(t.Context(), req)
			refused(t, err, fault.GuestOutputLimit)
			if !errors.Is(r.err, stream.ErrAborted) || len(r.body) > 200_000 {
				t.Errorf("%d bytes, then %v", len(r.body), r.err)
			}
		})
	}
}

func TestIdle(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{Idle: 50 * time.Millisecond})
	body, send := io.Pipe()
	defer send.Close()
	req := get("/idle")
	req.Body = body
	_, err := tpl.Call(t.Context(), req)
	refused(t, err, fault.GuestIdle)
}

// lazy reads a byte of an answer, and then nothing until it is told.
type lazy struct{ read, rest chan struct{} }

func (l lazy) Stream(_ []byte, body io.Reader) {
	_, _ = body.Read(make([]byte, 1))
	close(l.read)
	<-l.rest
	_, _ = io.Copy(io.Discard, body)
}

// TestWindowNeverRead: a guest whose answer nobody reads waits, until its caller
// leaves or reads on.
func TestWindowNeverRead(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	body := make([]byte, 500_000)
	for _, leaves := range []bool{true, false} {
		for _, path := range []string{"/echo", "/blocking"} {
			ctx, cancel := context.WithCancel(t.Context())
			l := lazy{make(chan struct{}), make(chan struct{})}
			req := get(path)
			req.Input, req.Responder = body, l
			go func() {
				<-l.read
				if leaves {
					cancel()
				}
				close(l.rest)
			}()
			_, err := tpl.Call(ctx, req)
			if cancel(); !leaves && err != nil {
				t.Error(err)
			} else if leaves {
				refused(t, err, fault.Canceled)
			}
		}
	}
}

// early stops reading an answer.
type early struct{}

func (early) Stream(_ []byte, body io.Reader) { _, _ = body.Read(make([]byte, 1)) }

func TestAnswerNobodyReads(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	for path, want := range map[string]string{"/echo": "Broken pipe", "/blocking": "output_write: -6"} {
		req := get(path)
		req.Input, req.Responder = make([]byte, 500_000), early{}
		res, err := tpl.Call(t.Context(), req)
		refused(t, err, fault.GuestError)
		if !strings.Contains(string(res.Logs), want) {
			t.Errorf("%s: the logs are %q", path, res.Logs)
		}
	}
}

func TestHalfClose(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	body, send := io.Pipe()
	r := &recorder{}
	r.each = func([]byte) {
		go func() {
			_, _ = send.Write(make([]byte, 1000))
			send.Close()
		}()
	}
	req := get("/half")
	req.Body, req.Responder = body, r
	res, err := tpl.Call(t.Context(), req)
	if err != nil || string(r.body) != "answered" || r.err != io.EOF || !strings.Contains(string(res.Logs), "read 1000, then write body: Broken pipe") {
		t.Errorf("got %q, %v, %v\n%s", r.body, r.err, err, res.Logs)
	}
}

func TestBodyThatBreaks(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	for path, want := range map[string]string{"/echo": "Connection reset by peer", "/blocking": "input_read: -6"} {
		req := get(path)
		req.Body = io.MultiReader(strings.NewReader("a piece"), brokenReader{})
		res, err := tpl.Call(t.Context(), req)
		refused(t, err, fault.GuestError)
		if !strings.Contains(string(res.Logs), want) {
			t.Errorf("%s: the logs are %q", path, res.Logs)
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestDescriptorsOfStreams asks for what a socket is and is not. What was written
// before the number was closed is part of the answer.
func TestDescriptorsOfStreams(t *testing.T) {
	want := "abcagain 0 stat 0 6 0 append 28 nonblock 0 0 4 renumber 58 sync 0 sync nothing 8 recv 0 3 abc peek 58 end 0 0 " +
		"outside 21 many pieces 28 send 0 3 shut nothing 28 shut all and more 28 shut reading 0 close 0 close again 8 read 8 a head -1\n"
	for _, isolation := range []sandbox.Isolation{sandbox.Pristine, sandbox.Shared, sandbox.Fresh} {
		tpl := load(t, sandbox.Spec{Wasm: guest(t, "http"), Isolation: isolation})
		for range 2 {
			req := get("/descriptors")
			req.Input = []byte("abc")
			if res, err := tpl.Call(t.Context(), req); err != nil || string(res.Output) != want {
				t.Errorf("%s: got %q, %v\n%s", isolation, res.Output, err, res.Logs)
			}
			r := &recorder{}
			req = get("/echo")
			req.Body, req.Responder = parts(make([]byte, 100_000)), r
			if res, err := tpl.Call(t.Context(), req); err != nil || len(r.body) != 100_000 {
				t.Errorf("%s: %d bytes, %v\n%s", isolation, len(r.body), err, res.Logs)
			}
		}
	}
}

func TestExamplesOfStreams(t *testing.T) {
	example := func(path, body string) sandbox.Example {
		return sandbox.Example{Head: headOf(abi.HeadMethod, "POST", abi.HeadPath, path), Input: []byte(body)}
	}
	tpl := load(t, sandbox.Spec{Wasm: guest(t, "http"), Examples: []sandbox.Example{example("/whole", "hello"), example("/echo", "hello")}})
	if r := tpl.Report(); r.Example != nil || r.Warm == 0 {
		t.Errorf("got %+v", r)
	}
	for range 2 {
		// The snapshot has seen each example three times.
		if res, err := tpl.Call(t.Context(), get("/whole")); err != nil || !bytes.Contains(res.Head, []byte("X-Calls\x01\x00\x00\x007")) {
			t.Errorf("got %q, %v", res.Head, err)
		}
	}
	r := &recorder{}
	req := get("/echo")
	req.Body, req.Responder = parts([]byte("warm")), r
	if res, err := tpl.Call(t.Context(), req); err != nil || string(r.body)+string(res.Output) != "warm" {
		t.Errorf("got %q, %v", r.body, err)
	}
	_, err := newEngine(t, cached()).Load(t.Context(), sandbox.Spec{Wasm: guest(t, "http"), Example: []byte("x")})
	if err != nil {
		t.Errorf("an example that the guest refuses: %v", err)
	}
}

// turns counts how often a call gave its turn back, and got one again.
type turns struct{ paused, resumed int }

func (t *turns) Pause() { t.paused++ }

func (t *turns) Resume(context.Context) error { t.resumed++; return nil }

// TestAnswerNotReadInTime: a call whose answer is not read until its time is over, or
// its caller gone, has failed although its guest has not. Meanwhile it has no turn.
func TestAnswerNotReadInTime(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{Timeout: time.Second})
	for _, leaves := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		late := 1100 * time.Millisecond
		l, turn := lazy{make(chan struct{}), make(chan struct{})}, &turns{}
		req := get("/echo")
		req.Input, req.Responder, req.Turn = make([]byte, 40<<10), l, turn
		want := fault.GuestTimeout
		if leaves {
			want, late = fault.Canceled, 100*time.Millisecond
		}
		go func() {
			<-l.read
			if leaves {
				cancel()
			}
			time.AfterFunc(late, func() { close(l.rest) })
		}()
		res, err := tpl.Call(ctx, req)
		cancel()
		if refused(t, err, want); !res.Streamed || turn.paused != turn.resumed+1 {
			t.Errorf("streamed %t, %+v", res.Streamed, turn)
		}
	}
}

// TestBodyThatBreaksOff: whatever broke a body off, the guest does not take it for
// its end, and libraries know the error.
func TestBodyThatBreaksOff(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	for _, cause := range []error{errors.New("the lane is gone"), context.DeadlineExceeded, io.ErrClosedPipe, fault.New(fault.RunnerLost, "gone")} {
		for path, want := range map[string]string{"/echo": "Connection reset by peer", "/blocking": "input_read: -6"} {
			req := get(path)
			req.Body = io.MultiReader(strings.NewReader("some"), iotest.ErrReader(cause))
			res, err := tpl.Call(t.Context(), req)
			refused(t, err, fault.GuestError)
			if !strings.Contains(string(res.Logs), want) {
				t.Errorf("%s after %v: the logs are %q", path, cause, res.Logs)
			}
		}
	}
}

// informed is a recorder that also takes informational heads.
type informed struct {
	recorder
	heads [][]byte
	delay time.Duration
}

func (i *informed) Inform(head []byte) {
	time.Sleep(i.delay)
	i.heads = append(i.heads, head)
}

// TestInformationalHeads are handed over when they are written, in order and before
// the answer, however slow the caller is.
func TestInformationalHeads(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{})
	early := headOf(abi.HeadStatus, "103", "link", "</a>; rel=preload")
	for _, delay := range []time.Duration{0, 5 * time.Millisecond} {
		r := &informed{delay: delay}
		req := get("/heads")
		req.Input, req.Responder = early, r
		res, err := tpl.Call(t.Context(), req)
		if err != nil || len(r.heads) != 2 || !bytes.Equal(r.heads[0], early) || !bytes.Equal(r.heads[1], early) || res.Head != nil {
			t.Errorf("got %q, %v; the head is %q", r.heads, err, res.Head)
		}
	}
	r := &informed{delay: 100 * time.Millisecond}
	req := get("/heads")
	req.Input, req.Responder = early, r
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := tpl.Call(ctx, req)
	if refused(t, err, fault.GuestTimeout); len(r.heads) != 1 {
		t.Errorf("%d heads after the end", len(r.heads))
	}
}

// TestGrace lets callers leave: a guest with a grace learns of it wherever it waits,
// and can still reach the network. One that does not end is stopped in time.
func TestGrace(t *testing.T) {
	tpl := loadHTTP(t, sandbox.Limits{Grace: 2 * time.Second})
	for path, want := range map[string]string{
		"/clean/poller":   "read body: Connection reset by peer, then UNLOCK\n",
		"/clean/blocking": "input_read: -6, then UNLOCK\n",
		"/clean/sleeping": "output_write: -6; input_read: -6, then UNLOCK\n",
	} {
		for _, streams := range []bool{true, false} {
			if path == "/clean/poller" && !streams || path == "/clean/blocking" && !streams {
				continue // a body that is whole is not waited for
			}
			ctx, cancel := context.WithCancel(t.Context())
			body, send := io.Pipe()
			r := &recorder{each: func([]byte) { cancel() }}
			req := get(path)
			req.Responder, req.Opener = r, echoes
			if streams {
				req.Body = body
			}
			res, err := tpl.Call(ctx, req)
			cancel()
			send.Close()
			if string(res.Logs) != want || r.err == io.EOF || err != nil && fault.ReasonOf(err) != fault.Canceled {
				t.Errorf("%s: %v; the logs are %q, the answer ended with %v", path, err, res.Logs, r.err)
			}
		}
	}
	for _, limits := range []sandbox.Limits{
		{}, {Grace: 50 * time.Millisecond}, {Grace: 50 * time.Millisecond, Idle: time.Hour}, {Grace: time.Hour, Timeout: time.Second},
	} {
		tpl := loadHTTP(t, limits)
		for _, path := range []string{"/leave/wait", "/leave/loop"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			stop := time.AfterFunc(20*time.Millisecond, cancel)
			began := time.Now()
			req := get(path)
			req.Opener = silent
			_, err := tpl.Call(ctx, req)
			stop.Stop()
			if refused(t, err, fault.Canceled); time.Since(began) > 10*time.Second {
				t.Errorf("%s with a grace of %s ended after %s", path, limits.Grace, time.Since(began))
			}
		}
	}
	// A deadline is known before: there is no grace after it.
	tpl = loadHTTP(t, sandbox.Limits{Grace: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	began := time.Now()
	req := get("/leave/wait")
	req.Opener = silent
	_, err := tpl.Call(ctx, req)
	if refused(t, err, fault.GuestTimeout); time.Since(began) > 10*time.Second {
		t.Errorf("ended after %s", time.Since(began))
	}
}
