//go:build linux || darwin

package compile_test

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

// resident is this process's memory in bytes; 0 where there is no /proc.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if f := strings.Fields(string(text)); err == nil && len(f) > 1 {
		n, _ := strconv.ParseInt(f[1], 10, 64)
		return n * int64(os.Getpagesize())
	}
	return 0
}

// Every one of these is a handful of bytes that wazero would chew on for minutes
// or until the machine has no memory left.
func TestHostileModulesEndWithinLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		wasm   []byte
		reason []string
	}{
		"a billion locals":          {function(append(locals(1e9), 0x41, 0)), []string{compile.ReasonMemory, compile.ReasonTimeout}},
		"four billion locals":       {function(append(locals(4_294_967_295), 0x41, 0)), []string{compile.ReasonMemory, compile.ReasonTimeout, compile.ReasonFailed}},
		"loops times locals":        {loops(2000, 2000), []string{compile.ReasonTimeout, compile.ReasonMemory}},
		"nested loops times locals": {nested(3000, 3000), []string{compile.ReasonTimeout, compile.ReasonMemory}},
		"a hundred thousand blocks": {nested(100_000, 1), []string{compile.ReasonTimeout, compile.ReasonMemory, compile.ReasonFailed}},
		"a huge br_table":           {table(1_000_000, 2000, 2000), []string{compile.ReasonTimeout, compile.ReasonMemory}},
	} {
		t.Run(name, func(t *testing.T) {
			const timeout = slow * 5 * time.Second
			c := open(t, func(cfg *compile.Config) {
				cfg.Timeout, cfg.CPU, cfg.Memory = timeout, 2*time.Second, slow*512<<20
			})
			runtime.GC()
			before := resident()
			var peak int64
			var late time.Duration
			stop, watched := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(watched)
				for last := time.Now(); ; last = time.Now() {
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond):
						late = max(late, time.Since(last))
						peak = max(peak, resident())
					}
				}
			}()
			began := time.Now()
			p, err := c.Prepare(t.Context(), tt.wasm)
			took := time.Since(began)
			close(stop)
			<-watched
			if err == nil {
				p.Release()
				t.Fatalf("the module of %d bytes was compiled in %s, %d MB; it is no bomb", len(tt.wasm), took, p.Memory>>20)
			}
			e := err.(*compile.Error)
			t.Logf("%d bytes: %s after %s; the parent grew by %d KB, and was %s late at most: %s",
				len(tt.wasm), e.Reason, took.Round(time.Millisecond), (peak-before)>>10, late.Round(time.Millisecond), e.Message)
			found := false
			for _, r := range tt.reason {
				found = found || e.Reason == r
			}
			if !found {
				t.Errorf("got %s: %s; want one of %v", e.Reason, e.Message, tt.reason)
			}
			if e.Fix == "" {
				t.Error("there is no fix")
			}
			if took > timeout+2*time.Second {
				t.Errorf("it took %s, the limit is %s", took, timeout)
			}
			if grew := peak - before; grew > 32<<20 {
				t.Errorf("the parent grew by %d MB", grew>>20)
			}
			if late > slow*time.Second {
				t.Errorf("the parent was held up for %s", late)
			}
			// It can still compile.
			if got, _ := run(t, c, returns(7)); got != 7 {
				t.Errorf("the next module returns %d, want 7", got)
			}
		})
	}
}
