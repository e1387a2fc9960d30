package wasmbin_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// readAll reads a module and the code of all its functions.
func readAll(b []byte) error {
	m, err := wasmbin.Read(b)
	if err != nil {
		return err
	}
	code := wasmbin.NewCode(m, b)
	for i := range m.Bodies {
		code.Open(i)
		for code.Next() {
		}
		if err := code.Err(); err != nil {
			return err
		}
	}
	return nil
}

// TestSpecification reads every module of the public tests. Valid ones must be
// read, or refused as unsupported if they use a proposal that is not supported.
// Malformed ones must be refused. Validity also depends on the types of
// operands, which only a compiler checks, so invalid ones that are refused are
// just counted.
func TestSpecification(t *testing.T) {
	dir := wasmtest.SpecDir(t)
	for _, c := range []struct {
		suite string
		ours  bool // everything that it uses is supported
	}{
		{suite: "v1", ours: true},
		{suite: "v2", ours: true},
		{suite: "tail-call", ours: true},
		{suite: "extended-const", ours: true},
		{suite: "threads"},
		{suite: "exception-handling"},
		{suite: "typed-function-references"},
	} {
		t.Run(c.suite, func(t *testing.T) {
			var valid, unsupported, malformed, malformedRead, invalid, invalidRefused int
			files, err := filepath.Glob(filepath.Join(dir, c.suite, "testdata", "*.json"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no tests: %v", err)
			}
			for _, file := range files {
				var script struct {
					Commands []struct {
						Type, Filename, Text string
						Line                 int
						ModuleType           string `json:"module_type"`
					}
				}
				b, err := os.ReadFile(file)
				if err == nil {
					err = json.Unmarshal(b, &script)
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, cmd := range script.Commands {
					if !strings.HasSuffix(cmd.Filename, ".wasm") {
						continue
					}
					b, err := os.ReadFile(filepath.Join(filepath.Dir(file), cmd.Filename))
					if err != nil {
						t.Fatal(err)
					}
					arrives(t, b, wasmbin.Limits{}, func() int { return rand.IntN(100) })
					err = readAll(b)
					e, _ := errors.AsType[*fault.Error](err)
					if err != nil && e == nil {
						t.Fatalf("%s: %v is not an *Error", cmd.Filename, err)
					}
					switch cmd.Type {
					case "module", "assert_unlinkable", "assert_uninstantiable":
						switch {
						case err == nil:
							valid++
						case !c.ours && e.Reason == fault.WasmUnsupported:
							unsupported++
						default:
							t.Errorf("%s line %d (%s) is valid: %v", cmd.Filename, cmd.Line, cmd.Type, err)
						}
					case "assert_malformed":
						if malformed++; err == nil {
							malformedRead++
							t.Errorf("%s line %d is malformed and was read: %s", cmd.Filename, cmd.Line, cmd.Text)
						}
					case "assert_invalid":
						if invalid++; err != nil {
							invalidRefused++
						}
					}
				}
			}
			t.Logf("valid: %d read, %d unsupported; malformed: %d of %d refused; invalid: %d of %d refused",
				valid, unsupported, malformed-malformedRead, malformed, invalidRefused, invalid)
		})
	}
}
