package lane

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/lane/upgrade"
)

// request is what the handlers know about the HTTP request behind a call.
type request struct {
	rc   *http.ResponseController
	lane *Lane           // of the secret in the header; nil if there is none
	own  *upgrade.Answer // the connection, if it is that of a lane alone
}

type requestKey struct{}

// requestOf returns nil if the service was not mounted with Handler.
func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

func noHandler() error {
	return faultrpc.ToConnect(fault.New(fault.Internal, "lanes are served by lane.Hub.Handler over HTTP/2 only"))
}

// Handler returns the path and the handler to mount. The server must speak
// HTTP/2 (h2c or TLS), and should set HTTP2Config.SendPingTimeout and
// WriteByteTimeout, so that a connection whose peer stopped is torn down. Its
// read and write timeouts do not apply to lanes.
//
// The handler bounds what a request can cost before its sender is known,
// whatever the options say. It accepts neither compression nor JSON. The
// message that opens a lane has at most 16 KiB, the others 1 MiB. Requests for
// streams last as long as their call, so they are refused before their body is
// read, unless their header proves that a runner with a lane sent them. The server
// decides how fast other bodies must arrive and answers must be read.
func (h *Hub) Handler(opts ...connect.HandlerOption) (path string, handler http.Handler) {
	path, next := runnerv1connect.NewRunnerServiceHandler(h, append(opts[:len(opts):len(opts)], handlerOptions())...)
	return path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isJSON(r.Header) {
			http.Error(w, "lanes speak protobuf only", http.StatusUnsupportedMediaType)
			return
		}
		req := &request{}
		if r.URL.Path == runnerv1connect.RunnerServiceAttachProcedure && upgrade.Asked(r) && h.begin() {
			defer h.attached.Done()
			a, stream, err := upgrade.Accept(w, r)
			if err != nil {
				return // the connection is broken
			}
			defer a.Finish()
			req.own, w, r = a, a, stream
		}
		// A lost lane must end a Send or Receive that hangs. Deadlines of the
		// stream are the only way to do that from outside.
		req.rc = http.NewResponseController(w)
		if secret := r.Header.Get(protocol.SecretHeader); secret != "" {
			req.lane = h.lane(secret)
		}
		if req.lane == nil && streams(r.URL.Path) {
			err := fault.New(fault.PermissionDenied, "streams are for runners with a lane")
			if h.cfg.Refused != nil {
				h.cfg.Refused(r.Context(), err.Reason)
			}
			faultrpc.WriteJSON(w, faultrpc.HTTPStatus(err), err)
			return
		}
		body := r.Body
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, req))
		if r.URL.Path == runnerv1connect.RunnerServiceAttachProcedure {
			r.Body = &helloBody{ReadCloser: body}
		}
		if r.URL.Path == runnerv1connect.RunnerServicePushAnswerProcedure {
			w = unflushed{w}
		}
		next.ServeHTTP(w, r)
	})
}

// unflushed is a writer of an answer that is one message: connect would send its head,
// the message and its end one by one.
type unflushed struct{ http.ResponseWriter }

// streams reports whether a procedure carries what streams in a call.
func streams(procedure string) bool {
	return procedure == runnerv1connect.RunnerServiceFetchBodyProcedure || procedure == runnerv1connect.RunnerServicePushAnswerProcedure
}

// helloBody refuses a first message that is longer than a hello, before any of it
// is read. Connect, gRPC and gRPC-Web all have the length in a prefix of 5 bytes.
type helloBody struct {
	io.ReadCloser
	prefix [5]byte
	n      int
}

func (b *helloBody) Read(p []byte) (int, error) {
	if b.n == len(b.prefix) {
		return b.ReadCloser.Read(p)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), len(b.prefix)-b.n)])
	b.n += copy(b.prefix[b.n:], p[:n])
	if size := binary.BigEndian.Uint32(b.prefix[1:]); b.n == len(b.prefix) && size > maxHello {
		return 0, connect.NewError(connect.CodeResourceExhausted, errors.New("a hello is over the limit of 16 KiB"))
	}
	return n, err
}
