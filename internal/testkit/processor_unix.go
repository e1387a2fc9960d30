//go:build unix

package testkit

import (
	"syscall"
	"time"
)

// ProcessorTime returns the processor time of this process so far. Other load on
// the machine does not count. It is 0 if the system does not tell.
func ProcessorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // the only error is a wrong argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
