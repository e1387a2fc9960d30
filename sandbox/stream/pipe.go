package stream

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	// Window is how many bytes can wait in a pipe.
	Window = 64 << 10
	// maxDatagrams is how many datagrams can wait in a pipe, as empty ones have no
	// bytes.
	maxDatagrams = 256
)

// ErrWait means that nothing can be moved yet.
var ErrWait = errors.New("nothing can be moved yet")

// wake tells a guest that something changed. All pipes of an exchange share one.
type wake struct {
	c     chan struct{} // capacity 1
	moved atomic.Uint64 // how often bytes moved
}

func newWake() *wake { return &wake{c: make(chan struct{}, 1)} }

// signal never waits: one signal that is not received yet is enough.
func (w *wake) signal() {
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// Pipe carries bytes one way between a guest and its host. The guest's end never
// waits ([Pipe.TryRead], [Pipe.TryWrite]), because the guest decides how it waits;
// the host's end is an [io.Reader] or an [io.Writer] that does.
//
// A pipe of datagrams keeps its writes apart. It accepts a datagram while fewer
// than Window bytes wait, so at most two windows can.
type Pipe struct {
	mu        sync.Mutex
	changed   sync.Cond // the host's end waits on it
	wake      *wake
	buf       []byte // what waits is buf[off:]
	off       int
	datagrams bool
	packets   [][]byte
	waiting   int    // bytes of packets
	end       error  // of readers, once nothing waits; nil until then
	closed    error  // of writers; nil until then
	seen      bool   // a reader has seen the end, or will not read any more
	onEnd     func() // called when seen becomes true, with the lock held
}

func newPipe(w *wake, datagrams bool) *Pipe {
	p := &Pipe{wake: w, datagrams: datagrams}
	p.changed.L = &p.mu
	return p
}

// newWhole returns a pipe that already has all its bytes, which it never changes.
func newWhole(w *wake, b []byte) *Pipe {
	p := newPipe(w, false)
	p.buf, p.end, p.closed = b, io.EOF, io.ErrClosedPipe
	return p
}

// TryRead reads without waiting: ErrWait means that nothing is there yet. Of a
// datagram that does not fit, the rest is lost.
func (p *Pipe) TryRead(to []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.read(to)
	if n > 0 || err == nil {
		p.changed.Broadcast()
	}
	return n, err
}

// TryWrite writes as much as the window takes, without waiting: ErrWait means
// that it takes nothing yet.
func (p *Pipe) TryWrite(from []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.write(from)
	if n > 0 || err == nil {
		p.changed.Broadcast()
	}
	return n, err
}

// Read waits until there is something to read.
func (p *Pipe) Read(to []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		n, err := p.read(to)
		if err != ErrWait {
			p.wake.signal()
			return n, err
		}
		p.changed.Wait()
	}
}

// Write waits until the window has taken all of it.
func (p *Pipe) Write(from []byte) (done int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		n, err := p.write(from[done:])
		if done += n; n > 0 || err == nil {
			p.wake.signal()
		}
		switch {
		case err == ErrWait:
			p.changed.Wait()
		case err != nil || done == len(from):
			return done, err
		}
	}
}

func (p *Pipe) read(to []byte) (int, error) {
	if len(p.packets) > 0 {
		n := copy(to, p.packets[0])
		p.waiting -= len(p.packets[0])
		p.packets[0] = nil
		p.packets = p.packets[1:]
		p.wake.moved.Add(1)
		return n, nil
	}
	if len(to) == 0 && !p.datagrams {
		return 0, nil
	}
	if n := copy(to, p.buf[p.off:]); n > 0 {
		if p.off += n; p.off == len(p.buf) {
			p.off = 0
			if p.buf = p.buf[:0]; p.closed != nil {
				p.buf = nil
			}
		}
		p.wake.moved.Add(1)
		return n, nil
	}
	if p.end == nil {
		return 0, ErrWait
	}
	p.sawEnd()
	return 0, p.end
}

func (p *Pipe) write(from []byte) (int, error) {
	if p.closed != nil {
		return 0, p.closed
	}
	if p.datagrams {
		switch {
		case len(from) > Window:
			return 0, syscall.EMSGSIZE
		case p.waiting >= Window || len(p.packets) >= maxDatagrams:
			return 0, ErrWait
		}
		p.packets = append(p.packets, append([]byte(nil), from...))
		p.waiting += len(from)
		p.wake.moved.Add(1)
		return len(from), nil
	}
	if len(from) == 0 {
		return 0, nil
	}
	n := min(len(from), Window-(len(p.buf)-p.off))
	if n == 0 {
		return 0, ErrWait
	}
	p.grow(n)
	p.buf = append(p.buf, from[:n]...)
	p.wake.moved.Add(1)
	return n, nil
}

// grow makes room for n bytes at the end of buf, which the window has. The buffer
// never becomes larger than the window.
func (p *Pipe) grow(n int) {
	if len(p.buf)+n <= cap(p.buf) {
		return
	}
	waiting := len(p.buf) - p.off
	to := p.buf[:0]
	if waiting+n > cap(p.buf) {
		to = make([]byte, 0, min(max(2*cap(p.buf), waiting+n), Window))
	}
	p.buf, p.off = append(to, p.buf[p.off:]...), 0
}

// End says that nothing more will be written. Readers get err, or io.EOF if it is
// nil, when they have read what waits. Only the first End counts.
func (p *Pipe) End(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end == nil {
		p.end = orEOF(err)
	}
	if p.closed == nil {
		p.closed = io.ErrClosedPipe
	}
	p.notify()
}

// CloseWrite is End without an error, for [Answer].
func (p *Pipe) CloseWrite() { p.End(nil) }

// Cut ends the pipe immediately: what waits is dropped, and both ends get err. If
// err is nil, readers get io.EOF and writers io.ErrClosedPipe.
func (p *Pipe) Cut(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost := len(p.buf) > p.off || len(p.packets) > 0
	if p.end == nil || lost && err != nil {
		p.end = orEOF(err)
	}
	if p.closed == nil {
		if p.closed = err; err == nil {
			p.closed = io.ErrClosedPipe
		}
	}
	p.buf, p.off, p.packets, p.waiting = nil, 0, nil, 0
	p.sawEnd()
	p.notify()
}

// afterEnd calls f once a reader has seen the end, so that it is done with what it
// read before; immediately if one has.
func (p *Pipe) afterEnd(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen {
		f()
		return
	}
	p.onEnd = f
}

func (p *Pipe) sawEnd() {
	p.seen = true
	if p.onEnd != nil {
		p.onEnd()
		p.onEnd = nil
	}
}

func (p *Pipe) notify() {
	p.changed.Broadcast()
	p.wake.signal()
}

// Readable returns how many bytes wait, whether a read would return immediately,
// and whether it would return the end.
func (p *Pipe) Readable() (n int, ready, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n = len(p.buf) - p.off + p.waiting; n > 0 || len(p.packets) > 0 {
		return n, true, false
	}
	return 0, p.end != nil, p.end != nil
}

// Writable returns how many bytes the window takes, whether a write would return
// immediately, and whether it would fail.
func (p *Pipe) Writable() (n int, ready, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch n = max(Window-(len(p.buf)-p.off)-p.waiting, 0); {
	case p.closed != nil:
		return 0, true, true
	case len(p.packets) >= maxDatagrams:
		n = 0
	}
	return n, n > 0, false
}

// ended reports whether the writer has ended, even if something waits.
func (p *Pipe) ended() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end != nil, p.end
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}
