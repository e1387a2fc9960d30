package stream

import (
	"io"
	"sync"
)

// Answer is where the writes of a call's own file go. It is like the guest's end
// of a [Pipe].
type Answer interface {
	TryWrite(p []byte) (int, error)
	Writable() (n int, ready, over bool)
	CloseWrite()
}

// File is a stream that a guest holds by number: what it reads, what it writes,
// and the head and trailers of the other side. Its methods are the guest's.
type File struct {
	// Nonblock is the guest's wish not to wait for this file.
	Nonblock bool

	in       *Pipe
	out      Answer // what the guest writes
	pipe     *Pipe  // the same; nil for a call's own file
	head     part
	trailers part
	datagram bool
	gone     bool   // the other side is, even if all it has sent was read
	begin    func() // starts what fills in, once; nil if nothing does
	cancel   func() // ends the host's part; nil if there is none
}

// Datagram reports whether the file keeps writes apart.
func (f *File) Datagram() bool { return f.datagram }

// start starts what fills the file when the guest first asks for it: a body that
// nobody reads costs nothing.
func (f *File) start() {
	if f.begin != nil {
		begin := f.begin
		f.begin = nil
		begin()
	}
}

// TryRead is [Pipe.TryRead]. A guest that reads bytes before the head does not
// wait for the head.
func (f *File) TryRead(to []byte) (int, error) {
	f.start()
	if f.gone {
		return 0, ErrGone
	}
	n, err := f.in.TryRead(to)
	if err == ErrWait {
		f.head.skip()
	}
	return n, err
}

// TryWrite is [Pipe.TryWrite].
func (f *File) TryWrite(from []byte) (int, error) { return f.out.TryWrite(from) }

// Readable is [Pipe.Readable]. A head that waits is readable, too.
func (f *File) Readable() (n int, ready, over bool) {
	f.start()
	if f.gone {
		return 0, true, true
	}
	n, ready, over = f.in.Readable()
	if !ready || over {
		if f.head.waits() {
			return n, true, false
		}
	}
	return n, ready, over
}

// Writable is [Pipe.Writable].
func (f *File) Writable() (n int, ready, over bool) { return f.out.Writable() }

// Head copies the next bytes of the head; 0 is its end, and ErrWait means that it
// is not there yet.
func (f *File) Head(to []byte) (int, error) {
	return f.head.read(to)
}

// Trailers is Head for the trailers. They are there when all of the body has
// arrived, even if it is not read yet; there may be none.
func (f *File) Trailers(to []byte) (int, error) {
	f.start()
	if f.gone {
		return 0, ErrGone
	}
	if n, err := f.trailers.read(to); err == nil {
		return n, nil
	}
	switch ended, err := f.in.ended(); {
	case !ended:
		return 0, ErrWait
	case err != io.EOF:
		return 0, err
	}
	return f.trailers.readEnded(to)
}

// CloseRead ends what the guest reads.
func (f *File) CloseRead() { f.in.Cut(nil) }

// CloseWrite ends what the guest writes: half a close.
func (f *File) CloseWrite() { f.out.CloseWrite() }

// close ends a file that the guest closed. What it wrote is still delivered.
func (f *File) close() {
	f.in.Cut(nil)
	f.pipe.End(nil)
	f.pipe.afterEnd(f.cancel)
}

// cut ends a file of a call that is over.
func (f *File) cut(err error) {
	f.in.Cut(err)
	f.pipe.Cut(err)
}

// part is a head or trailers: a goroutine of the host sets it, the guest reads it.
type part struct {
	mu    sync.Mutex
	bytes []byte
	there bool
	seen  bool // to its end, or the guest does not want it
}

// set reports whether it is the first.
func (p *part) set(bytes []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.there {
		return false
	}
	p.bytes, p.there, p.seen = bytes, true, len(bytes) == 0
	return true
}

func (p *part) read(to []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.there {
		return 0, ErrWait
	}
	n := copy(to, p.bytes)
	p.bytes = p.bytes[n:]
	p.seen = len(p.bytes) == 0
	return n, nil
}

// readEnded is read once nothing can be set any more.
func (p *part) readEnded(to []byte) (int, error) {
	if n, err := p.read(to); err == nil {
		return n, nil
	}
	return 0, nil
}

// waits reports whether there is something that the guest has not read.
func (p *part) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.there && !p.seen
}

// skip is what a guest does that reads the body before the head.
func (p *part) skip() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = p.seen || p.there
}
