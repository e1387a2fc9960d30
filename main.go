// Command ruedo publishes WebAssembly services and calls them, on one machine
// or on a fleet of runners. See `ruedo --help`.
package main

import (
	"context"
	"embed"
	"os"

	"github.com/ruedo-dev/ruedo/internal/cli"
)

// sdkSource goes into the folders that `ruedo new` makes. Embedding reaches
// only downward, so it is done here.
//
//go:embed sdk/*.go internal/abi/*.go LICENSE
var sdkSource embed.FS

func main() {
	os.Exit(cli.Main(context.Background(), cli.Process{
		Args:   os.Args[1:],
		Env:    os.Environ(),
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		SDK:    sdkSource,
	}))
}
