package thread

import (
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// brief is how long the wall clock stands in for the thread's, which costs a
	// system call: while a thread keeps its processor, they run alike. In a longer
	// time they could differ, by what a hypervisor takes away.
	brief = 100 * time.Microsecond
	// instant is the time between two spans of a thread in which it is taken to have
	// kept its processor. If it has not, the second one is billed that much less.
	instant = 5 * time.Microsecond
)

// Span is a piece of work of one goroutine, which stays on its thread from Begin
// to End. The zero value is ready to use, for one span after the other.
type Span struct {
	last  *reading // nil unless it has begun
	began time.Duration
}

// reading is what the kernel said about a thread. Times of the wall clock count
// from its origin.
type reading struct {
	origin  time.Time
	pointer bool // the threads' pointers can be read

	thread           uintptr
	faults, switches int64
	asked            time.Duration // when the kernel said so

	// The thread's clock, and a moment since which the thread has kept its
	// processor as of switches.
	clock, read time.Duration
}

// readings has what was last said about a thread that ran on this processor.
var readings = sync.Pool{New: func() any { return &reading{origin: time.Now(), pointer: pointerReadable()} }}

func (r *reading) now() time.Duration { return time.Since(r.origin) }

// Begin ties the goroutine to its thread until End. If a span has begun, it does
// nothing.
func (s *Span) Begin() {
	if s.last != nil {
		return
	}
	runtime.LockOSThread()
	r := readings.Get().(*reading)
	s.last = r
	now, thread := r.now(), r.id()
	known := r.thread == thread && now-r.read <= brief
	if known && now-r.asked <= instant {
		s.began = now
		return
	}
	faults, switches := usage()
	if known = known && switches == r.switches; !known {
		r.clock, r.read = clock(), r.now()
	}
	r.thread, r.faults, r.switches = thread, faults, switches
	s.began = r.now()
}

// CPU returns the processor time that the span, which has begun, took so far.
func (s *Span) CPU() time.Duration {
	return max(clock()-s.clock(), 0)
}

// clock returns the thread's clock when the span began.
func (s *Span) clock() time.Duration { return s.last.clock + s.began - s.last.read }

// End ends the span, on the goroutine that began it. If none has begun, it does
// nothing.
func (s *Span) End() Used {
	r := s.last
	if r == nil {
		return Used{}
	}
	now := r.now()
	cpu := now - s.began
	faults, switches := usage()
	if switches != r.switches || cpu > brief {
		c := clock()
		cpu = max(c-s.clock(), 0)
		r.clock, r.read = c, r.now()
	}
	used := Used{CPU: cpu, Faulted: faults != r.faults || faults < 0}
	r.faults, r.switches, r.asked = faults, switches, now
	s.last = nil
	readings.Put(r)
	runtime.UnlockOSThread()
	return used
}

// Faults returns how many page faults the calling thread has taken, or -1 if the
// kernel does not say.
func Faults() int64 {
	faults, _ := usage()
	return faults
}

func gettid() uintptr {
	tid, _, _ := unix.RawSyscall(unix.SYS_GETTID, 0, 0, 0)
	return tid
}
