package exchange_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ruedo-dev/ruedo/internal/headers"
)

// stream opens one stream and ends it.
func (s *soaker) stream(p pair, rng *rand.Rand) {
	c := p.h1
	if rng.IntN(2) == 0 {
		c = p.h2
	}
	switch n := rng.IntN(100); {
	case n < 50:
		s.talks(c, rng)
	case n < 65:
		s.chats(p.h2, rng)
	case n < 80:
		s.byHand(rng)
	case n < 90:
		s.downloads(c, rng)
	default:
		s.uploads(c, rng)
	}
}

// clean is what a caller sees of a stream that came to its end.
const clean = "the end"

// ended counts how a stream ended that could have been cut by a runner that leaves,
// and checks that nobody took a stream that was cut for complete.
func (s *soaker) ended(how string, err error, complete bool) {
	switch {
	case err == nil && !complete:
		s.t.Errorf("%s: the stream looks complete", how)
	case err == nil:
		s.saw(how + ": " + clean)
	default:
		s.saw(how + ": cut")
	}
}

// talks opens a stream in both directions, uses it and ends it in one of all ways.
func (s *soaker) talks(c *http.Client, rng *rand.Rand) {
	ctx, leave := context.WithCancel(s.t.Context())
	defer leave()
	body, send := io.Pipe()
	// While more of a body is to come, net/http's client does not look at the context of
	// a request that is answered over HTTP/2.
	context.AfterFunc(ctx, func() { _ = send.CloseWithError(context.Canceled) })
	ways := []string{"return", "panic", "exit", "the caller ends", "the caller leaves", "the caller closes the answer", "the caller breaks the body off", "late", "too long", "idle"}
	how, service := ways[rng.IntN(len(ways))], "talk"
	switch how {
	case "idle":
		service = "hasty"
	case "too long":
		service = "brief"
	}
	req, err := http.NewRequestWithContext(ctx, "POST", s.c.URL+"/svc/"+service+"/lines", body)
	if err != nil {
		s.t.Error(err)
		return
	}
	if how == "late" {
		req.Header.Set(headers.Timeout, fmt.Sprint(time.Duration(1+rng.IntN(200))*time.Millisecond))
	}
	greeting := "hello\n"
	if rng.IntN(4) == 0 {
		greeting = "dial " + s.peer + "\n"
	}
	go func() { _, _ = io.WriteString(send, greeting) }() // ends with the request
	res, err := c.Do(req)
	if err != nil {
		s.ended(how+", before the answer", err, false)
		return
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	line, err := in.ReadString('\n')
	short := how == "late" || how == "too long" // of time
	switch {
	case res.StatusCode == http.StatusOK && err != nil && short:
		s.ended(how+", before the first line", err, false)
		return
	case res.StatusCode != http.StatusOK || err != nil:
		s.refused(how, res.StatusCode, line)
		return
	}
	if line != "> hello\n" && !short { // which can be why the service reaches nobody
		s.t.Errorf("%s: the first line is %q", how, line)
		return
	}
	switch how {
	case "return", "panic", "exit":
		go func() { _, _ = io.WriteString(send, how+"\n") }()
	case "the caller ends":
		_ = send.Close()
	case "the caller leaves":
		leave()
	case "the caller closes the answer":
		_ = res.Body.Close()
	case "the caller breaks the body off":
		_ = send.CloseWithError(errors.New("enough"))
	}
	_, err = io.Copy(io.Discard, in)
	s.ended(how, err, how == "return" || how == "the caller ends")
}

// refused counts an answer in place of a stream. Runners that leave, and deadlines that
// were too short, are reasons for one.
func (s *soaker) refused(how string, status int, said string) {
	if status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout {
		_, reason, _ := strings.Cut(said, `"reason":"`)
		reason, _, _ = strings.Cut(reason, `"`)
		s.saw(how + ": refused, " + reason)
		return
	}
	s.t.Errorf("%s: status %d %s", how, status, said)
}

// chats talks over gRPC.
func (s *soaker) chats(h2 *http.Client, rng *rand.Rand) {
	how := []string{"gRPC, the caller ends", "gRPC, the caller leaves", "gRPC, late"}[rng.IntN(3)]
	ctx, leave := context.WithCancel(s.t.Context())
	if how == "gRPC, late" {
		ctx, leave = context.WithTimeout(s.t.Context(), time.Duration(1+rng.IntN(200))*time.Millisecond)
	}
	defer leave()
	type text = wrapperspb.StringValue
	stream := connect.NewClient[text, text](h2, s.c.URL+"/svc/talk/test.v1.Talk/Chat", connect.WithGRPC()).CallBidiStream(ctx)
	defer stream.CloseResponse()
	_ = stream.Send(wrapperspb.String("hello")) // receiving says why it failed
	_, err := stream.Receive()
	if errors.Is(err, io.EOF) {
		s.t.Errorf("%s: the stream ends before it was used", how)
		return
	}
	if err == nil {
		context.AfterFunc(ctx, func() { _ = stream.CloseRequest() }) // as in talks
		switch how {
		case "gRPC, the caller ends":
			_ = stream.CloseRequest()
		case "gRPC, the caller leaves":
			leave()
		}
		_, err = stream.Receive()
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	s.ended(how, err, how != "gRPC, the caller leaves") // one that is late says all, and can be in time
}

// byHand opens a stream over a connection of its own, and leaves it in ways that no
// client has.
func (s *soaker) byHand(rng *rand.Rand) {
	u, err := url.Parse(s.c.URL)
	if err != nil {
		s.t.Error(err)
		return
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	requests := []struct{ name, text, until string }{
		{"lines", "POST /svc/talk/lines HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n", "> a"},
		{"events", "GET /svc/talk/events?n=1&stay HTTP/1.1\r\nHost: HOST\r\n\r\n", "data: 0"},
		{"another protocol", "GET /svc/talk/shout HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nhello\n", "hello!"},
	}
	request := requests[rng.IntN(len(requests))]
	if _, err := io.WriteString(conn, strings.ReplaceAll(request.text, "HOST", u.Host)); err != nil {
		s.t.Error(err)
		return
	}
	in := bufio.NewReader(conn)
	for status := ""; ; {
		line, err := in.ReadString('\n')
		if status == "" {
			status = line
		}
		if err != nil {
			s.ended("by hand, before the answer", err, false)
			return
		}
		if strings.Contains(line, request.until) {
			break
		}
	}
	end := func(how string, leave func()) {
		leave()
		s.saw(request.name + " by hand, " + how)
	}
	switch n := rng.IntN(4); {
	case n == 0:
		end("reset", func() { _ = conn.(*net.TCPConn).SetLinger(0) })
	case n == 1 && request.name != "events": // a caller that has said all may still listen
		end("half closed", func() {
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, in)
		})
	case n == 2 && request.name == "lines":
		end("a chunk that is none", func() {
			_, _ = io.WriteString(conn, "zz\r\n")
			_, _ = io.Copy(io.Discard, in)
		})
	default:
		end("closed", func() {})
	}
}

// downloads reads an answer, or a part of it.
func (s *soaker) downloads(c *http.Client, rng *rand.Rand) {
	const size = 1 << 20
	ctx, leave := context.WithCancel(s.t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("%s/svc/talk/big?n=%d", s.c.URL, size), nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	res, err := c.Do(req)
	if err != nil {
		s.ended("download, before the answer", err, false)
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(res.Body)
		s.refused("download", res.StatusCode, string(said))
		return
	}
	part := int64(size)
	if rng.IntN(2) == 0 {
		part = rng.Int64N(size)
	}
	_, err = io.CopyN(io.Discard, res.Body, part)
	s.ended(fmt.Sprintf("download, a part: %t", part < size), err, true)
}

// uploads sends a body, or a part of it.
func (s *soaker) uploads(c *http.Client, rng *rand.Rand) {
	const size = 1 << 20
	ctx, leave := context.WithCancel(s.t.Context())
	defer leave()
	part := rng.IntN(2) == 0
	body := io.MultiReader(io.LimitReader(zeros{}, rng.Int64N(size)), after(func() error {
		if !part {
			return io.EOF
		}
		leave()
		return context.Canceled
	}))
	req, err := http.NewRequestWithContext(ctx, "POST", s.c.URL+"/svc/talk/count", unknown(body))
	if err != nil {
		s.t.Error(err)
		return
	}
	how := fmt.Sprintf("upload, a part: %t", part)
	res, err := c.Do(req)
	if err != nil {
		s.ended(how, err, false)
		return
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		s.refused(how, res.StatusCode, string(said))
		return
	}
	s.ended(how, err, !part)
}

// zeros is a reader without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// after is a reader that has nothing but an error.
type after func() error

func (f after) Read([]byte) (int, error) { return 0, f() }
