package sandbox_test

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// poller returns a guest of kind http that opens its body, polls with the list of
// subscriptions that is its head, and answers with the error number, the number of
// events and the events.
func poller() []byte {
	const subs, events, size = 1024, 256 << 10, 512 << 10
	m := w.New()
	open := m.Import("ruedo", "body_open", ">i")
	head := m.Import("ruedo", "head_read", "ii>i")
	write := m.Import("ruedo", "output_write", "ii>i")
	poll := m.Import(wasi, "poll_oneoff", "iiii>i")
	m.Memory(16, -1)
	m.Export("ruedo_http", m.Func(">"))
	m.AsFunction(m.FuncLocals(">i", w.Vec(w.Cat(w.U32(1), w.Ops(0x7f))),
		w.Call(open), w.Drop(),
		// The first four bytes are how many there are.
		w.CallWith(head, subs-4, 200<<10), w.Drop(),
		w.I32(size-4),
		w.I32(subs), w.I32(events), w.I32(subs-4), w.Ops(0x28, 2, 0), w.I32(size), w.Call(poll),
		w.Ops(0x36, 2, 0),
		w.CallWith(write, size-4, 8), w.Drop(), w.CallWith(write, events, 8<<10), w.Drop(), w.I32(0)))
	return m.Bytes()
}

// subscription is one of poll_oneoff; a clock's time is in nanoseconds.
func subscription(kind byte, fd uint32, nanos uint64) []byte {
	b := make([]byte, 48)
	b[0], b[8] = 0x55, kind
	binary.LittleEndian.PutUint32(b[16:], fd)
	binary.LittleEndian.PutUint64(b[24:], nanos)
	return b
}

func pollWith(subs ...[]byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(subs)))
	for _, s := range subs {
		b = append(b, s...)
	}
	return b
}

func TestPoll(t *testing.T) {
	tpl := load(t, sandbox.Spec{Wasm: poller()})
	const clock, read, write, body = 0, 1, 2, 4
	hour := subscription(clock, 1, uint64(time.Hour))
	for _, tt := range []struct {
		name          string
		list          []byte
		body          io.Reader
		errno, events uint32
		kind, flags   byte
		nbytes        uint64
	}{
		{"what is there", pollWith(hour, subscription(read, body, 0)), strings.NewReader("abc"), 0, 1, read, 0, 3},
		{"what comes later", pollWith(hour, subscription(read, body, 0)), parts([]byte("abcdef")), 0, 1, read, 0, 3},
		{"the end", pollWith(hour, subscription(read, body, 0)), strings.NewReader(""), 0, 1, read, 1, 0},
		{"room to write", pollWith(hour, subscription(write, body, 0)), nil, 0, 1, write, 0, 64 << 10},
		{"a clock next to a body that waits", pollWith(subscription(clock, 1, 1000), subscription(read, body, 0)), waits{}, 0, 1, clock, 0, 0},
		{"the same one twice", pollWith(subscription(read, body, 0), subscription(read, body, 0)), strings.NewReader("abc"), 0, 2, read, 0, 3},
		{"a descriptor that is not open", pollWith(hour, subscription(read, 67, 0)), nil, 0, 1, read, 0, 0},
		{"the highest descriptor", pollWith(hour, subscription(write, 1<<32-1, 0)), nil, 0, 1, write, 0, 0},
		{"nothing", pollWith(), nil, 28, 0, 0, 0, 0},
		{"too many", binary.LittleEndian.AppendUint32(nil, 4097), nil, 28, 0, 0, 0, 0},
		{"a number that lies", binary.LittleEndian.AppendUint32(nil, 1<<32-1), nil, 28, 0, 0, 0, 0},
		{"an unknown kind", pollWith(subscription(3, body, 0)), nil, 28, 0, 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, err := tpl.Call(t.Context(), sandbox.Request{Head: tt.list, Body: tt.body})
			if err != nil {
				t.Fatal(err)
			}
			out := res.Output
			errno, n, event := binary.LittleEndian.Uint32(out), binary.LittleEndian.Uint32(out[4:]), out[8:40]
			if errno != tt.errno || n != tt.events {
				t.Fatalf("error %d, %d events; want %d, %d", errno, n, tt.errno, tt.events)
			}
			if n > 0 && (event[0] != 0x55 || event[10] != tt.kind || event[24] != tt.flags) {
				t.Errorf("the event is %x", event)
			}
			if got := binary.LittleEndian.Uint64(event[16:]); tt.name != "what is there" && got != tt.nbytes || got > tt.nbytes {
				t.Errorf("%d bytes, want %d", got, tt.nbytes)
			}
		})
	}
}

// waits is a body in which nothing arrives until it is closed.
type waits struct{}

func (waits) Read([]byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return 0, io.ErrUnexpectedEOF
}

// FuzzPoll polls with any subscriptions. The host neither fails nor returns more
// events than there are subscriptions.
func FuzzPoll(f *testing.F) {
	f.Add(pollWith(subscription(0, 1, 1000), subscription(1, 4, 0), subscription(2, 4, 0)), []byte("body"))
	f.Add(pollWith(subscription(1, 0, 0), subscription(1, 3, 0), subscription(1, 5, 0)), []byte{})
	f.Add(binary.LittleEndian.AppendUint32(nil, 4096), []byte("x"))
	tpl := load(f, sandbox.Spec{Wasm: poller(), Limits: sandbox.Limits{Timeout: 50 * time.Millisecond}})
	f.Fuzz(func(t *testing.T, list, body []byte) {
		res, err := tpl.Call(t.Context(), sandbox.Request{Head: list, Body: parts(body)})
		if err != nil {
			if e, ok := err.(*fault.Error); !ok || e.Reason != fault.GuestTimeout {
				t.Fatalf("got %v", err)
			}
			return
		}
		asked := binary.LittleEndian.Uint32(append(list[:len(list):len(list)], 0, 0, 0, 0))
		if errno, n := binary.LittleEndian.Uint32(res.Output), binary.LittleEndian.Uint32(res.Output[4:]); n > asked || errno != 0 && n != 0 {
			t.Errorf("error %d and %d events of %d", errno, n, asked)
		}
	})
}
