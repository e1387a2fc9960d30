package stream

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPipeIsBounded(t *testing.T) {
	p := newPipe(newWake(), false)
	if _, err := p.TryRead(make([]byte, 1)); err != ErrWait {
		t.Fatalf("an empty pipe: %v", err)
	}
	n, err := p.TryWrite(make([]byte, 3*Window))
	if n != Window || err != nil {
		t.Fatalf("took %d bytes: %v", n, err)
	}
	if n, err := p.TryWrite([]byte{1}); n != 0 || err != ErrWait {
		t.Errorf("a full pipe took %d bytes: %v", n, err)
	}
	if n, ready, _ := p.Writable(); n != 0 || ready {
		t.Errorf("a full pipe is writable: %d", n)
	}
	if cap(p.buf) > Window {
		t.Errorf("it holds %d bytes", cap(p.buf))
	}
	if n, err := p.TryRead(make([]byte, 10)); n != 10 || err != nil {
		t.Errorf("read %d: %v", n, err)
	}
	if n, ready, _ := p.Writable(); n != 10 || !ready {
		t.Errorf("writable: %d, %t", n, ready)
	}
}

func TestPipeEnds(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name     string
		do       func(*Pipe)
		left     int
		end, put error
	}{
		{"end", func(p *Pipe) { p.End(nil) }, 3, io.EOF, io.ErrClosedPipe},
		{"end with an error", func(p *Pipe) { p.End(broken) }, 3, broken, io.ErrClosedPipe},
		{"only the first end counts", func(p *Pipe) { p.End(nil); p.End(broken) }, 3, io.EOF, io.ErrClosedPipe},
		{"cut", func(p *Pipe) { p.Cut(broken) }, 0, broken, broken},
		{"cut by the reader", func(p *Pipe) { p.Cut(nil) }, 0, io.EOF, io.ErrClosedPipe},
		{"lost bytes are no end", func(p *Pipe) { p.End(nil); p.Cut(broken) }, 0, broken, io.ErrClosedPipe},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPipe(newWake(), false)
			if _, err := p.TryWrite([]byte("abc")); err != nil {
				t.Fatal(err)
			}
			tt.do(p)
			b, err := io.ReadAll(p)
			if tt.end == io.EOF {
				err = errors.Join(err, io.EOF)
			}
			if len(b) != tt.left || !errors.Is(err, tt.end) {
				t.Errorf("read %q, %v; want %d bytes and %v", b, err, tt.left, tt.end)
			}
			if _, err := p.TryWrite([]byte("d")); err != tt.put {
				t.Errorf("writing: %v, want %v", err, tt.put)
			}
			if _, ready, over := p.Readable(); !ready || !over {
				t.Error("the end is not readable")
			}
			if _, ready, over := p.Writable(); !ready || !over {
				t.Error("the failure is not writable")
			}
		})
	}
}

// A cut wakes whoever waits at the host's end, in either direction.
func TestCutWakesTheHost(t *testing.T) {
	full, empty := newPipe(newWake(), false), newPipe(newWake(), false)
	var wg sync.WaitGroup
	var written int
	wg.Go(func() { written, _ = full.Write(make([]byte, 2*Window)) })
	wg.Go(func() { _, _ = empty.Read(make([]byte, 1)) })
	full.Cut(nil)
	empty.Cut(nil)
	wg.Wait()
	if written > Window {
		t.Errorf("wrote %d bytes", written)
	}
}

func TestDatagrams(t *testing.T) {
	p := newPipe(newWake(), true)
	for _, b := range []string{"one", "", "three"} {
		if n, err := p.TryWrite([]byte(b)); n != len(b) || err != nil {
			t.Fatalf("%q: %d, %v", b, n, err)
		}
	}
	buf := make([]byte, 2)
	for _, want := range []string{"on", "", "th"} {
		if _, ready, _ := p.Readable(); !ready {
			t.Errorf("%q cannot be read", want)
		}
		if n, err := p.TryRead(buf); string(buf[:n]) != want || err != nil {
			t.Errorf("got %q, %v; want %q", buf[:n], err, want)
		}
	}
	if _, err := p.TryRead(buf); err != ErrWait {
		t.Errorf("after the last: %v", err)
	}
	if _, err := p.TryWrite(make([]byte, Window+1)); err != syscall.EMSGSIZE {
		t.Errorf("too long: %v", err)
	}
	sent := 0
	for {
		if _, err := p.TryWrite(nil); err != nil {
			break
		}
		sent++
	}
	if _, ready, _ := p.Writable(); ready || sent != maxDatagrams {
		t.Errorf("%d empty datagrams wait, writable %t", sent, ready)
	}
}

