package sandbox_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sandbox/testdata/guests/work"
)

var soak = flag.Int("soak", 1, "how many times longer the soak runs: 40 for 200,000 calls")

// exampleSeed is the seed of the calls before the snapshot, which are the last
// to leave anything behind.
const exampleSeed = 96

// soakLimits are for a guest that should hit them occasionally.
func soakLimits() sandbox.Limits {
	return sandbox.Limits{Memory: 16 << 20, Timeout: time.Minute}
}

// TestSoak calls one Go guest over and over. Its calls leave all kinds of
// things behind, and each tenth call ends at a random point in one way or
// another. Every other answer must be right, and idle instances are compared
// with the snapshot, byte by byte.
func TestSoak(t *testing.T) {
	tpl := load(t, sandbox.Spec{Wasm: guest(t, "function"), Limits: soakLimits(), Example: fmt.Appendf(nil, `{"do":"work","n":%d}`, exampleSeed)})
	if r := tpl.Report(); r.Isolation != sandbox.Pristine || r.Example != nil {
		t.Fatalf("report: %+v", r)
	}
	snapshot, err := tpl.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	first, _, err := do(t, tpl, order{})
	if err != nil {
		t.Fatal(err)
	}
	s := &soaker{t: t, tpl: tpl, snapshot: snapshot, first: first}
	seed := rand.Uint64()
	const workers = 4
	calls := 5000 * *soak
	if racing {
		calls /= 3 // the comparison is slow then
	}
	began := time.Now()
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			for range calls / workers {
				if t.Failed() {
					return
				}
				s.call(rng)
			}
		})
	}
	wg.Wait()
	t.Logf("seed %d, %s: %d answers, %d ended early (%d canceled, %d late, %d trapped, %d exited, %d out of memory), %d instances compared, %d made",
		seed, time.Since(began).Round(time.Millisecond), s.answers.Load(), s.canceled.Load()+s.late.Load()+s.trapped.Load()+s.exited.Load()+s.full.Load(),
		s.canceled.Load(), s.late.Load(), s.trapped.Load(), s.exited.Load(), s.full.Load(), s.compared.Load(), s.cold.Load())
	for what, n := range map[string]*atomic.Int64{
		"answered": &s.answers, "canceled": &s.canceled, "late": &s.late, "trapped": &s.trapped, "exited": &s.exited, "out of memory": &s.full, "compared": &s.compared,
	} {
		if n.Load() == 0 {
			t.Errorf("no call was %s", what)
		}
	}
}

type soaker struct {
	t        *testing.T
	tpl      *sandbox.Template
	snapshot []byte
	first    answer

	answers, canceled, late, trapped, exited, full, compared, cold atomic.Int64
}

// call makes one call and checks its result.
func (s *soaker) call(rng *rand.Rand) {
	o := order{Do: "work", N: rng.IntN(1 << 20)}
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	early := rng.IntN(10) == 0
	if early {
		o.Step = rng.IntN(work.Steps)
		switch n := rng.IntN(100); {
		case n < 30:
			stop := time.AfterFunc(time.Duration(rng.IntN(1000))*time.Microsecond, cancel)
			defer stop.Stop()
		case n < 60:
			var done context.CancelFunc
			ctx, done = context.WithTimeout(ctx, time.Duration(rng.IntN(1000))*time.Microsecond)
			defer done()
		case n < 65: // in the middle of burning
			o.How = "loop"
			var done context.CancelFunc
			ctx, done = context.WithTimeout(ctx, time.Duration(1+rng.IntN(3))*time.Millisecond)
			defer done()
		case n < 82:
			o.How = "panic"
		case n < 96:
			o.How = "exit"
		default:
			o.How = "eat"
		}
	}
	in, err := json.Marshal(o)
	if err != nil {
		s.t.Error(err)
		return
	}
	res, err := s.tpl.Call(ctx, sandbox.Request{ID: "soak", Input: in})
	if res.Cold {
		s.cold.Add(1)
	}
	if err != nil {
		s.failed(o, early, err)
	} else {
		s.answered(o, res.Output)
	}
	if early || rng.IntN(32) == 0 {
		// Calls that ran out of memory had used all of it.
		s.compare(uint32(8 << (5 * rng.IntN(2) * rng.IntN(2))))
	}
}

func (s *soaker) answered(o order, out []byte) {
	s.answers.Add(1)
	var got answer
	if err := json.Unmarshal(out, &got); err != nil {
		s.t.Errorf("%v: %q", err, out)
		return
	}
	want := answer{Text: fmt.Sprintf("%x", work.After(exampleSeed).Do(o.N, func(int) {})), N: 2 * o.N, Count: s.first.Count, Left: s.first.Left}
	if o.How != "" || got.Text != want.Text || got.N != want.N || got.Count != want.Count || got.Left != want.Left {
		s.t.Errorf("%+v: got %+v, want %+v", o, got, want)
	}
}

func (s *soaker) failed(o order, early bool, err error) {
	e, _ := err.(*fault.Error)
	count, how := (*atomic.Int64)(nil), ""
	switch e.Reason {
	case fault.Canceled:
		count, how = &s.canceled, o.How
	case fault.GuestTimeout:
		count, how = &s.late, o.How
	case fault.GuestTrap:
		count, how = &s.trapped, "panic"
	case fault.GuestExit:
		count, how = &s.exited, "exit"
	case fault.GuestMemory:
		count, how = &s.full, "eat"
	}
	if count == nil || !early || how != o.How {
		s.t.Errorf("%+v: got %s %q (%v)", o, e.Reason, e.Message, e.Err)
		return
	}
	count.Add(1)
}

func (s *soaker) compare(pages uint32) {
	checked, err := s.tpl.CheckIdle(s.snapshot, pages)
	if err != nil {
		s.t.Error(err)
	}
	if checked {
		s.compared.Add(1)
	}
}
