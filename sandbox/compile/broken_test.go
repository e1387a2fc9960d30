//go:build linux || darwin

package compile_test

import (
	"os"
	"runtime/debug"

	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

var sink [][]byte

// brokenChild gets ready and dies in the way of its name.
func brokenChild(mode string) {
	memory := compile.GetReady(os.Stdin, os.Stdout)
	switch mode {
	case "greedy-child":
		for { // only the system's limits are left to end it
			b := make([]byte, memory/16)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			sink = append(sink, b)
		}
	case "recursive-child":
		debug.SetMaxStack(16 << 20)
		os.Exit(deeper(1))
	case "panicking-child":
		ended := make(chan bool)
		go func() { panic("out of cheese") }()
		<-ended
	}
	os.Exit(3)
}

func deeper(n int) int {
	if n == 0 {
		return 0
	}
	return deeper(n+1) + 1
}
