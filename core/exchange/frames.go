package exchange

import (
	"encoding/binary"
	"io"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Of WebSocket: RFC 6455, sections 5.2, 5.5 and 7.4.
const (
	opClose     = 8
	final       = 0x80 // a frame that ends a message
	masked      = 0x80
	maxControl  = 125  // bytes of a frame that closes
	violation   = 1008 // the code for what is not allowed
	extended16  = 126
	extended64  = 127
	longestHead = 14
)

// frames follows the frames of a WebSocket: what is written goes through it. Nothing is
// kept of what is in them.
type frames struct {
	head   [longestHead]byte // of the next frame, as far as it has been written
	have   int
	rest   uint64 // bytes of the payload that are to come
	closed bool   // the service has said goodbye itself
}

// between reports whether another frame can be written.
func (f *frames) between() bool { return f.have == 0 && f.rest == 0 && !f.closed }

// wrote takes note of what has been written.
func (f *frames) wrote(p []byte) {
	for len(p) > 0 {
		if f.rest > 0 {
			n := min(f.rest, uint64(len(p)))
			f.rest -= n
			p = p[n:]
			continue
		}
		f.head[f.have] = p[0]
		f.have++
		p = p[1:]
		f.parse()
	}
}

// parse reads the head, if it is complete.
func (f *frames) parse() {
	if f.have < 2 {
		return
	}
	payload, size := uint64(f.head[1]&^masked), 2
	switch payload {
	case extended16:
		size, payload = 4, uint64(binary.BigEndian.Uint16(f.head[2:]))
	case extended64:
		size, payload = 10, binary.BigEndian.Uint64(f.head[2:])
	}
	if f.head[1]&masked != 0 {
		size += 4
	}
	if f.have == size {
		f.closed = f.closed || f.head[0]&0xf == opClose
		f.have, f.rest = 0, payload
	}
}

// closing returns the frame that ends a WebSocket with an error.
func closing(err error) []byte {
	text := fault.Cut(fault.FromError(err).Message, maxControl-2)
	frame := binary.BigEndian.AppendUint16([]byte{final | opClose, byte(2 + len(text))}, violation)
	return append(frame, text...)
}

// watched is a writer whose frames are followed.
type watched struct {
	io.Writer
	frames *frames
}

func (w watched) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.frames.wrote(p[:n])
	return n, err
}
