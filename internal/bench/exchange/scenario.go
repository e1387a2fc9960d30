package exchange

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ruedo-dev/ruedo/internal/bench/guests/site"
	"github.com/ruedo-dev/ruedo/internal/bench/load"
)

// scenario is a kind of exchange.
type scenario struct {
	name string
	// plain is set if it needs only what every server of HTTP has.
	plain bool
	open  func(ctx context.Context, url string) (*caller, error)
}

// caller makes calls over a connection of its own, one after the other.
type caller struct {
	// call makes one call, and returns when the first byte of its answer was there if
	// that is of interest.
	call  func() (firstByte time.Time, err error)
	close func()
}

// scenarios are measured in this order. Requests of HTTP/1.1 are written by hand,
// so that they take little of the processors that all share; those of gRPC are
// made by net/http.
var scenarios = []scenario{
	{"get", true, whole("GET", "/hello/Ada", "", "", "Hello, Ada!")},
	{"json", true, whole("POST", "/greet", "application/json", `{"name":"Ada"}`, `"Hello, Ada!"`)},
	{"connect", false, whole("POST", site.API+"Greet", "application/proto", string(message("Ada")), "Hello, Ada!")},
	{"grpc", false, grpc},
	{"stream", false, stream("0s")},
	{"paced", false, stream("1ms")},
	{"bidi", false, bidi},
}

// message returns a message of the Connect service.
func message(text string) []byte {
	b, err := proto.Marshal(wrapperspb.String(text))
	if err != nil {
		panic(err) // text is always valid
	}
	return b
}

// framed returns a message as it is in a stream.
func framed(text string) []byte {
	m := message(text)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

// dial connects over HTTP/1.1. It also returns what comes before the path of each
// request.
func dial(url string) (c *load.Conn, prefix string, err error) {
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	if path != "" {
		prefix = "/" + path
	}
	c, err = load.Dial("http://" + host)
	return c, prefix, err
}

func request(method, path, contentType string, body []byte) []byte {
	head := method + " " + path + " HTTP/1.1\r\nHost: bench\r\n"
	if method == "POST" {
		head += fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n", contentType, len(body))
	}
	return append([]byte(head+"\r\n"), body...)
}

// whole returns requests and answers that are whole.
func whole(method, path, contentType, body, want string) func(context.Context, string) (*caller, error) {
	return func(_ context.Context, url string) (*caller, error) {
		c, prefix, err := dial(url)
		if err != nil {
			return nil, err
		}
		ask := request(method, prefix+path, contentType, []byte(body))
		return &caller{close: func() { _ = c.Close() }, call: func() (_ time.Time, err error) {
			got, err := c.Call(ask)
			if err == nil && !bytes.Contains(got, []byte(want)) {
				err = fmt.Errorf("%s answers %q", path, got)
			}
			return time.Time{}, err
		}}, nil
	}
}

// stream returns requests whose answer is three messages, with a pause between
// them.
func stream(pause string) func(context.Context, string) (*caller, error) {
	return func(_ context.Context, url string) (*caller, error) {
		c, prefix, err := dial(url)
		if err != nil {
			return nil, err
		}
		ask := request("POST", prefix+site.API+"Count", "application/connect+proto", framed(pause))
		want := bytes.Join([][]byte{framed("one"), framed("two"), framed("three"), []byte("\x02\x00\x00\x00\x02{}")}, nil)
		got := make([]byte, len(want))
		return &caller{close: func() { _ = c.Close() }, call: func() (first time.Time, err error) {
			if err := c.Send(ask); err != nil {
				return first, err
			}
			res, err := http.ReadResponse(c.Reader, nil)
			if err != nil {
				return first, fmt.Errorf("read the head: %w", err)
			}
			if _, err := io.ReadFull(res.Body, got[:1]); err != nil {
				return first, fmt.Errorf("%s: %w", res.Status, err)
			}
			first = time.Now()
			if n, err := io.ReadFull(res.Body, got[1:]); err != nil {
				return first, fmt.Errorf("the answer is %q: %w", got[:1+n], err)
			}
			if n, err := io.Copy(io.Discard, res.Body); err != nil || n > 0 || !bytes.Equal(got, want) {
				return first, errors.Join(err, fmt.Errorf("the answer is %q and %d bytes more", got, n))
			}
			return first, nil
		}}, nil
	}
}

// post begins a request over HTTP/2. Its answer is closed by the caller.
func post(ctx context.Context, t *http.Transport, url, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return nil, err
	}
	req.Header["Content-Type"] = []string{contentType}
	req.Header["Te"] = []string{"trailers"}
	res, err := t.RoundTrip(req)
	if err == nil && res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		err = fmt.Errorf("%s: status %s", url, res.Status)
	}
	return res, err
}

const grpcType = "application/grpc+proto"

// grpc makes unary calls of gRPC.
func grpc(ctx context.Context, url string) (*caller, error) {
	t := http2()
	ask, want := framed("Ada"), framed("Hello, Ada!")
	return &caller{close: t.CloseIdleConnections, call: func() (first time.Time, err error) {
		res, err := post(ctx, t, url+site.API+"Greet", grpcType, struct{ io.Reader }{bytes.NewReader(ask)}) // without its length
		if err != nil {
			return first, err
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err == nil && (!bytes.Equal(got, want) || res.Trailer.Get("Grpc-Status") != "0") {
			err = fmt.Errorf("the answer is %q, with the trailers %v", got, res.Trailer)
		}
		return first, err
	}}, nil
}

// bidi opens a stream of gRPC in both directions; a call is a message and its
// answer.
func bidi(ctx context.Context, url string) (*caller, error) {
	t := http2()
	messages, body := io.Pipe()
	ask, want := framed("Ada"), framed("Ada!")
	ctx, cancel := context.WithCancel(ctx)
	closed := func() {
		cancel()
		_ = body.Close()
		t.CloseIdleConnections()
	}
	first := make(chan error, 1)
	go func() {
		_, err := body.Write(ask)
		first <- err
	}()
	res, err := post(ctx, t, url+site.API+"Talk", grpcType, messages)
	if err != nil {
		closed()
		<-first
		return nil, err
	}
	got := make([]byte, len(want))
	read := func() (err error) {
		if _, err = io.ReadFull(res.Body, got); err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("the answer is %q", got)
		}
		return err
	}
	c := &caller{
		close: func() {
			closed()
			_ = res.Body.Close()
		},
		call: func() (_ time.Time, err error) {
			if _, err = body.Write(ask); err == nil {
				err = read()
			}
			return time.Time{}, err
		},
	}
	if err := errors.Join(<-first, read()); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// copied is how many bytes go there and back.
const copied = 32 << 20

// copyBack sends zeros and receives them again, at the same time.
func copyBack(ctx context.Context, url string) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	t := http2()
	defer t.CloseIdleConnections()
	begun := time.Now()
	res, err := post(ctx, t, url+"/copy", "application/octet-stream", io.LimitReader(zeros{}, copied))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && n != copied {
		err = fmt.Errorf("%d bytes came back", n)
	}
	return time.Since(begun), err
}

// zeros is a reader without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
