// Command ruedo publishes WebAssembly services and calls them, on one machine
// or on a fleet of runners. See `ruedo --help`.
package main

import (
	"context"
	"embed"
	"os"

	"github.com/ruedo-dev/ruedo/internal/cli"
)

// sdkSource is the SDK that `ruedo new` copies into a new service. A package
// can embed only files below its own directory, so the root embeds them.
//
//go:embed sdk/*.go sdk/internal/entry/*.go sdk/web/*.go sdk/web/internal/exchange/*.go sdk/web/internal/host/*.go sdk/web/internal/outbound/*.go internal/abi/*.go LICENSE
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
