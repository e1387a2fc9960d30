//go:build e2e && linux && amd64

package e2e

import (
	"bytes"
	"debug/elf"
	le "encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// wallClock is the time of day of one process, which can be set. The process asks
// the kernel for the time through a page of code that the kernel maps into it. The
// function there is replaced, in this process alone, by one that adds an offset.
// Its monotonic clock stays as it is, as with any clock that is set.
type wallClock struct {
	mem *os.File // of the process
	at  int64    // address of the offset
}

// substitute is clock_gettime(rdi, rsi), and behind it the offset in seconds.
var substitute = []byte{
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228 (clock_gettime)
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi (CLOCK_REALTIME is 0)
	0x75, 0x0a, // jne +10
	0x48, 0x8b, 0x0d, 0x06, 0x00, 0x00, 0x00, // mov rcx, [rip+6]
	0x48, 0x01, 0x0e, // add [rsi], rcx
	0xc3,       // ret
	0x00, 0x00, // so that the offset is aligned
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
}

const offsetAt = 24 // in substitute

// newWallClock gives a process a wall clock of its own.
func newWallClock(t *testing.T, p *process) *wallClock {
	t.Helper()
	pid := p.cmd.Process.Pid
	base, image := vdso(t, pid)
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var entry int64
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			entry = base + int64(s.Value)
		}
	}
	free := len(image) - 64 // a page is longer than its code
	if entry == 0 || bytes.ContainsFunc(image[free:], func(r rune) bool { return r != 0 }) {
		t.Fatal("the kernel's code for clocks is not as expected")
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mem.Close() })
	to := base + int64(free)
	jump := le.LittleEndian.AppendUint32([]byte{0xe9}, uint32(to-entry-5))

	// No thread may be at the instructions that the jump replaces.
	testkit.Within(t, 10*time.Second, "the process can be changed", func() bool {
		p.send(syscall.SIGSTOP)
		defer p.send(syscall.SIGCONT)
		if !testkit.Poll(time.Second, func() bool { return threads(pid, func(pc int64) bool { return pc <= entry || pc >= entry+8 }) }) {
			return false
		}
		for _, part := range []struct {
			code []byte
			at   int64
		}{{substitute, to}, {jump, entry}} { // in this order
			if _, err := mem.WriteAt(part.code, part.at); err != nil {
				t.Fatal(err)
			}
		}
		return true
	})
	return &wallClock{mem, to + offsetAt}
}

// vdso returns where the kernel's page of code is in a process, and its bytes.
func vdso(t *testing.T, pid int) (base int64, image []byte) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var end int64
		if !strings.HasSuffix(line, "[vdso]\n") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x ", &base, &end); err != nil {
			t.Fatal(err)
		}
		mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
		if err != nil {
			t.Fatal(err)
		}
		defer mem.Close()
		image = make([]byte, end-base)
		if _, err := mem.ReadAt(image, base); err != nil {
			t.Fatal(err)
		}
		return base, image
	}
	t.Fatal("the process asks the kernel for the time in another way")
	return 0, nil
}

// threads reports whether all threads of a process are stopped, at instructions
// that are in order.
func threads(pid int, inOrder func(pc int64) bool) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		return false
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(task + "/stat")
		if _, after, _ := strings.Cut(string(stat), ") "); err != nil || !strings.HasPrefix(after, "T") {
			return false
		}
		where, err := os.ReadFile(task + "/syscall") // its last word is the program counter
		words := strings.Fields(string(where))
		if err != nil || len(words) < 3 {
			return false
		}
		pc, err := strconv.ParseInt(words[len(words)-1], 0, 64)
		if err != nil || !inOrder(pc) {
			return false
		}
	}
	return true
}

// set sets the clock so far ahead of the true time, or behind it, in whole seconds.
func (c *wallClock) set(t *testing.T, ahead time.Duration) {
	t.Helper()
	if _, err := c.mem.WriteAt(le.LittleEndian.AppendUint64(nil, uint64(ahead/time.Second)), c.at); err != nil {
		t.Fatal(err)
	}
}

// Wall clocks that jump, on any machine and in either direction, cost nothing: no
// call and no write fails, who leads goes on leading, and the health says which
// clock is wrong. A cordon ends by the clock of the leader.
func TestClocksJump(t *testing.T) {
	r := newRing(t, 3, 3)
	var cores, all []*wallClock
	for _, c := range r.cores {
		cores = append(cores, newWallClock(t, c.process))
	}
	all = append(all, cores...)
	for _, w := range r.runners {
		all = append(all, newWallClock(t, w.process))
	}
	leader := r.leader()
	other := (leader + 1) % len(cores)
	l := newLoad(r)
	l.watch()
	l.start(4, 2)

	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		for i, c := range all {
			t.Logf("%6.1fs clock %d is set to %v", time.Since(r.began).Seconds(), i, ahead)
			c.set(t, ahead)
			time.Sleep(500 * time.Millisecond) // of calls and writes
			c.set(t, 0)
			time.Sleep(500 * time.Millisecond)
		}
	}
	for _, c := range all { // all at the same time, as with a time service that comes late
		c.set(t, 24*time.Hour)
	}
	r.health(0, 0, "no two cores differ by more than")
	for _, c := range all {
		c.set(t, 0)
	}

	cores[other].set(t, time.Minute)
	r.health(leader, 2, "the clock of core ")
	cores[other].set(t, 0)
	r.health(leader, 0, "no two cores differ by more than")

	r.must(other, "cordon", "runner-0", "--for", "1h")
	cores[leader].set(t, 2*time.Hour)
	r.must(leader, "job", "run", "expire-cordons")
	testkit.Eventually(t, "the cordon has ended", func() bool { return !strings.Contains(r.must(other, "get", "runners"), "cordoned") })
	cores[leader].set(t, 0)

	if now := r.leader(); now != leader {
		t.Errorf("%s leads, it was %s", coreName(now), coreName(leader))
	}
	l.stop()
	if len(l.reasons) > 0 {
		t.Errorf("requests failed: %v", l.reasons)
	}
	l.verify(t, nil)
}
