// Package stream carries what streams in a call of kind http between a core and
// a runner: the rest of the caller's body one way, the answer the other way.
//
// [Call] is the core's end, [Remote] the runner's. The runner makes a request for
// each direction when it needs it: FetchBody when the guest first reads beyond
// what came with the call, and PushAnswer for an answer that is long, or that has an
// informational head. Each has a connection that carries nothing else meanwhile,
// so TCP is the flow control, and no stream holds up another one.
//
// An answer begins on the lane, so its first byte waits for no request, and a short one
// needs none. The core says with the call how much can come that way, and holds it until
// the caller takes it. PushAnswer carries the rest, and says how many pieces came
// before. A core that says nothing gets all of it by PushAnswer.
//
// # Ends
//
// A body ends with a message that says so, or, on the lane, with the response to the
// call. Everything else is a body that broke off, and its reader gets an error that is
// not io.EOF. If it broke off because of what carries it, and not because of who sent
// it, the call fails with STREAM_BROKEN, on both ends.
//
// An answer that has informational heads, and does not stream otherwise, is one
// without a head here. It is on the lane, and the runner sends it when the core has
// passed on those heads.
//
// # Bounds
//
// Each end holds one piece of a body, and a call has one body and one answer. The core
// also holds what came of an answer on the lane, at most [Room]. When the call is over,
// both ends interrupt what still reads or writes and wait for it.
package stream

import (
	"errors"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// Room is how many bytes of an answer can come on the lane, with its head.
	Room = 16 << 10
	// Piece is how much of a body a message carries at most, in bytes.
	Piece = 32 << 10
	// MaxHead is the longest head, and the longest trailers, in bytes.
	MaxHead = 64 << 10
	// MaxMessage is the longest message: one piece with a head or with trailers.
	MaxMessage = Piece + MaxHead + 1<<10
	// MaxCalls is how many calls of kind http a lane carries at the same time. Both
	// ends rely on it, so it is a part of the protocol.
	MaxCalls = 4096
)

// lingering is how long the last bytes of a stream can wait for their reader.
const lingering = 10 * time.Second

// past interrupts what reads or writes, as a deadline.
var past = time.Unix(1, 0)

// pieces are buffers for what is sent.
var pieces = sync.Pool{New: func() any { return new([Piece]byte) }}

// errNoEnd is the cause of a body that stopped without its end.
var errNoEnd = errors.New("it stopped without its end")

// broken returns the error for a stream that broke off because of what carries it.
func broken(cause error, what string) *fault.Error {
	return fault.Wrap(cause, fault.StreamBroken, "the stream of the %s between core and runner broke off", what).
		WithFix("call again if the service may run twice; the logs of the core and the runner say why")
}