// FuzzPipe does any steps at both ends of a pipe and compares it with a plain
// buffer.
func FuzzPipe(f *testing.F) {
	f.Add([]byte{0, 200, 1, 100, 0, 255, 1, 255, 2, 0, 1, 9})
	f.Add([]byte{0, 255, 0, 255, 0, 255, 0, 255, 1, 3, 0, 255, 3, 0, 1, 1})
	f.Fuzz(func(t *testing.T, steps []byte) {
		p := newPipe(newWake(), false)
		var model []byte
		var end, closed error
		next := byte(0)
		steps = steps[:min(len(steps), 200)]
		for ; len(steps) >= 2; steps = steps[2:] {
			size := int(steps[1]) * 300
			switch steps[0] % 4 {
			case 0:
				b := make([]byte, size)
				for i := range b {
					b[i] = next
					next++
				}
				n, err := p.TryWrite(b)
				switch room := Window - len(model); {
				case closed != nil:
					if n != 0 || err != closed {
						t.Fatalf("wrote %d, %v; want %v", n, err, closed)
					}
				case size > 0 && room == 0:
					if n != 0 || err != ErrWait {
						t.Fatalf("wrote %d, %v to a full pipe", n, err)
					}
				case n != min(size, room) || err != nil:
					t.Fatalf("wrote %d of %d into %d: %v", n, size, room, err)
				}
				next -= byte(size - n)
				model = append(model, b[:n]...)
			case 1:
				b := make([]byte, size)
				n, err := p.TryRead(b)
				want := min(size, len(model))
				if n != want || !bytes.Equal(b[:n], model[:n]) {
					t.Fatalf("read %d of %d, %v", n, want, err)
				}
				if n == 0 && size > 0 && (end == nil && err != ErrWait || end != nil && err != end) {
					t.Fatalf("read %v; the end is %v", err, end)
				}
				model = model[n:]
			case 2:
				p.End(nil)
				if end == nil {
					end = io.EOF
				}
				if closed == nil {
					closed = io.ErrClosedPipe
				}
			case 3:
				cut := io.ErrUnexpectedEOF
				if end == nil || len(model) > 0 {
					end = cut
				}
				if closed == nil {
					closed = cut
				}
				p.Cut(cut)
				model = nil
			}
			if cap(p.buf) > Window {
				t.Fatalf("the pipe holds %d bytes", cap(p.buf))
			}
			if n, _, _ := p.Readable(); n != len(model) {
				t.Fatalf("%d bytes wait, want %d", n, len(model))
			}
		}
	})
}

// FuzzPieces sends bytes through a pipe, from a goroutine to another one, in pieces
// of any sizes on both ends.
func FuzzPieces(f *testing.F) {
	f.Add(uint32(200_000), uint16(1000), uint16(7), true)
	f.Add(uint32(70_000), uint16(1), uint16(60_000), false)
	f.Fuzz(func(t *testing.T, total uint32, in, out uint16, hostWrites bool) {
		size := int(total % 300_000)
		w := newWake()
		p := newPipe(w, false)
		sent := make([]byte, size)
		for i := range sent {
			sent[i] = byte(i * 7)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for rest := sent; len(rest) > 0; {
				piece := rest[:min(int(in)+1, len(rest))]
				write := p.Write
				if !hostWrites {
					write = p.TryWrite
				}
				n, err := write(piece)
				if err == ErrWait {
					<-w.c
				}
				rest = rest[n:]
			}
			p.End(nil)
		})
		var got []byte
		buf := make([]byte, int(out)+1)
		for {
			read := p.Read
			if hostWrites {
				read = p.TryRead
			}
			n, err := read(buf)
			got = append(got, buf[:n]...)
			if err == ErrWait {
				<-w.c
			} else if err != nil {
				break
			}
		}
		wg.Wait()
		if !bytes.Equal(got, sent) {
			t.Errorf("%d bytes arrived of %d, or others", len(got), len(sent))
		}
	})
}
