//go:build linux || darwin

package compile_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

// TestTheBudgetGrows compiles bombs: a larger one gets more time than a small
// one, and one that was compiled before gets a multiple. It does not wait for
// others whose budget is smaller, and its failure says that it is not the
// caller's fault.
func TestTheBudgetGrows(t *testing.T) {
	c := open(t, func(cfg *compile.Config) { cfg.CPU = time.Second })
	// 4 MiB of code add a half.
	large := functions(loopsCode(2000, 2000), bytes.Join([][]byte{noLocals, bytes.Repeat([]byte{0x01}, 4<<20), {0x41, 1}}, nil))
	for name, tt := range map[string]struct {
		wasm   []byte
		budget compile.Budget
		text   string
	}{
		"small":                  {bomb, compile.Usual, "more than 1s of CPU time"},
		"large":                  {large, compile.Usual, "more than 1.5s of CPU time"},
		"small, compiled before": {bomb, compile.Proven, "more than 4s of CPU time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.Prepare(t.Context(), tt.wasm, tt.budget)
			e := fault.FromError(err)
			if err == nil || e.Reason != fault.CompileTimeout || !strings.Contains(e.Message, tt.text) {
				t.Fatalf("got %v", err)
			}
			if e.ConnectCode() != fault.CodeUnavailable || !strings.Contains(e.Fix, "runner.compile_time") {
				t.Errorf("%s, fix: %s", e.ConnectCode(), e.Fix)
			}
		})
	}
}
