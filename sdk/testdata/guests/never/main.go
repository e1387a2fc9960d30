// Command never is a guest that registers its handler too late, in main.
package main

import (
	"context"

	"github.com/ruedo-dev/ruedo/sdk"
)

func main() {
	sdk.HandleBytes(func(_ context.Context, in []byte) ([]byte, error) { return in, nil })
	sdk.Main()
}
