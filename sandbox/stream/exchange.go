// Package stream carries bytes between a guest and its host: a body, an answer
// and outbound streams, while the call runs.
//
// An [Exchange] is the part of a call that streams. It has a table of files, which
// the guest holds by number, and one channel that tells the guest when something
// changed. Each [File] is two bounded pipes, a head and trailers.
//
//	x := stream.New(stream.Config{Context: ctx, Body: body, Responder: responder})
//	// the guest: x.Own(nil, answer).TryRead, x.Respond, x.TryWrite, x.Open; it waits on x.Wake
//	x.End(err)
//	err, bug := x.Wait(ctx, deadline)
//
// # Promises
//
//   - The guest's side never waits, and starts no goroutine before it needs one.
//   - What waits is bounded: 64 KiB per pipe, [MaxFiles] files, [MaxHead] per head.
//     A side that is faster than the other one waits.
//   - End ends every pipe, whatever anybody does with it, and after Wait no
//     goroutine of the exchange is left.
//   - A stream that broke off does not look like one that ended.
//
// An Exchange and its Files are used by one goroutine, the one that runs the guest;
// pipes are safe for concurrent use.
package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/panics"
)

const (
	// MaxFiles is how many files a call can have at the same time, and how many
	// outbound streams, including closed ones whose last bytes are still on their
	// way.
	MaxFiles = 64
	// FirstFile is the number of the first one. Lower numbers are the standard
	// streams and the empty directory.
	FirstFile = 4
	// pieces is how much of a body is read at a time.
	pieces = 32 << 10
)

// Errors of streams.
var (
	// ErrInputLimit is what a guest reads whose body exceeds its limit.
	ErrInputLimit = errors.New("the body is over its limit")
	// ErrOutputLimit is that of an answer over its limit.
	ErrOutputLimit = errors.New("the output is over its limit")
	// ErrAborted is what the responder reads if the guest failed after its answer
	// began.
	ErrAborted = errors.New("the service failed after its answer began")
	// ErrGone is what a guest reads and writes whose caller is gone.
	ErrGone = fmt.Errorf("the caller is gone: %w", syscall.ECONNRESET)
	// errOver ends what is open when the call is over.
	errOver = errors.New("the call is over")
)

// Responder takes an answer that streams.
type Responder interface {
	// Stream is called at most once, on a goroutine of its own, with the head as the
	// guest wrote it; nil if it wrote none. It reads body to its end: io.EOF, or
	// another error if the answer broke off. If it returns earlier, the guest's
	// writes fail. It must return soon after body has ended.
	Stream(head []byte, body io.Reader)
}

// Informer is a [Responder] that takes informational heads, too: those with a
// status from 100 to 199, except 101.
type Informer interface {
	// Inform is called for each one, in order and before Stream, on a goroutine of
	// its own. The guest goes on when it returns, and so does a call that is over.
	Inform(head []byte)
}

// Config of an exchange.
type Config struct {
	// Context of the outbound streams, which End ends, too.
	Context context.Context
	// Body of the request if it streams; else nil. It is read on a
	// goroutine of its own once the guest asks for it. If it is an io.Closer, End
	// closes it, which must end a Read in flight: Wait waits for that.
	Body io.Reader
	// Trailers returns those of the request after the end of Body. Nil: none.
	Trailers func() []byte
	// MaxInput is how many bytes of Body the guest can read.
	MaxInput int64
	// Responder takes the answer if it streams. Nil means that it never does.
	Responder Responder
	// Opener opens outbound streams. Nil means that there is no network.
	Opener Opener
}

// Exchange is the part of a call that streams.
type Exchange struct {
	cfg     Config
	wake    *wake
	files   []*File // by number, from FirstFile
	own     *File
	out     *Pipe // the answer, once it streams
	gone    bool  // the caller is
	early   early
	ctx     context.Context
	cancel  context.CancelFunc
	pumps   sync.WaitGroup
	open    atomic.Int32 // outbound streams
	tooMuch atomic.Int64 // bytes of a body over the limit

	mu  sync.Mutex
	bug error // the first panic of a body, a responder or an opener
}

