package lane

import (
	"errors"
	"runtime"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// segmentSize is the size at which a message is full and the next one
	// begins. Even a slow link carries it well within the loss timeout.
	segmentSize = 64 << 10
	// queueSize bounds the bytes that wait for a blocked writer.
	queueSize = 32 << 20
)

var (
	errClosed = errors.New("lane ended")
	errFull   = errors.New("lane is stuck: its queue is full")
)

// queue collects encoded frames for one writer.
//
// A message of the lane is nothing but "repeated Frame frames = 1", and such a
// message is the concatenation of its frames' encodings. So each producer
// encodes its own frame and the queue appends bytes. When push has returned,
// the caller can reuse or change its request, even if the frame has not been
// sent yet.
type queue struct {
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

func newQueue() *queue {
	q := &queue{scratch: sync.Pool{New: func() any { return new([]byte) }}}
	q.wake.L = &q.mu
	return q
}

// push encodes a frame and queues it. It never blocks on the peer. The number
// that it returns is for mayHaveBeenSent.
func (q *queue) push(frame proto.Message) (seq uint64, err error) { return q.put(frame, true) }

// beat is push for a heartbeat, after which the queue is as quiet as before.
func (q *queue) beat(frame proto.Message) { _, _ = q.put(frame, false) }

func (q *queue) put(frame proto.Message, busy bool) (seq uint64, err error) {
	scratch := q.scratch.Get().(*[]byte)
	defer func() {
		if cap(*scratch) <= segmentSize {
			q.scratch.Put(scratch)
		}
	}()
	b, err := proto.MarshalOptions{}.MarshalAppend((*scratch)[:0], frame)
	if err != nil {
		return 0, fault.Wrap(err, fault.RequestInvalid, "the request cannot be encoded: a text in it is not valid UTF-8")
	}
	*scratch = b
	if len(b) > maxFrame {
		return 0, fault.New(fault.InputTooLarge, "a frame of %d bytes is over the limit of %d", len(b), maxFrame)
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, errClosed
	}
	if q.bytes+len(b) > queueSize {
		return 0, errFull
	}
	n := len(q.segs)
	if n == 0 || len(q.segs[n-1].buf)+len(b) > segmentSize {
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

// run sends the queued frames until the queue is closed or send fails.
func (q *queue) run(send func(frames []byte) error) error {
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
func (q *queue) wait() bool {
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
func (q *queue) take() []byte {
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

func (q *queue) recycle(buf []byte) {
	if cap(buf) > 2*segmentSize {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.spare == nil {
		q.spare = buf
	}
}

// mayHaveBeenSent reports whether the frame with this number may have been sent. The
// answer is final once the queue is closed without a flush.
func (q *queue) mayHaveBeenSent(seq uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return seq <= q.taken
}

// quiet reports whether nothing is queued, and nothing but heartbeats was pushed
// since the last call of quiet.
func (q *queue) quiet() bool {
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

// standstill returns for how many beats the writer has made no progress.
func (q *queue) standstill() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stuck
}

// close ends the queue. With flush, queued frames are still sent.
func (q *queue) close(flush bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if !flush {
		q.dropped = true
		q.segs, q.bytes, q.spare = nil, 0, nil
	}
	q.wake.Broadcast()
}
