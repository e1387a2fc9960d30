//go:build hostile

package hostile

import (
	"fmt"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// How a call ends that has left its marks everywhere.
var endings = []struct {
	name   string
	reason fault.Reason
}{
	{"answers", ""},
	{"traps", fault.GuestTrap},
	{"exits", fault.GuestExit},
	{"loops", fault.GuestTimeout},
	{"fails", fault.GuestError},
	{"floods", fault.GuestOutputLimit},
	{"recurses", fault.GuestTrap},
	{"eats", fault.GuestMemory},
}

const dirty = 99 // returned by a guest that finds marks of another call

// marker is a guest that returns dirty if it finds a mark of an earlier call:
// in memory, in a global, in the size of its memory or in memory that it grows.
// Then it leaves such marks and ends as the first byte of its input says.
func marker() []byte {
	m := w.New()
	read := m.Import("ruedo", "input_read", "ii>i")
	exit := m.Import("wasi_snapshot_preview1", "proc_exit", "i>")
	fail := m.Import("ruedo", "fail", "iii>")
	write := m.Import("ruedo", "output_write", "ii>i")
	m.Memory(1, -1)
	g := m.Global(0)
	const grown = 3 * 65536
	find := w.Cat(
		w.I32(5000), opI32Load,
		w.GlobalGet(g), opI32Wrap, opI32Or,
		opMemorySize, w.I32(1), w.Ops(0x6b), opI32Or,
		w.I32(3), opMemoryGrow, w.Drop(), w.I32(grown), opI32Load, opI32Or,
		when(w.I32(dirty), opReturn))
	leave := w.Cat(store(5000, -1), w.I64(7), w.GlobalSet(g), store(grown, -1), store(60_000, 12345))
	end := func(n int32, code ...[]byte) []byte {
		return w.Cat(w.I32(0), w.Ops(0x2d, 0, 0), w.I32(n), opI32Eq, when(code...))
	}
	recurse := m.Func(">i", w.Call(4), w.I32(1), opI32Add)
	if recurse != 4 {
		panic("the recursion calls something else")
	}
	m.AsFunction(m.Func(">i", find, w.CallWith(read, 0, 1), w.Drop(), leave,
		end(1, w.Unreachable()),
		end(2, w.CallWith(exit, 1)),
		end(3, w.Loop()),
		end(4, w.CallWith(fail, 5, 0, 0)),
		end(5, w.Loop(w.CallWith(write, 0, 65536), w.Drop())),
		end(6, w.Call(recurse), opReturn),
		end(7, w.I32(60_000), opMemoryGrow, w.Drop(), w.Unreachable()),
		w.I32(0)))
	return m.Bytes()
}

// changer leaves marks that restoring the memory does not remove: it empties a
// passive segment, changes its table and closes its stdout. It returns dirty if
// it finds that already done.
func changer(n int) []byte {
	m := w.New()
	closeFD := m.Import("wasi_snapshot_preview1", "fd_close", "i>i")
	write := m.Import("wasi_snapshot_preview1", "fd_write", "iiii>i")
	m.Memory(1, -1)
	m.Table(2)
	seg := m.PassiveData([]byte("passive"))
	f := m.Func(">i", w.I32(0))
	m.Element(f, f)
	var code [][]byte
	switch n {
	case 0: // data.drop: memory.init of 7 bytes traps the next time
		code = [][]byte{w.I32(100), w.I32(0), w.I32(7), w.Ops(0xfc, 8), w.U32(seg), w.Ops(0), w.Ops(0xfc, 9), w.U32(seg)}
	case 1: // table.set to null: the call through it traps the next time
		code = [][]byte{w.I32(1), w.Ops(0x11), w.U32(m.Type(">i")), w.Ops(0), w.Drop(), w.I32(1), opRefNullFunc, w.Ops(0x26, 0)}
	case 2: // fd_close(1): fd_write returns EBADF the next time
		code = [][]byte{store(0, 200), store(4, 0), w.CallWith(write, 1, 0, 1, 100), when(w.I32(dirty), opReturn), w.CallWith(closeFD, 1), w.Drop()}
	}
	m.AsFunction(m.Func(">i", append(code, w.I32(0))...))
	return m.Bytes()
}

// finder grows its memory to the limit and looks for a nonzero byte, left there
// by another guest.
func finder(pages int32) []byte {
	m := w.New()
	m.Memory(1, -1)
	m.AsFunction(m.FuncLocals(">i", locals(1),
		w.I32(pages-1), opMemoryGrow, w.Drop(),
		w.Ops(0x03, 0x40),
		localGet(0), opI32Load, when(w.I32(dirty), opReturn),
		localGet(0), w.I32(4), opI32Add, localSet(0),
		localGet(0), w.I32(pages*65536), opI32LtU, w.Ops(0x0d, 0), opEnd,
		w.I32(0)))
	return m.Bytes()
}

// painter fills all of its memory.
func painter(pages int32) []byte {
	return w.Function(w.I32(pages-1), opMemoryGrow, w.Drop(), w.I32(0), w.I32(0xee), w.I32(pages*65536), opMemoryFill, w.Unreachable()).Bytes()
}

// stateRow is row 25: no call sees anything that another call left behind. The
// isolation is the default.
func stateRow() *row {
	const (
		pages   = 256 // 16 MiB
		workers = 2 * runnerCount
	)
	leaks := func(b *bout, what string, err error) {
		if faultrpc.FromError(err).Meta["status"] == fmt.Sprint(dirty) {
			b.Errorf("%s: the marks of another call are seen", what)
		}
	}
	moves := []move{{"memory, globals, size", func(b *bout) {
		var wg sync.WaitGroup
		for worker := range workers {
			wg.Go(func() {
				for i := range 2 * len(endings) {
					n := (i + worker) % len(endings)
					_, err := b.call(b.service("marker"), []byte{byte(n)})
					switch want := endings[n]; {
					case err == nil && want.reason == "":
					case err == nil:
						b.Errorf("a call that %s: it went well", want.name)
					case fault.ReasonOf(err) == want.reason && faultrpc.FromError(err).Meta["status"] != fmt.Sprint(dirty):
					default:
						leaks(b, want.name, err)
						b.Errorf("a call that %s: got %s: %v", want.name, fault.ReasonOf(err), err)
					}
				}
			})
		}
		wg.Wait()
	}}, {"another guest's memory", func(b *bout) {
		for range 4 {
			_, err := b.call(b.service("painter"), nil)
			b.check("painter", err, expect{reason: fault.GuestTrap, text: []string{"unreachable"}})
			if _, err = b.call(b.service("finder"), nil); err != nil {
				leaks(b, "finder", err)
				b.Errorf("finder: %s: %v", fault.ReasonOf(err), err)
			}
		}
	}}}
	for n, what := range []string{"a dropped segment", "a changed table", "a closed stream"} {
		moves = append(moves, move{what, func(b *bout) {
			// Several times on each runner.
			for range 4 * runnerCount {
				if _, err := b.call(b.service("changer", fmt.Sprint(n)), nil); err != nil {
					b.Errorf("%s is left to the next call: %s: %v", what, fault.ReasonOf(err), err)
				}
			}
		}})
	}
	return &row{
		number: 25, name: "state of one call seen by another",
		setup: func(b *bout) {
			l := timeout(300 * time.Millisecond)
			l.MemoryBytes = pages * 65536
			l.OutputBytes = 1 << 20
			services := map[string][]byte{"marker": marker(), "painter": painter(pages), "finder": finder(pages)}
			for n := range 3 {
				services[fmt.Sprint("changer-", n)] = changer(n)
			}
			for name, wasm := range services {
				if err := b.publish(b.ctx, b.service(name), wasm, l); err != nil {
					b.Errorf("publish %s: %v", name, err)
				}
			}
		},
		moves: moves, atOnce: workers, peakCore: 64 << 20,
	}
}
