package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/panics"
)

type openFunc func(ctx context.Context, o *Outbound, p *Peer) error

func (f openFunc) Open(ctx context.Context, o *Outbound, p *Peer) error { return f(ctx, o, p) }

type respondFunc func(head []byte, body io.Reader)

func (f respondFunc) Stream(head []byte, body io.Reader) { f(head, body) }

// nowhere is an answer that takes nothing.
type nowhere struct{}

func (nowhere) TryWrite([]byte) (int, error)        { return 0, io.ErrClosedPipe }
func (nowhere) Writable() (n int, ready, over bool) { return 0, true, true }
func (nowhere) CloseWrite()                         {}
func soon() time.Time                               { return time.Now().Add(time.Minute) }
func outbound(t testing.TB, url string) *Outbound {
	t.Helper()
	o, err := ParseOutbound(head(":url", url))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// until calls try as a guest does: again after each change.
func until(x *Exchange, try func() (int, error)) (int, error) {
	for {
		if n, err := try(); err != ErrWait {
			return n, err
		}
		<-x.Wake()
	}
}

func TestBodyIsReadOnlyIfAskedFor(t *testing.T) {
	body := &counted{r: strings.NewReader("hello")}
	x := New(Config{Body: body, MaxInput: 100, Trailers: func() []byte { return head("a", "b") }})
	f := x.Own(nil, nowhere{})
	if n, ok := x.Number(f); n != FirstFile || !ok {
		t.Errorf("the number is %d", n)
	}
	if body.reads != 0 {
		t.Error("the body is read before the guest asks for it")
	}
	buf := make([]byte, 100)
	if n, err := until(x, func() (int, error) { return f.TryRead(buf) }); string(buf[:n]) != "hello" || err != nil {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	if _, err := until(x, func() (int, error) { return f.TryRead(buf) }); err != io.EOF {
		t.Errorf("the end: %v", err)
	}
	if n, err := f.Trailers(buf); !bytes.Equal(buf[:n], head("a", "b")) || err != nil {
		t.Errorf("the trailers: %q, %v", buf[:n], err)
	}
	if n, err := f.Head(buf); n != 0 || err != nil {
		t.Errorf("the head: %d, %v", n, err)
	}
	x.End(nil)
	if err, bug := x.Wait(t.Context(), soon()); err != nil || bug != nil || !body.closed {
		t.Errorf("%v, %v; closed %t", err, bug, body.closed)
	}
}

type counted struct {
	r      io.Reader
	reads  int
	closed bool
}

func (c *counted) Read(p []byte) (int, error) { c.reads++; return c.r.Read(p) }
func (c *counted) Close() error               { c.closed = true; return nil }

func TestInputLimit(t *testing.T) {
	x := New(Config{Body: strings.NewReader("hello"), MaxInput: 4})
	f := x.Own(nil, nowhere{})
	if _, err := until(x, func() (int, error) { return f.TryRead(make([]byte, 10)) }); err != ErrInputLimit || x.InputExcess() != 5 {
		t.Errorf("got %v, %d bytes", err, x.InputExcess())
	}
	if _, err := f.Trailers(nil); err != ErrInputLimit {
		t.Errorf("trailers: %v", err)
	}
	x.End(nil)
	_, _ = x.Wait(t.Context(), soon())
}

// A body that returns nothing forever ends.
func TestBodyWithoutProgress(t *testing.T) {
	x := New(Config{Body: nothing{}, MaxInput: 4})
	f := x.Own(nil, nowhere{})
	if _, err := until(x, func() (int, error) { return f.TryRead(make([]byte, 10)) }); err != io.ErrNoProgress {
		t.Errorf("got %v", err)
	}
	x.End(nil)
	_, _ = x.Wait(t.Context(), soon())
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

// TestBugsOfTheHost: a panic of what the host handed over neither ends the process
// nor looks like an end to the guest.
func TestBugsOfTheHost(t *testing.T) {
	x := New(Config{
		Context: t.Context(), Body: bug{}, MaxInput: 4,
		Responder: respondFunc(func([]byte, io.Reader) { panic("responder") }),
		Opener:    openFunc(func(context.Context, *Outbound, *Peer) error { panic("opener") }),
	})
	f := x.Own(nil, nowhere{})
	if _, err := until(x, func() (int, error) { return f.TryRead(make([]byte, 1)) }); err == nil || err == io.EOF {
		t.Errorf("the body ends with %v", err)
	}
	x.Respond(nil, nil)
	for err := error(nil); err == nil || err == ErrWait; {
		_, err = x.TryWrite(make([]byte, 1000))
	}
	fd, _ := x.Open(outbound(t, "tcp://a:1"))
	buf := make([]byte, 1000)
	if n, err := until(x, func() (int, error) { return x.File(uint32(fd)).Head(buf) }); err != nil || !bytes.Contains(buf[:n], []byte("EGRESS_FAILED")) {
		t.Errorf("the head: %q, %v", buf[:n], err)
	}
	x.End(nil)
	_, bug := x.Wait(t.Context(), soon())
	if _, ok := errors.AsType[*panics.Error](bug); !ok {
		t.Errorf("got %v", bug)
	}
}

type bug struct{}

func (bug) Read([]byte) (int, error) { panic("body") }

// What a guest wrote before it closed a stream is delivered, and then the opener is
// told to end.
func TestCloseDelivers(t *testing.T) {
	got := make(chan string, 1)
	x := New(Config{Context: t.Context(), Opener: openFunc(func(ctx context.Context, _ *Outbound, p *Peer) error {
		p.Head(nil)
		b, _ := io.ReadAll(p)
		<-ctx.Done()
		got <- string(b)
		return nil
	})})
	fd, _ := x.Open(outbound(t, "tcp://a:1"))
	if _, err := x.File(uint32(fd)).TryWrite([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	x.Close(uint32(fd))
	if x.File(uint32(fd)) != nil {
		t.Error("it is still open")
	}
	if b := <-got; b != "last words" {
		t.Errorf("got %q", b)
	}
	x.End(nil)
	_, _ = x.Wait(t.Context(), soon())
}

func TestTableIsBounded(t *testing.T) {
	hold := openFunc(func(ctx context.Context, _ *Outbound, _ *Peer) error { <-ctx.Done(); return ctx.Err() })
	x := New(Config{Context: t.Context(), Opener: hold})
	for n := range MaxFiles {
		if fd, ok := x.Open(outbound(t, "tcp://a:1")); !ok || int(fd) != FirstFile+n {
			t.Fatalf("number %d is %d, %t", n, fd, ok)
		}
	}
	if _, ok := x.Open(outbound(t, "tcp://a:1")); ok {
		t.Error("one too many")
	}
	if _, ok := x.Number(x.Own(nil, nowhere{})); ok {
		t.Error("one too many, of the call itself")
	}
	for _, fd := range []uint32{0, 3, FirstFile + MaxFiles, 1<<32 - 1} {
		if x.File(fd) != nil {
			t.Errorf("%d is open", fd)
		}
	}
	x.End(nil)
	_, _ = x.Wait(t.Context(), soon())
}

// An answer that nobody reads on ends with the call's context or its deadline, and
// the call learns that it was not read.
func TestWaitEnds(t *testing.T) {
	for _, deadline := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		var err error
		x := New(Config{Responder: respondFunc(func(_ []byte, body io.Reader) {
			buf := make([]byte, 1)
			for err == nil {
				_, err = body.Read(buf)
				if !deadline {
					cancel()
				}
			}
		})})
		x.Respond(nil, []byte("first"))
		at := soon()
		if deadline {
			at = time.Now().Add(5 * time.Millisecond)
		} else {
			x.End(nil)
		}
		// Without End, the answer goes on: only the deadline ends it.
		cut, _ := x.Wait(ctx, at)
		if cancel(); deadline && !errors.Is(err, context.DeadlineExceeded) || err == nil || err == io.EOF != (cut == nil) {
			t.Errorf("deadline %t: the responder got %v, the call %v", deadline, err, cut)
		}
	}
}

// TestSoak opens streams and cuts them at random, from both ends. Nothing is left,
// which TestMain sees.
func TestSoak(t *testing.T) {
	calls := 300
	if testing.Short() {
		calls = 30
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(worker)))
			for range calls / 4 {
				if err := soak(t, r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func soak(t *testing.T, r *rand.Rand) error {
	seeds := make(chan uint64, 100)
	for range cap(seeds) {
		seeds <- r.Uint64()
	}
	body, send := io.Pipe()
	x := New(Config{
		Context: t.Context(), Body: body, MaxInput: 1 << 20,
		Responder: respondFunc(func(_ []byte, b io.Reader) { _, _ = io.CopyN(io.Discard, b, int64(<-seeds%200_000)) }),
		Opener: openFunc(func(ctx context.Context, _ *Outbound, p *Peer) error {
			switch s := <-seeds; s % 5 {
			case 0:
				return errors.New("refused")
			case 1:
				p.Head(abi.AppendField(nil, ":remote", "x"))
				_, err := p.Write(make([]byte, s%100_000))
				return err
			case 2:
				_, err := io.Copy(io.Discard, p)
				return err
			case 3:
				p.CloseRead()
				p.Trailers(head("a", "b"))
				p.CloseWrite()
			}
			<-ctx.Done()
			return nil
		}),
	})
	var sender sync.WaitGroup
	sender.Go(func() {
		_, _ = send.Write(make([]byte, 10_000))
		if <-seeds%2 == 0 {
			send.Close()
		}
	})
	own, buf := x.Own(nil, nowhere{}), make([]byte, 5000)
	if _, ok := x.Number(own); !ok {
		return errors.New("no number")
	}
	for range r.IntN(200) {
		fd := FirstFile + r.Uint32N(20)
		f := x.File(fd)
		switch op := r.IntN(8); {
		case op == 0 && len(seeds) > 20:
			url := []string{"tcp://a:1", "udp://a:1", "http://a"}[r.IntN(3)]
			if _, ok := x.Open(outbound(t, url)); !ok {
				return fmt.Errorf("%s is not opened", url)
			}
		case op == 1 && !x.Responds():
			x.Respond(nil, make([]byte, 100))
		case op == 1:
			_, _ = x.TryWrite(buf)
		case f == nil:
		case op == 2:
			_, _ = f.TryRead(buf)
		case op == 3:
			_, _ = f.TryWrite(buf)
		case op == 4:
			f.Readable()
			f.Writable()
		case op == 5 && r.IntN(4) == 0:
			f.CloseWrite()
		case op == 6 && r.IntN(4) == 0:
			f.CloseRead()
		case op == 7 && r.IntN(4) == 0:
			x.Close(fd)
		default:
			_, _ = f.Head(buf[:10])
			_, _ = f.Trailers(buf[:10])
		}
	}
	var err error
	if r.IntN(2) == 0 {
		err = ErrAborted
	}
	x.End(err)
	if _, err := x.Wait(t.Context(), soon()); err != nil {
		return err
	}
	sender.Wait()
	return nil
}

// informer takes informational heads.
type informer struct{ heads atomic.Int32 }

func (i *informer) Stream([]byte, io.Reader) {}
func (i *informer) Inform([]byte)            { i.heads.Add(1) }

func TestInformationalHeadsAreBounded(t *testing.T) {
	i := &informer{}
	x := New(Config{Responder: i})
	for n := range abi.MaxInformational + 2 {
		if _, ok := x.Inform([]byte{1}); ok != (n < abi.MaxInformational) {
			t.Errorf("head %d is taken: %t", n, ok)
		}
	}
	x.End(nil)
	if err, bug := x.Wait(t.Context(), soon()); err != nil || bug != nil || i.heads.Load() != abi.MaxInformational {
		t.Errorf("%d heads, %v, %v", i.heads.Load(), err, bug)
	}
}
