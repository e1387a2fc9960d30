package executor

import (
	"context"
	"io"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// Exchange is the part of a call of kind http that does not fit into its request
// and response: bodies that stream. It rides in the context of the call, so rules
// and dispatch pass it on without a word, and a call of another kind pays nothing.
//
// An executor that is handed an exchange may read Body and call Respond until
// Execute returns, and not afterwards.
type Exchange struct {
	// Body is the rest of the request's body, after the input of the request. Nil: the
	// input is all of it. Reads end with an error when the call's context ends, or
	// when Body is closed, which the executor does, possibly more than once.
	Body io.ReadCloser
	// Trailers returns those of the request, encoded as package abi says, after Body
	// has ended. Nil: none.
	Trailers func() []byte
	// Respond takes an answer that streams: its head, encoded as package abi says,
	// and its body, which ends with io.EOF, or with another error if the answer was
	// broken off. Respond returns when it has read the body, or earlier if the
	// caller is gone. It is called at most once, and on any goroutine. A body that says
	// what is [Readable] is sent in fewer pieces.
	Respond func(head []byte, body io.Reader)
	// Inform takes the informational heads of an answer, encoded in the same way: those
	// with a status from 100 to 199, except 101. It is called for each one, in order
	// and before Respond or the response, and the service waits until it returns. It is
	// called at most [MaxInformational] times, on any goroutine. Nil: they are dropped.
	Inform func(head []byte)
}

// MaxInformational is how many informational heads an answer can have.
const MaxInformational = abi.MaxInformational

type exchangeKey struct{}

// streaming is the context of a call that can stream. [Waits] knows it.
type streaming struct {
	context.Context
	exchange *Exchange
}

// WithExchange returns a context for a call that can stream.
func WithExchange(ctx context.Context, x *Exchange) context.Context {
	return &streaming{ctx, x}
}

func (s *streaming) Value(key any) any {
	if key == (exchangeKey{}) {
		return s.exchange
	}
	return s.Context.Value(key)
}

// ExchangeOf returns the exchange of a call, or nil if neither its body nor its
// answer can stream.
func ExchangeOf(ctx context.Context) *Exchange {
	x, _ := ctx.Value(exchangeKey{}).(*Exchange)
	return x
}

// Readable returns how many bytes of a body wait, and whether a Read would return
// immediately, as far as the body says so: a stream.Pipe does.
func Readable(body io.Reader) (n int, ready bool) {
	if b, ok := body.(interface {
		Readable() (n int, ready, over bool)
	}); ok {
		n, ready, _ = b.Readable()
	}
	return n, ready
}
