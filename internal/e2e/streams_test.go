//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

const (
	// soon is how long a stream may take to end when one of its ends has.
	soon = 5 * time.Second
	// talk is the service of these tests, which streams in every direction.
	talk = "/svc/talk"
)

// streaming is a core without etcd, its runners, and the service talk, which may run
// twice, so that a second attempt is possible wherever it is not forbidden.
type streaming struct {
	*cluster
	core   *process
	cache  string // of all runners: the service takes long to compile
	h1, h2 *http.Client
}

func newStreaming(t *testing.T) *streaming {
	s := &streaming{cluster: alone(t, t.TempDir()), cache: t.TempDir()}
	s.env = append(s.env, "RUEDO_SERVER_DISTRIBUTED_EXECUTION=true")
	s.core = s.server()
	s.h1, s.h2 = streamClient(t, false), streamClient(t, true)
	return s
}

func streamClient(t *testing.T, h2 bool) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(!h2)
	p.SetUnencryptedHTTP2(h2)
	tr := &http.Transport{Protocols: p}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (s *streaming) url(path string) string { return "http://127.0.0.1:" + s.port + path }

// attach starts a runner and waits for it.
func (s *streaming) attach(name string, n int) *process {
	s.t.Helper()
	p := start(s.t, []string{"HOME=" + s.t.TempDir(), "RUEDO_RUNNER_NAME=" + name, "RUEDO_APPLICATION_CLUSTER_ID=disk"},
		binary(s.t, "ruedo"), "runner", "--cache-dir", s.cache, "--cores", s.url(""))
	s.ready(n)
	return p
}

// publish builds and publishes the service.
func (s *streaming) publish() {
	s.t.Helper()
	dir := s.t.TempDir()
	wasm := filepath.Join(dir, "talk.wasm")
	build := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", wasm, "github.com/ruedo-dev/ruedo/core/exchange/testdata/guests/talk")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	s.must("create", "decorator", "again", "--idempotent")
	s.must("publish", wasm, "--name", "talk", "--decorator", "again")
}

// talks is one open stream.
type talks struct {
	name  string
	leave func()
	// end reads what is left, and returns how the stream ended.
	end func() string
}

// lines begins to talk over HTTP: a line there and back shows that both directions
// are open.
func (s *streaming) lines(c *http.Client, name string) talks {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	body, send := io.Pipe()
	leave := func() {
		cancel()
		_ = send.CloseWithError(context.Canceled) // what net/http's client waits for
	}
	req, err := http.NewRequestWithContext(ctx, "POST", s.url(talk+"/lines"), body)
	if err != nil {
		s.t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(send, "hello\n") }() // ends with the request
	res, err := c.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	in := bufio.NewReader(res.Body)
	if line, err := in.ReadString('\n'); line != "> hello\n" {
		s.t.Fatalf("%s: %q, %v", name, line, err)
	}
	return talks{name, leave, func() string {
		b, err := io.ReadAll(in)
		_ = send.Close()
		return fmt.Sprintf("%q %v", b, err)
	}}
}

// uploads begins to send a body whose answer comes at its end.
func (s *streaming) uploads(c *http.Client, name string) talks {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	body, send := io.Pipe()
	leave := func() {
		cancel()
		_ = send.CloseWithError(context.Canceled) // what net/http's client waits for
	}
	req, err := http.NewRequestWithContext(ctx, "POST", s.url(talk+"/count"), body)
	if err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan string, 1)
	go func() {
		res, err := c.Do(req)
		if err != nil {
			ended <- err.Error()
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		ended <- fmt.Sprintf("%s %s %v", res.Status, b, err)
	}()
	if _, err := send.Write(make([]byte, 4<<20)); err != nil { // more than what the way there holds
		s.t.Fatal(err)
	}
	go func() { // it goes on until nobody takes it: net/http's client does not look before that
		for err := error(nil); err == nil; time.Sleep(10 * time.Millisecond) {
			_, err = send.Write([]byte("more"))
		}
	}()
	return talks{name, leave, func() string { return <-ended }}
}

