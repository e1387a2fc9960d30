package thread

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBilledTimeIsTheThreads shares one processor with a rival, so that the thread
// is sent away in the middle of spans, and compares what each of them is billed
// with the thread's clock around it.
func TestBilledTimeIsTheThreads(t *testing.T) {
	var stop atomic.Bool
	rival, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(rival)
		pin(t)
		for n := 0; !stop.Load(); n++ {
			busy := 20 * time.Microsecond // less than brief
			if n%50 == 0 {
				busy = 10 * time.Millisecond
			}
			spin(busy)
			_ = unix.Nanosleep(&unix.Timespec{Nsec: 20_000}, nil)
		}
	}()
	go func() {
		defer close(done)
		pin(t)
		const switches = 200
		var span Span
		var billed, truth time.Duration
		spans, sentAway := 0, 0
		for began := time.Now(); sentAway < switches && time.Since(began) < time.Minute; spans++ {
			_, was := usage()
			before := clock()
			span.Begin()
			spin(30 * time.Microsecond)
			used := span.End()
			around := clock() - before
			if _, is := usage(); is != was {
				sentAway++
			}
			if used.CPU > around+brief {
				t.Errorf("span %d is billed %s, and the thread's clock says %s", spans, used.CPU, around)
			}
			billed, truth = billed+used.CPU, truth+around
		}
		t.Logf("%d spans, the thread was sent away in %d: billed %s of %s", spans, sentAway, billed, truth)
		if sentAway < switches {
			t.Error("the thread is not sent away: this test proves nothing")
		}
		if ratio := float64(billed) / float64(truth); ratio < 0.75 || ratio > 1.03 {
			t.Errorf("billed %.2f of what the thread's clock says", ratio)
		}
	}()
	<-done
	stop.Store(true)
	<-rival
}

// pin keeps the goroutine on one processor. Its thread ends with it.
func pin(t *testing.T) {
	runtime.LockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Error(err)
	}
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Error(err)
	}
}

// spin computes for about as long as it takes an idle processor.
func spin(d time.Duration) {
	for before := clock(); clock()-before < d; {
	}
}

// TestNoPageFaultIsMissed lets goroutines that move between threads write to new
// pages in some of many short spans, of which most follow another one so closely
// that the kernel is not asked when they begin.
func TestNoPageFaultIsMissed(t *testing.T) {
	const pages, every = 200, 7
	var clean atomic.Int64
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			memory, err := unix.Mmap(-1, 0, pages*unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = unix.Munmap(memory) }()
			if err := unix.Madvise(memory, unix.MADV_NOHUGEPAGE); err != nil && err != unix.EINVAL {
				t.Error(err)
			}
			var span Span
			for n := range pages * every {
				span.Begin()
				if n%every == 0 {
					memory[n/every*unix.Getpagesize()] = 1
				}
				used := span.End()
				switch {
				case !used.Faulted && n%every == 0:
					t.Error("a page fault was missed")
					return
				case !used.Faulted:
					clean.Add(1)
				}
				if n%100 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	if clean.Load() == 0 {
		t.Error("every span has page faults: this test proves nothing")
	}
}

// TestASpanTakesOverWhatIsKnown counts the spans that begin without a question to
// the kernel.
func TestASpanTakesOverWhatIsKnown(t *testing.T) {
	var span Span
	known := 0
	for range 1000 {
		span.Begin()
		span.End()
		span.Begin()
		if span.began-span.last.asked <= instant && span.last.read < span.last.asked {
			known++
		}
		span.End()
	}
	if known == 0 {
		t.Error("each span asks the kernel when it begins")
	}
}

// TestThreadsAreToldApart compares threads that are alive at the same time.
func TestThreadsAreToldApart(t *testing.T) {
	ids, taken := make(chan uintptr), make(chan struct{})
	for range 3 {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			r := readings.Get().(*reading)
			first, again := r.id(), r.id()
			if first != again || first == 0 {
				t.Errorf("one thread is %#x and %#x", first, again)
			}
			ids <- first
			<-taken
		}()
	}
	seen := map[uintptr]bool{}
	for range 3 {
		seen[<-ids] = true
	}
	close(taken)
	if len(seen) != 3 {
		t.Errorf("three threads are %d", len(seen))
	}
}
