// Package short reads and writes connections with system calls that Go's scheduler is not
// told of.
//
// The scheduler has a monitor, which takes processors away from system calls that block. It
// sleeps while the process is idle, and the first system call afterwards wakes it. Then it
// looks around every 20 µs until the process is idle again. A process that answers calls is
// idle thousands of times a second, and all this takes a tenth of its processor time or more.
// A read or write of a socket never blocks, so there is nothing to monitor.
//
// The monitor also has goroutines that compute for long make room for others, and polls the
// network while all processors are busy. It still does, but begins with the next timer
// instead of the next system call: a server and a runner have several in a second.
package short
