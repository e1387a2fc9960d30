package stream

import (
	"context"
	"errors"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Opener opens the outbound streams of guests. It decides what a guest can reach.
type Opener interface {
	// Open connects a stream and carries its bytes until both directions have
	// ended. It runs on a goroutine of its own. Its ctx ends with the call, and
	// when the guest has closed the stream and Read has returned the end of what it
	// wrote; then Open must return soon, and the call waits for it. An opener that
	// does not read calls [Peer.CloseRead]. An error before
	// [Peer.Head] becomes the head, with its reason if it is a [*fault.Error]; an
	// error after it breaks the stream off.
	Open(ctx context.Context, o *Outbound, p *Peer) error
}

// Peer is the host's end of an outbound stream. Reads and writes wait; they end
// with the call.
type Peer struct{ f *File }

// Read reads what the guest writes; [io.EOF] is where it stopped.
func (p *Peer) Read(to []byte) (int, error) { return p.f.pipe.Read(to) }

// Write passes bytes to the guest. It waits while a window of them is unread.
func (p *Peer) Write(from []byte) (int, error) { return p.f.in.Write(from) }

// CloseWrite says that the guest gets no more.
func (p *Peer) CloseWrite() { p.f.in.End(nil) }

// CloseRead refuses what the guest still writes.
func (p *Peer) CloseRead() { p.f.pipe.Cut(nil) }

// Head sets the head that the guest reads, encoded as package abi says. Only the
// first one counts.
func (p *Peer) Head(head []byte) {
	if p.f.head.set(head) {
		p.f.in.wake.signal()
	}
}

// Trailers sets the trailers. It must precede CloseWrite.
func (p *Peer) Trailers(trailers []byte) { p.f.trailers.set(trailers) }

// maxMessage bounds the message of an error that a guest reads.
const maxMessage = 1 << 10

// Reasons in the head of an outbound stream that failed.
const (
	// ReasonBlocked is that of an opener's error if it refuses a stream.
	ReasonBlocked fault.Reason = "EGRESS_BLOCKED"
	reasonFailed  fault.Reason = "EGRESS_FAILED"
)

// errNoNetwork is what a guest reads that no opener serves.
var errNoNetwork = &fault.Error{Reason: ReasonBlocked, Message: "the service has no grant for the network"}

// finish ends a stream whose opener has returned.
func (p *Peer) finish(err error) {
	if err == nil {
		p.f.in.End(nil)
		p.f.pipe.Cut(nil)
		p.Head(nil)
		return
	}
	reason := reasonFailed
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Reason != "" {
		reason = e.Reason
	}
	text := err.Error()
	head := abi.AppendField(nil, abi.HeadError, string(reason))
	// In this order: a guest that learns of the error finds why in the head.
	p.f.head.set(abi.AppendField(head, abi.HeadMessage, fault.Cut(text, maxMessage)))
	p.f.in.End(err)
	p.f.pipe.Cut(err)
}
