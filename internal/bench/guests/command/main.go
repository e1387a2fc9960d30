// The Go guest as a program: stdin to stdout.
package main

import (
	"io"
	"os"

	"github.com/ruedo-dev/ruedo/internal/bench/guests/answer"
)

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		os.Exit(1)
	}
	if _, err := os.Stdout.Write(answer.To(input)); err != nil {
		os.Exit(1)
	}
}
