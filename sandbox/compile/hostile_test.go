//go:build linux || darwin

package compile_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

// resident returns this process's memory in bytes; 0 if there is no /proc.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if f := strings.Fields(string(text)); err == nil && len(f) > 1 {
		n, _ := strconv.ParseInt(f[1], 10, 64)
		return n * int64(os.Getpagesize())
	}
	return 0
}

// lateness returns the longest time that a goroutine was held up until stop.
func lateness(stop <-chan struct{}, each func()) (late time.Duration) {
	for last := time.Now(); ; last = time.Now() {
		select {
		case <-stop:
			return max(late, time.Since(last))
		case <-time.After(5 * time.Millisecond):
			late = max(late, time.Since(last))
			each()
		}
	}
}

// startBystander starts an unrelated process. The returned function ends it and
// returns for how long it was held up: for that, the machine is to blame.
func startBystander(t *testing.T) func() time.Duration {
	t.Helper()
	command := self(t, "bystander")
	cmd := exec.Command(command[0], command[1:]...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() time.Duration {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		late, err := time.ParseDuration(out.String())
		if err != nil {
			t.Fatal(err)
		}
		return late
	}
}

func beBystander() {
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	fmt.Print(lateness(stop, func() {}))
}

// Each of these is a handful of bytes that would keep wazero busy for minutes,
// or until the machine has no memory left.
func TestHostileModulesEndWithinLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		wasm   []byte
		reason []fault.Reason
	}{
		"a billion locals":          {function(append(locals(1e9), 0x41, 0)), []fault.Reason{fault.CompileMemory, fault.CompileTimeout}},
		"four billion locals":       {function(append(locals(4_294_967_295), 0x41, 0)), []fault.Reason{fault.CompileMemory, fault.CompileTimeout, fault.CompileFailed}},
		"loops times locals":        {loops(2000, 2000), []fault.Reason{fault.CompileTimeout, fault.CompileMemory}},
		"nested loops times locals": {nested(3000, 3000), []fault.Reason{fault.CompileTimeout, fault.CompileMemory}},
		"a hundred thousand blocks": {nested(100_000, 1), []fault.Reason{fault.CompileTimeout, fault.CompileMemory, fault.CompileFailed}},
		"a huge br_table":           {table(1_000_000, 2000, 2000), []fault.Reason{fault.CompileTimeout, fault.CompileMemory}},
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
			bystander := startBystander(t)
			go func() {
				defer close(watched)
				late = lateness(stop, func() { peak = max(peak, resident()) })
			}()
			began := time.Now()
			p, err := c.Prepare(t.Context(), tt.wasm, compile.Usual)
			took := time.Since(began)
			close(stop)
			<-watched
			others := bystander()
			if err == nil {
				p.Release()
				t.Fatalf("the module of %d bytes was compiled in %s, %d MB; it is no bomb", len(tt.wasm), took, p.Memory>>20)
			}
			e := err.(*fault.Error)
			t.Logf("%d bytes: %s after %s; the parent grew by %d KB, and was %s late at most, a bystander %s: %s",
				len(tt.wasm), e.Reason, took.Round(time.Millisecond), (peak-before)>>10, late.Round(time.Millisecond), others.Round(time.Millisecond), e.Message)
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
			if took > timeout+2*time.Second+2*others {
				t.Errorf("it took %s, the limit is %s", took, timeout)
			}
			if grew := peak - before; grew > 32<<20 {
				t.Errorf("the parent grew by %d MB", grew>>20)
			}
			if late > slow*time.Second+2*others {
				t.Errorf("the parent was held up for %s, a bystander for %s", late, others)
			}
			// It can still compile.
			if got, _ := run(t, c, returns(7)); got != 7 {
				t.Errorf("the next module returns %d, want 7", got)
			}
		})
	}
}
