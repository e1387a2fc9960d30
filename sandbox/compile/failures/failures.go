// Package failures remembers modules that were too much for the compiler a moment
// ago:
//
//	if err := failed.Of(name, time.Now()); err != nil {
//		return err
//	}
//	failed.Add(name, compile(), time.Now())
package failures

import (
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// List holds modules that were too much for the compiler a moment ago. If one
// is sent again, it gets the same answer immediately, because each try would
// take a processor for as long as the limit allows. They are forgotten soon,
// because a machine that was too busy then may not be now. The zero value is
// ready to use. It is not safe for concurrent use.
type List struct {
	list []failure // oldest first
}

type failure struct {
	key   string
	err   *fault.Error
	until time.Time
}

const (
	rememberFor = time.Minute
	maxFailures = 256
)

// Of returns how a module failed, or nil.
func (f *List) Of(key string, now time.Time) *fault.Error {
	for _, x := range f.list {
		if x.key == key && now.Before(x.until) {
			return x.err
		}
	}
	return nil
}

// Add remembers a failure, if its answer is worth it.
func (f *List) Add(key string, err *fault.Error, now time.Time) {
	if err.Reason != fault.CompileTimeout && err.Reason != fault.CompileMemory {
		return
	}
	old := 0
	for old < len(f.list) && (!now.Before(f.list[old].until) || len(f.list)-old >= maxFailures) {
		old++
	}
	f.list = append(f.list[:0], f.list[old:]...)
	f.list = append(f.list, failure{key, err, now.Add(rememberFor)})
}