type text = wrapperspb.StringValue

// chats begins to talk over gRPC.
func (s *streaming) chats() talks {
	s.t.Helper()
	ctx, leave := context.WithCancel(s.t.Context())
	c := connect.NewClient[text, text](s.h2, s.url(talk+"/test.v1.Talk/Chat"), connect.WithGRPC())
	stream := c.CallBidiStream(ctx)
	if err := stream.Send(wrapperspb.String("hello")); err != nil {
		s.t.Fatal(err)
	}
	if m, err := stream.Receive(); err != nil || m.Value != "hello?" {
		s.t.Fatal(m, err)
	}
	return talks{"gRPC both ways", func() { leave(); _ = stream.CloseResponse() }, func() string {
		_, err := stream.Receive()
		return fmt.Sprint(err)
	}}
}

// collects begins to send over gRPC, whose answer comes at the end.
func (s *streaming) collects() talks {
	s.t.Helper()
	ctx, leave := context.WithCancel(s.t.Context())
	c := connect.NewClient[text, text](s.h2, s.url(talk+"/test.v1.Talk/Collect"), connect.WithGRPC())
	stream := c.CallClientStream(ctx)
	for range 64 { // more than what the way there holds
		if err := stream.Send(wrapperspb.String(strings.Repeat("x", 64<<10))); err != nil {
			s.t.Fatal(err)
		}
	}
	return talks{"gRPC to the service", func() { leave(); _, _ = stream.CloseAndReceive() }, func() string {
		_, err := stream.CloseAndReceive()
		return fmt.Sprint(err)
	}}
}

// all begins a stream of each kind.
func (s *streaming) all() []talks {
	return []talks{
		s.lines(s.h1, "HTTP/1.1 both ways"), s.lines(s.h2, "HTTP/2 both ways"),
		s.uploads(s.h1, "HTTP/1.1 to the service"), s.uploads(s.h2, "HTTP/2 to the service"),
		s.chats(), s.collects(),
	}
}

// end returns how the streams ended, by name. None of them may hang.
func (s *streaming) end(open []talks) map[string]string {
	s.t.Helper()
	type ended struct{ name, how string }
	all := make(chan ended, len(open))
	for _, o := range open {
		go func() { all <- ended{o.name, o.end()} }() // ends with the stream
	}
	how := make(map[string]string)
	for late := time.After(soon); len(how) < len(open); {
		select {
		case e := <-all:
			how[e.name] = e.how
		case <-late:
			s.t.Fatalf("only these ended within %s: %v", soon, how)
		}
	}
	return how
}

// next makes a call, which must be answered as if nothing had happened.
func (s *streaming) next(c *http.Client) {
	s.t.Helper()
	res, err := c.Post(s.url(talk+"/echo"), "text/plain", strings.NewReader("next"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); res.StatusCode != 200 || string(b) != "next" || err != nil {
		s.t.Errorf("the next call: %s %q %v", res.Status, b, err)
	}
}

func (s *streaming) wants(how map[string]string, want map[string][]string) {
	s.t.Helper()
	for name, parts := range want {
		for _, part := range parts {
			if !strings.Contains(how[name], part) {
				s.t.Errorf("%s ended with %s; want %q in it", name, how[name], part)
			}
		}
	}
}

// TestStreamsEndClearly ends streams from each of their ends. Nobody takes one that broke
// off for complete, nothing hangs, and the next call is right.
func TestStreamsEndClearly(t *testing.T) {
	s := newStreaming(t)
	one := s.attach("one", 1)
	s.publish()
	t.Run("callers leave", func(t *testing.T) { s.callersLeave(t, one) })
	t.Run("the core is killed", func(t *testing.T) { s.coreIsKilled(t, one) })
	t.Run("the runner is killed", func(t *testing.T) { s.runnerIsKilled(t, one) })
}

// runnerIsKilled also shows that no call is made again that had begun to talk, although
// the service may run twice.
func (s *streaming) runnerIsKilled(t *testing.T, one *process) {
	open := s.all()
	two := s.attach("two", 2)
	one.signal(t, syscall.SIGKILL)
	s.wants(s.end(open), map[string][]string{
		"HTTP/1.1 both ways":      {`"" unexpected EOF`},
		"HTTP/2 both ways":        {`"" stream error: stream ID`},
		"HTTP/1.1 to the service": {"503", string(fault.StreamBroken)},
		"HTTP/2 to the service":   {"503", string(fault.StreamBroken)},
		"gRPC both ways":          {"stream error: stream ID", "INTERNAL_ERROR"},
		"gRPC to the service":     {"unavailable: the stream of the call between core and runner broke off"},
	})
	if n := two.count("executed call"); n > 0 {
		t.Errorf("%d of the calls were made again:\n%s", n, tail(two.output(), 2000))
	}
	reused := false
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused },
	}), "GET", s.url(talk+"/seen"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := s.h2.Do(req); err != nil || res.StatusCode != 200 || !reused {
		t.Errorf("a call on the connection of streams that broke: %v, %v; the same: %t", res, err, reused)
	} else {
		res.Body.Close()
	}
	s.next(s.h1)
	s.next(s.h2)
	if n := s.core.count(string(fault.StreamBroken)); n < len(open) {
		t.Errorf("the log of the core has %d of %d streams that broke:\n%s", n, len(open), tail(s.core.output(), 3000))
	}
}

