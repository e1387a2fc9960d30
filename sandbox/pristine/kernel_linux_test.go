//go:build amd64 || arm64

package pristine

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hotMemory returns a memory after its first restore, with its hot set.
func hotMemory(t testing.TB, wasmPages int, limit uint64, config Config) (*Memory, *runtimeMemory, *mapped) {
	t.Helper()
	mem := make([]byte, wasmPages*WasmPage)
	for i := range mem {
		mem[i] = byte(i%251) + 1
	}
	image := newImage(t, mem, config)
	if image.Method() != MethodHotSet {
		t.Skipf("this kernel restores by %s", image.Method())
	}
	m := newMemory(t, image, limit)
	r := run(m, 0)
	restore(t, m, r)
	return m, r, m.body.(*mapped)
}

func TestImageIsSealed(t *testing.T) {
	_, _, b := hotMemory(t, 1, WasmPage, Config{})
	f := b.file.file
	if _, err := f.WriteAt([]byte{1}, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("written: %v", err)
	}
	for _, size := range []int64{0, 2 * WasmPage} {
		if err := f.Truncate(size); !errors.Is(err, unix.EPERM) {
			t.Errorf("truncated to %d: %v", size, err)
		}
	}
	if _, err := unix.MmapPtr(int(f.Fd()), 0, nil, WasmPage, readWrite, unix.MAP_SHARED); !errors.Is(err, unix.EPERM) {
		t.Errorf("mapped for writing: %v", err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE); !errors.Is(err, unix.EPERM) {
		t.Errorf("sealed again: %v", err)
	}
}

func TestZerosTakeNoSpace(t *testing.T) {
	mem := make([]byte, 64*WasmPage)
	mem[40*WasmPage] = 1
	image := newImage(t, mem, Config{Method: MethodDrop})
	var st unix.Stat_t
	if err := unix.Fstat(int(image.store.(*memfd).file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if got := st.Blocks * 512; got > WasmPage {
		t.Errorf("one page of %d bytes takes %d", len(mem), got)
	}
}

// TestSystemCallsAreCounted lets the kernel write to the memory.
func TestSystemCallsAreCounted(t *testing.T) {
	m, r, _ := hotMemory(t, 2, 2*WasmPage, Config{})
	for n := range 8 {
		m.Begin()
		if _, err := unix.Getrandom(r.bytes[n*4096+100:][:32], 0); err != nil {
			t.Fatal(err)
		}
		m.End()
		if cost := restore(t, m, r); cost.Path != PathScan || cost.Pages != n+1 {
			t.Errorf("restored %d pages by %s", cost.Pages, cost.Path)
		}
		checkHotSet(t, m)
	}
	same(t, "after the restores", r.bytes, m.image.store.(*memfd).view)
}

// TestForkInAWindow starts processes between writes: sharing the address space,
// as Go does, and by a true fork, which write-protects all private pages.
func TestForkInAWindow(t *testing.T) {
	m, r, b := hotMemory(t, 2, 4*WasmPage, Config{})
	program, err := exec.LookPath("true")
	if err != nil {
		t.Skip(err)
	}
	for n := range 20 {
		m.Begin()
		r.bytes[n*4096] = 0
		cmd := exec.CommandContext(t.Context(), program)
		if n%2 == 1 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
		}
		if err := cmd.Run(); err != nil && n%2 == 0 {
			t.Fatal(err)
		}
		r.bytes[n*4096+1], r.bytes[WasmPage+n*2048] = 0, 0
		m.End()
		restore(t, m, r)
		same(t, "after a restore", r.bytes, b.file.view)
		checkHotSet(t, m)
	}
}

// TestLockedMemory covers memory that cannot be dropped. It is mapped again,
// and from then on every restore asks the kernel.
func TestLockedMemory(t *testing.T) {
	m, r, b := hotMemory(t, 1, 2*WasmPage, Config{Keep: -1})
	if err := unix.Mlock(b.space); err != nil {
		t.Skip(err)
	}
	for n := range 3 {
		m.markDirty()
		m.Begin()
		r.bytes[n] = 0
		if _, ok := r.Grow(1); !ok {
			t.Fatal("it does not grow")
		}
		r.bytes[WasmPage+n] = 1
		m.End()
		if cost := restore(t, m, r); cost.Path != PathDrop {
			t.Errorf("restored by %s", cost.Path)
		}
		same(t, "after a restore", r.bytes, b.file.view)
		checkHotSet(t, m)
	}
	if !b.unsure {
		t.Error("the memory is trusted")
	}
	if cost := restore(t, m, r); cost.Path != PathScan {
		t.Errorf("restored by %s", cost.Path)
	}
	huge(t, b)
}

func TestHugePagesAreRefused(t *testing.T) {
	_, _, b := hotMemory(t, 1, 8<<20, Config{})
	huge(t, b)
}

// huge reports whether the range refuses huge pages.
func huge(t *testing.T, b *mapped) {
	t.Helper()
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this kernel has none")
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first := uintptr(unsafe.Pointer(&b.space[0]))
	last := first + uintptr(len(b.space))
	var seen, inside uintptr // bytes of the current mapping that belong to the range
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		if !strings.HasSuffix(name, ":") {
			var start, end uintptr
			if _, err := fmt.Sscanf(name, "%x-%x", &start, &end); err != nil {
				t.Fatal(err)
			}
			start, end = max(start, first), min(end, last)
			inside = max(start, end) - start
			seen += inside
		} else if name == "VmFlags:" && inside > 0 && !strings.Contains(rest+" ", " nh ") {
			t.Errorf("%d bytes have the flags %s", inside, rest)
		}
	}
	if seen != uintptr(len(b.space)) {
		t.Errorf("found %d of %d bytes", seen, len(b.space))
	}
}

// TestScanThatFails checks that a restore works even if the scan fails.
func TestScanThatFails(t *testing.T) {
	m, r, b := hotMemory(t, 1, 2*WasmPage, Config{})
	b.file.pages.fd = ^uintptr(0)
	m.Begin()
	clear(r.bytes)
	m.End()
	if cost := restore(t, m, r); cost.Path != PathDrop {
		t.Errorf("restored by %s", cost.Path)
	}
	same(t, "after a restore", r.bytes, b.file.view)
}

// TestThisKernel fails if the hot set, and with it its tests, got lost on this
// kernel.
func TestThisKernel(t *testing.T) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	release := unix.ByteSliceToString(name.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil || major < 6 || major == 6 && minor < 7 {
		t.Skipf("Linux %s has no PAGEMAP_SCAN", release)
	}
	pages, err := probe()
	if err != nil {
		t.Fatalf("Linux %s: %v", release, err)
	}
	if err := pages.close(); err != nil {
		t.Error(err)
	}
}

// TestOldKernels checks which method is used without a hot set.
func TestOldKernels(t *testing.T) {
	broken := func() (*pagemap, error) { return nil, unix.ENOTTY }
	for _, c := range []struct {
		size   int
		method Method
		want   Method // MethodAuto: expect an error
	}{
		{small, MethodAuto, MethodCompare},
		{small + WasmPage, MethodAuto, MethodDrop},
		{small, MethodHotSet, MethodAuto},
		{small, MethodDrop, MethodDrop},
		{small + WasmPage, MethodCompare, MethodCompare},
	} {
		f, err := newMemfd(make([]byte, c.size), Config{Method: c.method})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.choose(broken); (err != nil) != (c.want == MethodAuto) {
			t.Errorf("%d bytes, %s: %v", c.size, c.method, err)
		} else if err == nil && f.how != c.want {
			t.Errorf("%d bytes, %s: %s", c.size, c.method, f.how)
		}
		if err := f.close(); err != nil {
			t.Error(err)
		}
	}
}
