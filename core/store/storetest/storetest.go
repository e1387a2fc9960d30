// Package storetest holds what tests keep in a store: modules, services and
// their revisions. It takes stores by interface, so that the store's own tests
// can use it too.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
)

// Context returns the context of a test as somebody who can write.
func Context(t testing.TB) context.Context { return access.WithPrincipal(t.Context(), "user/test") }

// Wasm returns the bytes of a module; each s is another one. Nothing can execute
// it.
func Wasm(s string) []byte { return []byte("\x00asm" + s) }

// Digest returns the name of a module.
func Digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return hex.EncodeToString(sum[:])
}

// Module describes a module.
func Module(wasm []byte) *ruedov1.Module {
	return &ruedov1.Module{Digest: Digest(wasm), SizeBytes: uint64(len(wasm)), Kind: ruedov1.Kind_KIND_FUNCTION}
}

// Put stores a module.
func Put(t testing.TB, s interface {
	PutModule(ctx context.Context, m *ruedov1.Module, data []byte) error
}, wasm []byte) {
	t.Helper()
	if err := s.PutModule(Context(t), Module(wasm), wasm); err != nil {
		t.Fatal(err)
	}
}

// Service returns revision n of a service, with these decorators.
func Service(name string, n uint64, wasm []byte, decorators ...string) *ruedov1.Service {
	return &ruedov1.Service{
		Name:   name,
		Latest: n,
		Revision: &ruedov1.Revision{
			Service:    name,
			Number:     n,
			Module:     Digest(wasm),
			Decorators: decorators,
			Env:        map[string]string{"N": fmt.Sprint(n)},
		},
	}
}

// Publish stores a service that was last seen at a version; 0 means that it is
// new.
func Publish(t testing.TB, s interface {
	PublishService(ctx context.Context, svc *ruedov1.Service, seen int64) (*ruedov1.Service, error)
}, svc *ruedov1.Service, seen int64) *ruedov1.Service {
	t.Helper()
	got, err := s.PublishService(Context(t), svc, seen)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Same checks that two messages are equal.
func Same(t testing.TB, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
