// Package compiler is a program that compiles modules for tests; see
// testkit.Compiler. It is a test itself, because parent and child must have the same
// version of everything, and tests do not know the versions of their libraries.
package compiler

import (
	"os"
	"testing"

	"github.com/ruedo-dev/ruedo/sandbox"
)

func TestMain(*testing.M) {
	if len(os.Args) == 1 { // not by go test
		os.Exit(sandbox.CompileChild(os.Stdin, os.Stdout))
	}
}
