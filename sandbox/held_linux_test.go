package sandbox_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/ruedo-dev/ruedo/sandbox"
)

// taken returns how much memory this process has: its own pages, and those of
// its memory files, which hold snapshots.
func taken(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var kib int64
	if _, rest, ok := strings.Cut(string(status), "RssAnon:"); !ok {
		t.Skip("the kernel does not say what is anonymous")
	} else if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	total := kib << 10
	files, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, err := os.Readlink(f); err != nil || !strings.HasPrefix(to, "/memfd:pristine") {
			continue
		}
		var st syscall.Stat_t
		if syscall.Stat(f, &st) == nil {
			total += st.Blocks * 512
		}
	}
	return total
}

// TestHeldIsWhatTemplatesTake loads guests of several megabytes, calls them, and
// compares what the engine says that they hold with what the process has taken.
func TestHeldIsWhatTemplatesTake(t *testing.T) {
	if racing {
		t.Skip("the race detector has memory of its own")
	}
	const modules = 4
	wasm := guest(t, "function")
	phrase := []byte("runtime.printpanicval") // a name of a function, which stays with the code
	if !bytes.Contains(wasm, phrase) {
		t.Fatal("the guest has changed: choose another phrase")
	}
	engine := newEngine(t, cached())
	variant := func(n int) []byte {
		return bytes.ReplaceAll(wasm, phrase, fmt.Appendf(bytes.Clone(phrase[:len(phrase)-1]), "%d", n))
	}
	loadIn(t, engine, sandbox.Spec{Wasm: variant(0)}) // what is taken once
	before, held := taken(t), engine.Held().Bytes
	for n := range modules {
		tpl := loadIn(t, engine, sandbox.Spec{Wasm: variant(n + 1)})
		if _, err := tpl.Call(t.Context(), sandbox.Request{Input: []byte(`{"text":"hola","n":21}`)}); err != nil {
			t.Error(err)
		}
	}
	took, says := taken(t)-before, engine.Held().Bytes-held
	t.Logf("%d modules of %d KiB took %d KiB each, and are said to hold %d KiB each", modules, len(wasm)>>10, took>>10/modules, says>>10/modules)
	if codes := engine.Held().Codes; codes != modules+1 {
		t.Errorf("%d compiled modules", codes)
	}
	if says < took*8/10 || says > took*13/10 {
		t.Errorf("templates of %d modules took %d KiB, and are said to hold %d KiB", modules, took>>10, says>>10)
	}
}
