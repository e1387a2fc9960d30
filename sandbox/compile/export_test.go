package compile

import (
	"io"
	"path/filepath"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/sandbox/compile/cache"
	"github.com/ruedo-dev/ruedo/sandbox/compile/confine"
)

// Order sends a child its orders, with limits of a minute.
func Order(w io.Writer, dir string, config func() wazero.RuntimeConfig, wasm []byte) error {
	id, err := identify(filepath.Join(dir, "probe"), config)
	if err != nil {
		return err
	}
	return order{
		Identity: id, Dir: dir, Size: int64(len(wasm)), Workers: 1,
		Timeout: time.Minute, CPU: time.Minute, Memory: 1 << 30, MaxCode: cache.MaxCode,
	}.write(w, wasm)
}

// GetReady does what Child does until the module arrives, but does not watch
// anything, and returns the memory limit.
func GetReady(stdin io.Reader, stdout io.Writer) int64 {
	o, err := readOrder(stdin)
	if err != nil {
		panic(err)
	}
	if _, err := confine.Self(confine.Limits{CPU: o.CPU, Memory: o.Memory, FileSize: o.MaxCode, Nice: o.Nice}); err != nil {
		panic(err)
	}
	if err := (answer{Verdict: verdictReady}).write(stdout); err != nil {
		panic(err)
	}
	return o.Memory
}
