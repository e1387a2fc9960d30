//go:build race

package short

import "syscall"

// The race detector has to see what arrives.

func read(fd int, p []byte) (int, error) { return syscall.Read(fd, p) }

func write(fd int, p []byte) (int, error) { return syscall.Write(fd, p) }
