// Package contest lets several ways to do the same thing take turns, and measures
// the processor time that each takes.
package contest

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// Contender is one of the ways.
type Contender struct {
	Name string
	Do   func(n int) error // does it n times
}

// Times are the microseconds of processor time that one repetition took each
// contender, round by round.
type Times map[string][]float64

// Run lets all contenders take turns, each for a slice of processor time. The order
// rotates, so that no contender always follows the same one.
func Run(ctx context.Context, rounds int, slice time.Duration, contenders []Contender) (Times, error) {
	counts := make([]int, len(contenders))
	for i, c := range contenders {
		n, err := Calibrate(c, slice)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		counts[i] = n
	}
	out := Times{}
	for round := range rounds {
		for k := range contenders {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			i := (k + round) % len(contenders)
			runtime.GC() // so that no contender pays for another one's garbage
			before := CPU()
			if err := contenders[i].Do(counts[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", contenders[i].Name, err)
			}
			took := CPU() - before
			out[contenders[i].Name] = append(out[contenders[i].Name], float64(took.Nanoseconds())/1000/float64(counts[i]))
		}
	}
	return out, nil
}

// Calibrate warms a contender up and finds how many repetitions fit in a slice.
func Calibrate(c Contender, slice time.Duration) (int, error) {
	for n := 1; ; n *= 4 {
		before := CPU()
		if err := c.Do(n); err != nil {
			return 0, err
		}
		if took := CPU() - before; took > slice/10 {
			return max(int(float64(n)*float64(slice)/float64(took)), 1), nil
		}
	}
}

// CPU returns the processor time that this process has used so far, user and system.
func CPU() time.Duration { return usage(syscall.RUSAGE_SELF) }

// ChildrenCPU returns the same of the children that have ended.
func ChildrenCPU() time.Duration { return usage(syscall.RUSAGE_CHILDREN) }

func usage(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		panic(err) // only a wrong argument can make it fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
