//go:build hostile

package hostile

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"connectrpc.com/connect"
)

// peer is a client that sends whatever a test wants, and measures the answers.
type peer struct {
	url  string
	http *http.Client
	// transport is below http, which does the measuring.
	transport *http.Transport
}

// newPeer returns a client with connections of its own, over HTTP/2 or HTTP/1.1.
func newPeer(url string, http2 bool) *peer {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	t := &http.Transport{Protocols: protocols, MaxIdleConnsPerHost: 16, DisableCompression: true}
	return &peer{url: url, transport: t, http: &http.Client{
		Transport:     &measuring{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (p *peer) close() { p.transport.CloseIdleConnections() }

// reply is the result of one request to a procedure.
type reply struct {
	err error
	// size is the size of the whole answer in bytes: header, body and trailer.
	size int
	// messages is how many messages arrived before the end.
	messages int
	// received is the size of these messages in bytes.
	received int
}

// maxMessages bounds how many messages of an endless stream are read.
const maxMessages = 100

// call sends messages to a procedure and reads the answer to its end, or to the
// end of ctx.
func (p *peer) call(ctx context.Context, proc procedure, s speech, header http.Header, messages ...[]byte) reply {
	var size atomic.Int64
	ctx = context.WithValue(ctx, sizeKey{}, &size)
	c := connect.NewClient[rawMessage, rawMessage](p.http, p.url+proc.path, s.options()...)
	var r reply
	switch proc.stream {
	case connect.StreamTypeUnary:
		req := connect.NewRequest(&rawMessage{only(messages)})
		copyHeader(req.Header(), header)
		res, err := c.CallUnary(ctx, req)
		if r.err = err; err == nil {
			r.messages, r.received = 1, len(res.Msg.b)
		}
	case connect.StreamTypeClient:
		stream := c.CallClientStream(ctx)
		copyHeader(stream.RequestHeader(), header)
		for _, m := range messages {
			if err := stream.Send(&rawMessage{m}); err != nil {
				break // CloseAndReceive returns the reason
			}
		}
		res, err := stream.CloseAndReceive()
		if r.err = err; err == nil {
			r.messages, r.received = 1, len(res.Msg.b)
		}
	case connect.StreamTypeServer:
		req := connect.NewRequest(&rawMessage{only(messages)})
		copyHeader(req.Header(), header)
		stream, err := c.CallServerStream(ctx, req)
		if r.err = err; err == nil {
			for r.messages < maxMessages && stream.Receive() {
				r.messages++
				r.received += len(stream.Msg().b)
			}
			r.err = stream.Err()
			_ = stream.Close()
		}
	default:
		stream := c.CallBidiStream(ctx)
		copyHeader(stream.RequestHeader(), header)
		for _, m := range messages {
			if err := stream.Send(&rawMessage{m}); err != nil {
				break // Receive returns the reason
			}
		}
		_ = stream.CloseRequest()
		for r.messages < maxMessages {
			m, err := stream.Receive()
			if errors.Is(err, io.EOF) {
				break
			}
			if r.err = err; err != nil {
				break
			}
			r.messages++
			r.received += len(m.b)
		}
		_ = stream.CloseResponse()
	}
	r.size = int(size.Load())
	return r
}

func only(messages [][]byte) []byte {
	if len(messages) == 0 {
		return nil
	}
	return messages[0]
}

func copyHeader(to, from http.Header) {
	for k, v := range from {
		to[k] = v
	}
}

// sizeKey is the context key of the counter that measuring adds to.
type sizeKey struct{}

// measuring counts the bytes of answers.
type measuring struct{ next http.RoundTripper }

func (m *measuring) RoundTrip(req *http.Request) (*http.Response, error) {
	size, ok := req.Context().Value(sizeKey{}).(*atomic.Int64)
	res, err := m.next.RoundTrip(req)
	if err != nil || !ok {
		return res, err
	}
	size.Add(headerSize(res.Header))
	res.Body = &measuredBody{res.Body, res, size}
	return res, nil
}

type measuredBody struct {
	io.ReadCloser
	res  *http.Response
	size *atomic.Int64
}

func (b *measuredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.size.Add(int64(n))
	if errors.Is(err, io.EOF) {
		b.size.Add(headerSize(b.res.Trailer))
	}
	return n, err
}

func headerSize(h http.Header) int64 {
	n := 0
	for k, list := range h {
		for _, v := range list {
			n += len(k) + len(v) + len(": \r\n")
		}
	}
	return int64(n)
}

// passThrough is a compressor for messages that are already compressed.
type passThrough struct{ w io.Writer }

func newPassThrough() connect.Compressor { return &passThrough{} }

func (p *passThrough) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p *passThrough) Reset(w io.Writer)           { p.w = w }
func (p *passThrough) Close() error                { return nil }

func newUnpacker() connect.Decompressor { return new(gzip.Reader) }