// coreIsKilled takes the streams of callers and of services with it. When it is back, all
// goes on.
func (s *streaming) coreIsKilled(t *testing.T, one *process) {
	before := one.count("executed call")
	open := s.all()
	s.core.signal(t, syscall.SIGKILL)
	for name, how := range s.end(open) {
		if strings.Contains(how, "<nil>") {
			t.Errorf("%s looks complete: %s", name, how)
		}
	}
	testkit.Within(t, soon, "the runner has ended the calls", func() bool { return one.count("executed call") == before+len(open) })
	s.core = s.server()
	s.ready(1)
	s.next(s.h1)
	s.next(s.h2)
}

// callersLeave in every way there is: each call is over soon.
func (s *streaming) callersLeave(t *testing.T, one *process) {
	calls := one.count("executed call")
	gone := func(how string, leave func()) {
		t.Helper()
		leave()
		calls++
		testkit.Within(t, soon, "the call is over: "+how, func() bool { return one.count("executed call") == calls })
	}
	for _, o := range s.all() {
		gone(o.name, o.leave)
	}
	raw := func(request string, until string) *net.TCPConn {
		t.Helper()
		c, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(c, strings.ReplaceAll(request, "HOST", "127.0.0.1:"+s.port)); err != nil {
			t.Fatal(err)
		}
		for in := bufio.NewReader(c); until != ""; {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("%q before %q", err, until)
			}
			if strings.Contains(line, until) {
				break
			}
		}
		return c.(*net.TCPConn)
	}
	const (
		lines  = "POST /svc/talk/lines HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n"
		events = "GET /svc/talk/events?n=1&stay HTTP/1.1\r\nHost: HOST\r\n\r\n"
		shout  = "GET /svc/talk/shout HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nhello\n"
	)
	for _, from := range []struct{ name, request, until string }{{"lines", lines, "> a"}, {"events", events, "data: 0"}, {"another protocol", shout, "hello!"}} {
		c := raw(from.request, from.until)
		gone(from.name+", closed", func() { _ = c.Close() })
		c = raw(from.request, from.until)
		gone(from.name+", reset", func() { _ = errors.Join(c.SetLinger(0), c.Close()) })
		if from.name != "events" { // a caller that has said all may still listen
			c = raw(from.request, from.until)
			gone(from.name+", half closed", func() { _ = c.CloseWrite() })
		}
	}
	c := raw(lines, "> a")
	gone("a chunk that is none", func() { _, _ = io.WriteString(c, "zz\r\n") })
	gone("answered over HTTP/1.1", func() { s.next(s.h1) })
	gone("answered over HTTP/2", func() { s.next(s.h2) })
}
