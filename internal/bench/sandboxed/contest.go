package sandboxed

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// contender is one of several ways to do the same thing.
type contender struct {
	name string
	do   func(n int) error // does it n times
}

// times are the microseconds of processor time that one repetition took each
// contender, round by round.
type times map[string][]float64

// contest lets all contenders take turns, each for a slice of processor time.
// The order rotates, so that no contender always follows the same one.
func contest(ctx context.Context, rounds int, slice time.Duration, contenders []contender) (times, error) {
	counts := make([]int, len(contenders))
	for i, c := range contenders {
		n, err := calibrate(c, slice)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		counts[i] = n
	}
	out := times{}
	for round := range rounds {
		for k := range contenders {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			i := (k + round) % len(contenders)
			runtime.GC() // so that no contender pays for another one's garbage
			before := processorTime()
			if err := contenders[i].do(counts[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", contenders[i].name, err)
			}
			took := processorTime() - before
			out[contenders[i].name] = append(out[contenders[i].name], micro(took)/float64(counts[i]))
		}
	}
	return out, nil
}

// calibrate warms a contender up and finds how many repetitions fit in a slice.
func calibrate(c contender, slice time.Duration) (int, error) {
	for n := 1; ; n *= 4 {
		before := processorTime()
		if err := c.do(n); err != nil {
			return 0, err
		}
		if took := processorTime() - before; took > slice/10 {
			return max(int(float64(n)*float64(slice)/float64(took)), 1), nil
		}
	}
}

// processorTime returns what this process has used so far, user and system.
func processorTime() time.Duration { return usage(syscall.RUSAGE_SELF) }

func usage(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		panic(err) // only a wrong argument can make it fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// against adds the row that compares a contender with another one.
func (b *bench) against(prefix string, t times, name, baseline string) {
	b.row(prefix+name, table.Median(t[name]), "cpu us", prefix+baseline, table.Median(table.Ratios(t[name], t[baseline])))
}
