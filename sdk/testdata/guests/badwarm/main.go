// Command badwarm is a guest whose warming panics.
package main

import (
	"context"

	"github.com/ruedo-dev/ruedo/sdk"
)

func init() {
	sdk.HandleBytes(func(_ context.Context, in []byte) ([]byte, error) { return in, nil })
	sdk.Warm(func() { panic("no table") })
}

func main() { sdk.Main() }
