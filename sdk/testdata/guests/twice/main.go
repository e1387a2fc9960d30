// Command twice is a guest that registers two handlers.
package main

import (
	"context"

	"github.com/ruedo-dev/ruedo/sdk"
)

func init() {
	sdk.HandleBytes(echo)
	sdk.Handle(func(context.Context, struct{}) (string, error) { return "", nil })
}

func echo(_ context.Context, in []byte) ([]byte, error) { return in, nil }

func main() { sdk.Main() }
