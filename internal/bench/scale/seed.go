package scale

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

// clusterID is the cluster that a core belongs to by default.
const clusterID = "default"

// writers is how many services are written at the same time.
const writers = 32

func serviceName(i int) string   { return fmt.Sprintf("service-%05d", i) }
func decoratorName(i int) string { return fmt.Sprintf("rules-%05d", i) }

// seed writes n services, each with a decorator of its own, to the store in a
// data directory, as publishes would have left them.
func seed(ctx context.Context, dir string, n int) (err error) {
	etcd, err := etcdembed.Start(ctx, etcdembed.Config{Dir: dir, UnsafeNoFsync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, etcd.Close()) }()
	st, err := store.Open(ctx, store.Config{Client: etcd.Client(), Check: etcd.Check, Cluster: clusterID})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	ctx = access.WithPrincipal(ctx, "user/ada") // who the audit says has published them
	module, wasm := echo()
	if err := st.Modules.PutModule(ctx, module, wasm); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for i := range n {
		g.Go(func() error {
			d, err := decorator(i)
			if err != nil {
				return err
			}
			if _, err := st.CreateDecorator(ctx, d); err != nil {
				return err
			}
			_, err = st.PublishService(ctx, service(i, module), 0)
			return err
		})
	}
	return g.Wait()
}

// echo returns the module of all services.
func echo() (*ruedov1.Module, []byte) {
	wasm := ruedotest.Echo()
	sum := sha256.Sum256(wasm)
	return &ruedov1.Module{Digest: hex.EncodeToString(sum[:]), SizeBytes: uint64(len(wasm)), Kind: ruedov1.Kind_KIND_FUNCTION}, wasm
}

func service(i int, module *ruedov1.Module) *ruedov1.Service {
	now := timestamppb.Now()
	return &ruedov1.Service{
		Name: serviceName(i), Description: "Returns its input.", Tags: []string{"scale"}, Latest: 1, CreateTime: now, UpdateTime: now,
		Revision: &ruedov1.Revision{
			Service: serviceName(i), Number: 1, Module: module.GetDigest(), ModuleBytes: module.GetSizeBytes(), Kind: module.GetKind(),
			Decorators: []string{decoratorName(i)}, CreateTime: now, Origin: "ada@laptop:/src/" + serviceName(i),
			EffectiveIsolation: ruedov1.Isolation_ISOLATION_PRISTINE,
		},
	}
}

// decorator returns limits, and a schema such as that of examples/greet. It
// differs from all others.
func decorator(i int) (*ruedov1.Decorator, error) {
	schema, err := structpb.NewStruct(map[string]any{
		"type": "object", "required": []any{"name"}, "additionalProperties": false,
		"properties": map[string]any{
			"name":     map[string]any{"description": "Whom to greet.", "type": "string", "minLength": 1, "maxLength": 64 + i},
			"age":      map[string]any{"description": "Age in years.", "type": "integer", "minimum": 0, "maximum": 150},
			"language": map[string]any{"description": "Language of the greeting.", "enum": []any{"en", "es", "de", "fr"}},
		},
	})
	return &ruedov1.Decorator{
		Name: decoratorName(i), Description: "Limits and the schema of an input.",
		InputSchema: schema, Limits: &ruedov1.Limits{MemoryBytes: 64 << 20, Timeout: durationpb.New(5e9)},
	}, err
}
