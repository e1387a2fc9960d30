package fuel

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ruedo-dev/ruedo/sandbox/pristine"
)

// TestBilledTimeIsTheThreads shares one processor with a rival, so that the thread
// is sent away in the middle of windows, and compares what each of them is billed
// with the thread's clock around it.
func TestBilledTimeIsTheThreads(t *testing.T) {
	image, err := pristine.NewImage(nil, pristine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	memory, err := image.NewMemory(pristine.WasmPage)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMeter(Config{Slots: NewCPUSlots(), Slice: new(Slice), Window: memory})
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
		var billed, used time.Duration
		windows, sentAway := 0, 0
		for began := time.Now(); sentAway < switches && time.Since(began) < time.Minute; windows++ {
			m.cpu = 0
			was, before := switched(t), threadCPU()
			m.enter()
			spin(30 * time.Microsecond)
			m.leave()
			around := threadCPU() - before
			if switched(t) != was {
				sentAway++
			}
			if m.cpu > around+brief {
				t.Errorf("window %d is billed %s, and the thread's clock says %s", windows, m.cpu, around)
			}
			billed, used = billed+m.cpu, used+around
		}
		t.Logf("%d windows, the thread was sent away in %d: billed %s of %s", windows, sentAway, billed, used)
		if sentAway < switches {
			t.Error("the thread is not sent away: this test proves nothing")
		}
		if ratio := float64(billed) / float64(used); ratio < 0.75 || ratio > 1.03 {
			t.Errorf("billed %.2f of what the thread's clock says", ratio)
		}
	}()
	<-done
	stop.Store(true)
	<-rival
	if err := memory.Close(); err != nil {
		t.Error(err)
	}
	if err := image.Close(); err != nil {
		t.Error(err)
	}
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
	for before := threadCPU(); threadCPU()-before < d; {
	}
}

// switched returns how often the thread has given up its processor.
func switched(t *testing.T) int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
		t.Error(err)
	}
	return usage.Nvcsw + usage.Nivcsw
}
