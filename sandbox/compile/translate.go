package compile

import (
	"context"
	"errors"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/internal/panics"
	"github.com/ruedo-dev/ruedo/sandbox/compile/cache"
)

// translate compiles wasm with a runtime created for it and leaves the code in
// the cache in dir, or reads it from there. It returns how long that took. A
// panic of the compiler in this goroutine is a [*panics.Error].
func translate(ctx context.Context, config func() wazero.RuntimeConfig, dir string, wasm []byte) (took time.Duration, err error) {
	began := time.Now()
	dirCache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return 0, cache.DiskError(err)
	}
	rt := wazero.NewRuntimeWithConfig(ctx, config().WithCompilationCache(dirCache))
	defer func() { err = errors.Join(err, rt.Close(ctx), dirCache.Close(ctx)) }()
	err = panics.Try(func() error {
		m, err := rt.CompileModule(ctx, wasm)
		took = time.Since(began)
		if err != nil {
			return err
		}
		return m.Close(ctx)
	})
	return took, err
}
