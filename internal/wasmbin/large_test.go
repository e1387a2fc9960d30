package wasmbin_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// large builds the largest honest guest of these tests.
func large(tb testing.TB) []byte {
	tb.Helper()
	if testing.Short() {
		tb.Skip("builds a large guest")
	}
	out := filepath.Join(tb.TempDir(), "guest.wasm")
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-o", out, "./testdata/connect")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if msg, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestLargeHonestModule admits a program with net/http and Connect, far from
// every limit.
func TestLargeHonestModule(t *testing.T) {
	b := large(t)
	l := wasmbin.Limits{
		// Half of the defaults, unless the limit is about size.
		Functions: 50_000, Types: 1_000, Globals: 1_000, TableMin: 500_000, Locals: 100, Body: 512 << 10,
		Nesting: 5_000, Targets: 8_192, Complexity: 8_000_000,
	}
	began := time.Now()
	info, err := wasmbin.Admit(b, l)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("%.1f MB in %s, %.2f ms/MB, complexity %d", float64(len(b))/1e6, took, took.Seconds()*1e9/float64(len(b)), info.Complexity)
}

func BenchmarkAdmit(b *testing.B) {
	in := large(b)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wasmbin.Admit(in, wasmbin.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzCode reads arbitrary bytes as the body of a function.
func FuzzCode(f *testing.F) {
	f.Add([]byte{0x0b})
	f.Add(w.Cat([]byte{2, 0x40, 0x20, 0, 0x0e, 1, 0, 1, 0x0b}, w.I64(-1), []byte{0x1a, 0xfd, 12}, make([]byte, 16), []byte{0x1a, 0x0b}))
	f.Add([]byte{0x03, 0x40, 0x20, 0, 0x0d, 0, 0x0b, 0xfc, 10, 0, 0, 0x10, 1, 0xd0, 0x70, 0x1a, 0x0b})
	f.Fuzz(func(t *testing.T, body []byte) {
		in := around(body)
		check(t, in, func() error {
			m, err := wasmbin.Read(in)
			if err != nil {
				return err
			}
			code := wasmbin.NewCode(m, in)
			code.Open(0)
			end := int(m.Bodies[0].Code)
			for code.Next() {
				if code.Start != end || code.End <= code.Start || code.End > int(m.Bodies[0].Offset)+m.Bodies[0].Size {
					t.Fatalf("%s from %d to %d, after %d", code.Op, code.Start, code.End, end)
				}
				end = code.End
			}
			if code.Err() == nil && end != int(m.Bodies[0].Offset)+m.Bodies[0].Size {
				t.Fatalf("the walk ends at %d", end)
			}
			return code.Err()
		})
	})
}
