package ruedotest

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// Example runs f with a cluster that executes in the core's own process. It is
// for example functions, which have no testing.T.
func Example(f func(c *Cluster)) {
	ctx, cancel := context.WithCancel(context.Background())
	e := &example{ctx: ctx}
	defer func() {
		cancel()
		for i := len(e.cleanups) - 1; i >= 0; i-- {
			e.cleanups[i]()
		}
	}()
	f(New(e, Options{Local: true}))
}

// example is as much of a testing.TB as a cluster needs. A failure ends the
// program.
type example struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
}

func (e *example) Helper()                           {}
func (e *example) Context() context.Context          { return e.ctx }
func (e *example) Cleanup(f func())                  { e.cleanups = append(e.cleanups, f) }
func (e *example) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (e *example) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (e *example) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (e *example) TempDir() string {
	dir, err := os.MkdirTemp("", "ruedotest-")
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
