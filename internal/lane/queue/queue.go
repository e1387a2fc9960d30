// Package queue collects the frames of one end of a lane for its one writer.
//
// A message of a lane is nothing but "repeated Frame frames = 1", and such a
// message is the concatenation of its frames' encodings. So each producer
// encodes its own frame and the queue appends bytes. When Push has returned,
// the caller can reuse or change its frame, even if that has not been sent yet.
package queue

import (
	"errors"
	"runtime"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// SegmentSize is the size at which a message is full and the next one
	// begins. Even a slow link carries it well within the loss timeout.
	SegmentSize = 64 << 10
	// MaxFrame is the longest frame, encoded.
	MaxFrame = 1 << 20
	// size bounds the bytes that wait for a blocked writer.
	size = 32 << 20
)

// Errors of Push, for a queue that was closed and for one that is full.
var (
	ErrClosed = errors.New("lane ended")
	ErrFull   = errors.New("lane is stuck: its queue is full")
)

// Queue collects encoded frames for one writer. Its methods can be called from
// many goroutines, but Run only once.
type Queue struct {
	mu      sync.Mutex
	wake    sync.Cond // the writer waits here
	waiting bool      // it does
	segs    []segment // first in, first out; the last one is being filled
	bytes   int       // in segs
	seq     uint64    // of the frame pushed last
	taken   uint64    // of the last frame that was handed to the writer
	busy    bool      // something other than heartbeats was pushed since the last beat
	seen    uint64    // taken, as of the last beat
	stuck   int       // beats in which the writer took nothing although something waits
	closed  bool      // no more pushes
	dropped bool      // and the writer gets nothing more
	spare   []byte
	scratch sync.Pool // of *[]byte
}

type segment struct {
	buf  []byte
	last uint64
}

// New returns an empty queue.
func New() *Queue {
	q := &Queue{scratch: sync.Pool{New: func() any { return new([]byte) }}}
	q.wake.L = &q.mu
	return q
}

// Push encodes a frame and queues it. It never blocks on the peer. The number
// that it returns is for MayHaveBeenSent.
func (q *Queue) Push(frame proto.Message) (seq uint64, err error) { return q.put(frame, true) }

// Beat is Push for a heartbeat, after which the queue is as quiet as before.
func (q *Queue) Beat(frame proto.Message) { _, _ = q.put(frame, false) }

func (q *Queue) put(frame proto.Message, busy bool) (seq uint64, err error) {
	scratch := q.scratch.Get().(*[]byte)
	defer func() {
		if cap(*scratch) <= SegmentSize {
			q.scratch.Put(scratch)
		}
	}()
	b, err := proto.MarshalOptions{}.MarshalAppend((*scratch)[:0], frame)
	if err != nil {
		return 0, fault.Wrap(err, fault.RequestInvalid, "the request cannot be encoded: a text in it is not valid UTF-8")
	}
	*scratch = b
	if len(b) > MaxFrame {
		return 0, fault.New(fault.InputTooLarge, "a frame of %d bytes is over the limit of %d", len(b), MaxFrame)
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, ErrClosed
	}
	if q.bytes+len(b) > size {
		return 0, ErrFull
	}
	n := len(q.segs)
	if n == 0 || len(q.segs[n-1].buf)+len(b) > SegmentSize {
		q.segs = append(q.segs, segment{buf: q.spare[:0]})
		q.spare = nil
		n++
	}
	s := &q.segs[n-1]
	before := len(s.buf)
	s.buf = protowire.AppendTag(s.buf, 1, protowire.BytesType)
	s.buf = protowire.AppendBytes(s.buf, b)
	q.bytes += len(s.buf) - before
	q.seq++
	s.last = q.seq
	q.busy = q.busy || busy
	if q.waiting {
		q.waiting = false
		q.wake.Signal()
	}
	return q.seq, nil
}

// Run sends the queued frames until the queue is closed or send fails.
func (q *Queue) Run(send func(frames []byte) error) error {
	for {
		if !q.wait() {
			return nil
		}
		// Yield so that goroutines about to push can do so first; batching
		// their frames into one send is what makes the lane cheap.
		runtime.Gosched()
		for buf := q.take(); buf != nil; buf = q.take() {
			if err := send(buf); err != nil {
				return err
			}
			q.recycle(buf)
		}
	}
}

// wait waits for something to send. It returns false at the end of the queue.
func (q *Queue) wait() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.segs) == 0 {
		if q.closed {
			return false
		}
		q.waiting = true
		q.wake.Wait()
	}
	return true
}

// take returns the next message. From now on, its frames count as handed over.
func (q *Queue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dropped || len(q.segs) == 0 {
		return nil
	}
	s := q.segs[0]
	q.segs[0] = segment{}
	q.segs = q.segs[1:]
	if len(q.segs) == 0 {
		q.segs = nil
	}
	q.bytes -= len(s.buf)
	q.taken = s.last
	return s.buf
}

func (q *Queue) recycle(buf []byte) {
	if cap(buf) > 2*SegmentSize {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.spare == nil {
		q.spare = buf
	}
}

// MayHaveBeenSent reports whether the frame with this number may have been sent. The
// answer is final once the queue is closed without a flush.
func (q *Queue) MayHaveBeenSent(seq uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return seq <= q.taken
}

// Quiet reports whether nothing is queued, and nothing but heartbeats was pushed
// since the last call of Quiet.
func (q *Queue) Quiet() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	quiet := !q.busy && len(q.segs) == 0
	q.busy = false
	if q.taken == q.seen && len(q.segs) > 0 {
		q.stuck++
	} else {
		q.stuck = 0
	}
	q.seen = q.taken
	return quiet
}

// Bytes returns how many bytes wait for the writer.
func (q *Queue) Bytes() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// Standstill returns for how many beats the writer has made no progress.
func (q *Queue) Standstill() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stuck
}

// Close ends the queue. With flush, queued frames are still sent.
func (q *Queue) Close(flush bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if !flush {
		q.dropped = true
		q.segs, q.bytes, q.spare = nil, 0, nil
	}
	q.wake.Broadcast()
}