// New returns an exchange. It needs no End as long as nothing was asked of it.
func New(cfg Config) *Exchange { return &Exchange{cfg: cfg, wake: newWake()} }

// Wake receives a value when something may have changed since the last one.
func (x *Exchange) Wake() <-chan struct{} { return x.wake.c }

// Moved counts how often bytes moved, in any direction.
func (x *Exchange) Moved() uint64 { return x.wake.moved.Load() }

// Streams reports whether the request's body streams.
func (x *Exchange) Streams() bool { return x.cfg.Body != nil }

// CanRespond reports whether the answer can stream.
func (x *Exchange) CanRespond() bool { return x.cfg.Responder != nil }

// Responds reports whether the answer streams.
func (x *Exchange) Responds() bool { return x.out != nil }

// InputExcess is how many bytes the body had when it was found to be over its
// limit, or 0.
func (x *Exchange) InputExcess() int64 { return x.tooMuch.Load() }

// Own returns the file of the call itself, for reading: the request's body, or
// input, which it does not change, if that does not stream. What is written to it
// is the answer.
func (x *Exchange) Own(input []byte, answer Answer) *File {
	if x.own != nil {
		return x.own
	}
	f := &File{out: answer, gone: x.gone}
	f.head.set(nil) // the guest reads it with head_read
	if x.cfg.Body == nil {
		f.in = newWhole(x.wake, input)
	} else {
		f.in = newPipe(x.wake, false)
		f.begin = func() { x.pump(func() error { return x.fill(f) }, f.in.End) }
	}
	x.own = f
	return f
}

// fill reads the request's body into the file of the call.
func (x *Exchange) fill(f *File) error {
	buf := make([]byte, pieces)
	empty := 0
	for total := int64(0); ; {
		n, err := x.cfg.Body.Read(buf)
		if total += int64(n); total > x.cfg.MaxInput {
			x.tooMuch.Store(total)
			return ErrInputLimit
		}
		if empty++; n > 0 {
			empty = 0
			if _, err := f.in.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			if x.cfg.Trailers != nil {
				f.trailers.set(x.cfg.Trailers())
			}
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err) // whatever it was, the body broke off
		case empty == 100:
			return io.ErrNoProgress
		}
	}
}

// pump runs f on a goroutine and passes its error on. A panic is an error, too.
func (x *Exchange) pump(f func() error, done func(error)) {
	x.pumps.Go(func() {
		err := panics.Try(f)
		if bug, ok := errors.AsType[*panics.Error](err); ok {
			x.mu.Lock()
			if x.bug == nil {
				x.bug = bug
			}
			x.mu.Unlock()
			err = errors.New("internal error in the host")
		}
		done(err)
	})
}

// Respond begins to stream the answer. It begins with first, at most a window,
// which the exchange keeps.
func (x *Exchange) Respond(head, first []byte) {
	out := newPipe(x.wake, false)
	out.buf = first
	x.out = out
	x.pump(func() error {
		x.cfg.Responder.Stream(head, out)
		return nil
	}, out.Cut)
}

// early counts informational heads.
type early struct{ heads, bytes int }

// Inform hands an informational head over, which the exchange keeps. taken reports
// whether the responder is done with it; nil if it takes none. Inform returns false
// if there were too many.
func (x *Exchange) Inform(head []byte) (taken func() bool, ok bool) {
	x.early = early{x.early.heads + 1, x.early.bytes + len(head)}
	if x.early.heads > abi.MaxInformational || x.early.bytes > MaxHead {
		return nil, false
	}
	i, ok := x.cfg.Responder.(Informer)
	if !ok {
		return nil, true
	}
	done := new(atomic.Bool)
	x.pump(func() error { i.Inform(head); return nil }, func(error) {
		done.Store(true)
		x.wake.moved.Add(1)
		x.wake.signal()
	})
	return done.Load, true
}

// TryWrite writes to the answer that streams; see [Pipe.TryWrite].
func (x *Exchange) TryWrite(p []byte) (int, error) { return x.out.TryWrite(p) }

