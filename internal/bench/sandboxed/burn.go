package sandboxed

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/guests"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// burner runs the guest c/burn in one of the ways. With zero rounds it is a
// trivial call.
type burner struct {
	way    string
	plain  *plain            // native and closing
	ruedo  *sandbox.Template // metered
	closer func(context.Context) error
}

func newBurner(ctx context.Context, way string) (*burner, error) {
	wasm, err := guests.Kept("c/burn")
	if err != nil {
		return nil, err
	}
	b := &burner{way: way}
	if way != metered {
		b.plain, err = newPlain(ctx, wasm, way == closing)
		if err != nil {
			return nil, err
		}
		b.closer = func(context.Context) error { return b.plain.close() }
		return b, nil
	}
	engine, err := sandbox.New(ctx, sandbox.Config{MaxIdle: 16})
	if err != nil {
		return nil, err
	}
	b.closer = engine.Close
	b.ruedo, err = engine.Load(ctx, sandbox.Spec{Wasm: wasm, Limits: sandbox.Limits{Timeout: time.Minute}, Example: []byte{}})
	return b, err
}

// caller returns a function that calls an instance with a number of rounds,
// repeatedly, on one goroutine at a time. A call that its deadline ended is not
// an error.
func (b *burner) caller(ctx context.Context) func(ctx context.Context, rounds uint64) error {
	var i *instance
	return func(callCtx context.Context, rounds uint64) (err error) {
		var in []byte
		if rounds > 0 {
			in = binary.LittleEndian.AppendUint64(nil, rounds)
		}
		if b.ruedo != nil {
			_, err = b.ruedo.Call(callCtx, sandbox.Request{Input: in})
		} else {
			if i == nil {
				if i, err = b.plain.start(ctx); err != nil {
					return err
				}
			}
			_, err = i.answer(callCtx, in)
		}
		// A guest can notice its deadline before the context does.
		if end, ok := callCtx.Deadline(); err != nil && (callCtx.Err() != nil || ok && time.Until(end) <= 0) {
			i = nil // wazero has closed it
			return nil
		}
		return err
	}
}
