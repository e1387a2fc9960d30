package protocol

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"connectrpc.com/connect"
)

// SecretHeader carries the lane's secret with requests for streams, bodies, plans
// and modules.
const SecretHeader = "Ruedo-Lane"

// NewSecret returns the secret of a new lane.
func NewSecret() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// WithSecret returns a context for one request, which proves with a header that it
// comes from a runner with a lane.
func WithSecret(ctx context.Context, secret string) context.Context {
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set(SecretHeader, secret)
	return ctx
}