// Writable is [Pipe.Writable] of the answer that streams.
func (x *Exchange) Writable() (n int, ready, over bool) { return x.out.Writable() }

// CloseWrite ends the answer that streams.
func (x *Exchange) CloseWrite() { x.out.End(nil) }

// Hangup ends the body and the answer, because the caller is gone. Outbound streams
// go on.
func (x *Exchange) Hangup() {
	x.gone = true
	if x.own != nil {
		x.own.gone, x.own.begin = true, nil
		x.own.in.Cut(ErrGone)
	}
	if x.out != nil {
		x.out.Cut(ErrGone)
	}
}

// Gone reports whether Hangup was called.
func (x *Exchange) Gone() bool { return x.gone }

// File returns the file with a number, or nil.
func (x *Exchange) File(fd uint32) *File {
	if n := int64(fd) - FirstFile; n >= 0 && n < int64(len(x.files)) {
		return x.files[n]
	}
	return nil
}

// Number returns the number of a file, which it gets if it has none. It returns
// false if there are too many files.
func (x *Exchange) Number(f *File) (fd int32, ok bool) {
	free := -1
	for n, have := range x.files {
		switch {
		case have == f:
			return int32(n + FirstFile), true
		case have == nil && free < 0:
			free = n
		}
	}
	if free < 0 {
		if len(x.files) == MaxFiles {
			return 0, false
		}
		x.files = append(x.files, nil)
		free = len(x.files) - 1
	}
	x.files[free] = f
	return int32(free + FirstFile), true
}

// Close closes a number. The file of the call itself stays as it is.
func (x *Exchange) Close(fd uint32) {
	f := x.File(fd)
	x.files[fd-FirstFile] = nil
	if f != x.own {
		f.close()
	}
}

// Open begins an outbound stream and returns its number, before anything of it is
// resolved. It returns false if there are too many.
func (x *Exchange) Open(o *Outbound) (fd int32, ok bool) {
	if x.open.Load() >= MaxFiles {
		return 0, false
	}
	datagram := o.URL.Scheme == "udp"
	out := newPipe(x.wake, datagram)
	f := &File{in: newPipe(x.wake, datagram), out: out, pipe: out, datagram: datagram}
	if fd, ok = x.Number(f); !ok {
		return 0, false
	}
	if x.ctx == nil {
		x.ctx, x.cancel = context.WithCancel(x.cfg.Context)
	}
	ctx, cancel := context.WithCancel(x.ctx)
	f.cancel = cancel
	p := &Peer{f}
	if x.cfg.Opener == nil {
		p.finish(errNoNetwork)
		return fd, true
	}
	x.open.Add(1)
	x.pump(func() error { return x.cfg.Opener.Open(ctx, o, p) }, func(err error) {
		p.finish(err)
		cancel()
		x.open.Add(-1)
	})
	return fd, true
}

// End is called when the guest has returned. It ends everything but an answer that
// streams, whose last bytes are still to be read; err, unless it is nil, breaks
// it off.
func (x *Exchange) End(err error) {
	for _, f := range x.files {
		if f != nil && f != x.own {
			f.cut(errOver)
		}
	}
	if x.own != nil {
		x.own.begin = nil
		x.own.in.Cut(errOver)
	}
	if x.out != nil {
		x.out.End(err)
	}
	if x.cancel != nil {
		x.cancel()
	}
	if c, ok := x.cfg.Body.(io.Closer); ok {
		_ = c.Close() // nobody reads it any more
	}
}

// Wait waits after End for the goroutines of the exchange, and so until the answer
// was read. If ctx or the deadline ends first, what is left of the answer is
// dropped, and the error says so. bug is a panic of what the host handed over.
func (x *Exchange) Wait(ctx context.Context, deadline time.Time) (err, bug error) {
	if x.out != nil {
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		stop := context.AfterFunc(ctx, func() { x.out.Cut(context.Cause(ctx)) })
		defer stop()
	}
	x.pumps.Wait()
	if x.out != nil {
		if _, end := x.out.ended(); end != io.EOF {
			err = end
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return err, x.bug
}
