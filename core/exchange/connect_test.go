package exchange_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

type text = wrapperspb.StringValue

var protocols = map[string][]connect.ClientOption{
	"Connect": nil, "Connect with JSON": {connect.WithProtoJSON()}, "Connect with GET": {connect.WithHTTPGet(), connect.WithHTTPGetMaxURLSize(1<<10, true), connect.WithIdempotency(connect.IdempotencyNoSideEffects)},
	"gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()},
}

// eachProtocol runs f for each protocol over HTTP/1.1 and HTTP/2. gRPC needs the
// latter.
func eachProtocol(t *testing.T, s *site, f func(t *testing.T, c *http.Client, opts []connect.ClientOption)) {
	for name, opts := range protocols {
		t.Run(name+" over HTTP/2", func(t *testing.T) { f(t, s.H2, opts) })
		if name != "gRPC" {
			t.Run(name+" over HTTP/1.1", func(t *testing.T) { f(t, s.H1, opts) })
		}
	}
}

func TestConnect(t *testing.T) {
	s := newSite(t, options{})
	const api = "/svc/talk/test.v1.Talk/"
	eachProtocol(t, s, func(t *testing.T, c *http.Client, opts []connect.ClientOption) {
		to := func(method string) *connect.Client[text, text] {
			return connect.NewClient[text, text](c, s.URL+api+method, opts...)
		}
		res, err := to("Say").CallUnary(t.Context(), connect.NewRequest(wrapperspb.String("hello")))
		if err != nil || res.Msg.Value != "hello!" || res.Header().Get("X-Head") != "h" || res.Trailer().Get("X-Tail") != "t" {
			t.Errorf("%v %v", res, err)
		}
		_, err = to("Say").CallUnary(t.Context(), connect.NewRequest(wrapperspb.String("")))
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "say something") {
			t.Errorf("the service's own error: %v", err)
		}
		large := strings.Repeat("x", 1<<20)
		if res, err := to("Say").CallUnary(t.Context(), connect.NewRequest(wrapperspb.String(large))); err != nil || res.Msg.Value != large+"!" {
			t.Errorf("a megabyte: %v", err)
		}

		heard, err := to("Hear").CallServerStream(t.Context(), connect.NewRequest(wrapperspb.String("n")))
		if err != nil {
			t.Fatal(err)
		}
		all := ""
		for heard.Receive() {
			all += heard.Msg().Value
		}
		if all != "n0n1n2" || connect.CodeOf(heard.Err()) != connect.CodeAborted {
			t.Errorf("%q, then %v", all, heard.Err())
		}
		_ = heard.Close()

		collect := to("Collect").CallClientStream(t.Context())
		for i := range 3 {
			if err := collect.Send(wrapperspb.String(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if res, err := collect.CloseAndReceive(); err != nil || res.Msg.Value != "012" {
			t.Errorf("%v %v", res, err)
		}
		if c == s.H1 {
			return // which has no streams in both directions for Connect
		}
		chat := to("Chat").CallBidiStream(t.Context())
		for i := range 10 {
			if err := chat.Send(wrapperspb.String(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			if m, err := chat.Receive(); err != nil || m.Value != fmt.Sprint(i, "?") {
				t.Fatalf("%v %v", m, err)
			}
		}
		_ = chat.CloseRequest()
		if _, err := chat.Receive(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		_ = chat.CloseResponse()
	})
}

// A failure that is not the service's has the form that its caller reads.
func TestErrorsInTheProtocolOfTheCaller(t *testing.T) {
	s := newSite(t, options{})
	eachProtocol(t, s, func(t *testing.T, c *http.Client, opts []connect.ClientOption) {
		for path, want := range map[string]fault.Reason{
			"/svc/tolk/test.v1.Talk/Say": fault.ServiceNotFound, "/svc/plain/test.v1.Talk/Say": fault.WrongKind, "/svc/talk/panic": fault.GuestError,
		} {
			client := connect.NewClient[text, text](c, s.URL+path, opts...)
			_, err := client.CallUnary(t.Context(), connect.NewRequest(wrapperspb.String("x")))
			if got := faultrpc.FromError(err); got.Reason != want {
				t.Errorf("%s: %s %v", path, got.Reason, err)
			}
			stream, err := client.CallServerStream(t.Context(), connect.NewRequest(wrapperspb.String("x")))
			if err != nil {
				t.Fatal(err)
			}
			if stream.Receive() || faultrpc.FromError(stream.Err()).Reason != want {
				t.Errorf("%s: a stream ends with %v", path, stream.Err())
			}
			_ = stream.Close()
		}
	})
	s.clients(t, func(t *testing.T, c *http.Client) {
		for path, want := range map[string]string{
			"/svc/tolk/":   `"reason":"SERVICE_NOT_FOUND"|did you mean talk`,
			"/svc/plain/x": `"reason":"WRONG_KIND"|curl -d INPUT http://HOST:PORT/call/plain`,
			"/svc/":        `"reason":"SERVICE_NOT_FOUND"`,
			"/svc/talk/%":  "Bad Request",
		} {
			if strings.HasSuffix(path, "%") {
				continue // clients do not send it
			}
			res, got := s.do(t, c, "POST", path, bytes.NewReader(make([]byte, 100_000)), nil)
			for w := range strings.SplitSeq(want, "|") {
				if !strings.Contains(got, w) || res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Content-Security-Policy") != "sandbox" {
					t.Errorf("%s: %s %s", path, res.Status, got)
				}
			}
		}
	})
}
