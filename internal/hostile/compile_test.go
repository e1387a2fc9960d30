//go:build hostile

package hostile

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// complexityRows are row 5: modules that take a compiler very long. What
// exceeds the limit of admission is refused immediately. What stays just below
// it is either compiled within the budget of the child process, or refused for
// exceeding it.
func complexityRows() []*row {
	bombs := map[string][]byte{"loops": loops(960, 960), "nested loops": nest(950, 950)}
	r := &row{number: 5, name: "2,000 loops x 2,000 locals, and just below", once: true, moves: refusals(5), peakRunner: 256 << 20}
	for name, code := range bombs {
		r.moves = append(r.moves, move{name + " just below the limit", func(b *bout) { b.compileBomb(name, code) }})
	}
	// Meanwhile others publish as quickly as before.
	var before, beside []time.Duration
	others := &row{number: 5, name: "others publish beside what is just below", once: true,
		control: func(b *bout) { before = b.publishes(12) },
		moves: []move{{"others", func(b *bout) {
			var wg sync.WaitGroup
			for name, code := range bombs {
				wg.Go(func() { b.compileBomb(name, code) })
			}
			beside = b.publishes(12)
			wg.Wait()
			b.note("publish of another service: p50 %s, max %s; beside it p50 %s, max %s", ms(before[6]), ms(before[11]), ms(beside[6]), ms(beside[11]))
			// The child can use both CPUs, at a lower priority than everything else.
			if limit := max(before[11]*12/10, before[11]+500*time.Millisecond); beside[11] > limit {
				b.tooLate("publishing another service took up to %s, %s before; up to %s is allowed", ms(beside[11]), ms(before[11]), ms(limit))
			}
		}}},
		peakRunner: 256 << 20,
	}
	return []*row{r, others}
}

// compileBomb publishes what admission just accepts.
func (b *bout) compileBomb(name string, code []byte) {
	began := time.Now()
	err := b.publish(b.ctx, b.service("below", strings.ReplaceAll(name, " ", "-")), b.unique(body(locals(960), code)), nil)
	took := time.Since(began)
	if err != nil {
		e := faultrpc.FromError(err)
		b.clean("publish", everything(err))
		b.refusal(e.Reason)
		if e.Reason != fault.CompileTimeout && e.Reason != fault.CompileMemory || e.Fix == "" {
			b.Errorf("publish: got %s, want to be taken, or COMPILE_TIMEOUT or COMPILE_MEMORY with a fix: %s", e.Reason, e.Message)
		}
	}
	b.note("%s just below the limit: %s after %s", name, answer(err), took.Round(time.Millisecond))
	b.bounded("the answer", took, 16*time.Second)
}

func answer(err error) string {
	if err == nil {
		return "taken"
	}
	return string(fault.ReasonOf(err))
}

// publishes publishes n small services and returns how long each took, shortest
// first.
func (b *bout) publishes(n int) []time.Duration {
	var took []time.Duration
	for range n {
		began := time.Now()
		if err := b.publish(b.ctx, b.service("other"), b.unique(w.Function(w.I32(0)).Bytes()), nil); err != nil {
			b.Errorf("another service cannot be published: %v", err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

// tableRow is row 7: tables that start too large, or grow too large.
func tableRow() *row {
	var setups []func(*bout)
	moves := refusals(7)
	for i, encoded := range []string{"\x70\x00\x02", "\x70\x01\x02\xff\xff\xff\xff\x0f", "\x6f\x00\x02"} {
		null := opRefNullFunc
		if encoded[0] == 0x6f {
			null = w.Ops(0xd0, 0x6f)
		}
		m := w.New()
		m.Memory(1, -1)
		m.TableRaw([]byte(encoded))
		m.AsFunction(m.Func(">i", null, w.I32(200_000_000), opTableGrow))
		name := fmt.Sprint("grow-", i)
		setups = append(setups, func(b *bout) { b.mustPublish(b.service(name), m.Bytes(), time.Second) })
		moves = append(moves, move{name, func(b *bout) {
			_, err := b.call(b.service(name), nil)
			// The guest returns the result of table.grow.
			b.check("call", err, expect{reason: fault.GuestError, text: []string{"-1"}})
		}})
	}
	return &row{
		number: 7, name: "table of 2^27; table.grow by 200 million",
		setup: func(b *bout) {
			for _, f := range setups {
				f(b)
			}
		},
		moves: moves, peakCore: 32 << 20, peakRunner: 48 << 20,
	}
}

// mustPublish publishes a service for the moves of a row.
func (b *bout) mustPublish(name string, wasm []byte, limit time.Duration) {
	if err := b.publish(b.ctx, name, wasm, timeout(limit)); err != nil {
		b.Errorf("publish %s: %v", name, err)
	}
}

// memoryRow is row 8: memory above the limit, at the start and by growing.
func memoryRow() *row {
	const limit = 16 << 20
	tooMuch := expect{reason: fault.GuestMemory, text: []string{"16 MiB"}, meta: map[string]string{"limit": fmt.Sprint(limit)}}
	grow := func(pages int32) []byte { return w.Cat(w.I32(pages), opMemoryGrow) }
	failed := w.Cat(w.I32(-1), opI32Eq)
	calls := []struct {
		name string
		wasm []byte
		want expect
	}{
		{"one-page-at-a-time", w.Function(w.Forever(grow(1), failed, when(w.Unreachable()))).Bytes(), tooMuch},
		{"all-at-once", w.Function(grow(60_000), w.Drop(), w.I32(limit+65536), w.I32(1), opI32Store, w.I32(0)).Bytes(), tooMuch},
		{"and-says-so", w.Function(grow(60_000), failed, when(w.I32(7), opReturn), w.I32(0)).Bytes(), tooMuch},
		// As much as it may have, and every page is written, repeatedly.
		{"all-that-is-allowed", w.Function(grow(limit/65536-1), w.Drop(), w.I32(0), w.I32(7), w.I32(limit), opMemoryFill, w.I32(0)).Bytes(), expect{}},
	}
	moves := []move{
		{"65,536 pages at the start", func(b *bout) {
			wasm := b.unique(huge())
			// Row 8 is about the limit of the service, which is 128 MiB by default.
			b.check("publish", b.publish(b.ctx, b.service("start"), wasm, nil),
				expect{reason: fault.WasmLimitMemory, text: []string{"4 GiB", "128 MiB"}})
		}},
	}
	for _, c := range calls {
		moves = append(moves, move{c.name, func(b *bout) {
			_, err := b.call(b.service(c.name), nil)
			switch {
			case c.want.reason != "":
				b.check("call", err, c.want)
			case err != nil:
				b.Errorf("call: %v", err)
			}
		}})
	}
	return &row{
		number: 8, name: "memory of 65,536 pages; growing past the limit",
		setup: func(b *bout) {
			l := timeout(5 * time.Second)
			l.MemoryBytes = limit
			for _, c := range calls {
				if err := b.publish(b.ctx, b.service(c.name), c.wasm, l); err != nil {
					b.Errorf("publish %s: %v", c.name, err)
				}
			}
		},
		moves: moves, peakCore: 48 << 20, peakRunner: 6 * limit,
	}
}

// huge asks for 4 GiB at its start.
func huge() []byte {
	m := w.New()
	m.Memory(65536, -1)
	m.AsFunction(m.Func(">i", w.I32(0)))
	return m.Bytes()
}
