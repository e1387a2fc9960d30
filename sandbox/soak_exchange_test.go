package sandbox_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// TestSoakExchanges makes exchanges of all kinds, most of which are cut somewhere: by
// the caller, its deadline, an answer that is not read on, a body that breaks off, or
// the guest. No caller gets a byte of another one, calls that are not cut are right,
// and nothing is left.
func TestSoakExchanges(t *testing.T) {
	tpl := load(t, sandbox.Spec{
		Wasm: guest(t, "http"), Limits: sandbox.Limits{Timeout: time.Minute, Grace: 2 * time.Millisecond},
		Examples: []sandbox.Example{{Head: get("/whole").Head, Input: []byte("hello")}, {Head: get("/echo").Head, Input: []byte("hello")}},
	})
	snapshot, err := tpl.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	const workers = 4
	calls := 1000 * *soak
	if racing {
		calls /= 3
	}
	s := &exchangeSoaker{t: t, tpl: tpl, snapshot: snapshot}
	first := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		s.exchange(first, 0) // caches of the host grow before they are measured
	}
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	seed := rand.Uint64()
	began := time.Now()
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			for k := range calls / workers {
				if t.Failed() {
					return
				}
				s.exchange(rng, n*calls+k)
			}
		})
	}
	wg.Wait()
	t.Logf("seed %d, %s: %d exchanges were complete, %d cut, %d instances compared; %d goroutines before and %d after, %d KiB of heap and %d",
		seed, time.Since(began).Round(time.Millisecond), s.complete.Load(), s.cut.Load(), s.compared.Load(),
		goroutines, runtime.NumGoroutine(), heap>>10, heapInUse()>>10)
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines are left of %d", n, goroutines)
	}
	if s.complete.Load() == 0 || s.cut.Load() == 0 || s.compared.Load() == 0 {
		t.Error("exchanges were of one kind only")
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

type exchangeSoaker struct {
	t                       *testing.T
	tpl                     *sandbox.Template
	snapshot                []byte
	complete, cut, compared atomic.Int64
}

// exchange makes one exchange, whose bytes are its own.
func (s *exchangeSoaker) exchange(rng *rand.Rand, number int) {
	mine := bytes.Repeat(fmt.Appendf(nil, "%09d.", number), 1+rng.IntN(2000)*rng.IntN(2)+rng.IntN(10_000)*rng.IntN(2)*rng.IntN(2))
	paths := []string{
		"/whole", "/echo", "/echo", "/blocking", "/half", "/flush/wait", "/ticks", "/dial/tcp://host:7", "/fail",
		"/leave/", "/leave/exit", "/leave/panic", "/leave/wait", "/clean/sleeping",
	}
	path := paths[rng.IntN(len(paths))]
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	req := get(path)
	req.Opener, req.Turn = echoes, new(turns)
	answer := &taker{stop: -1, take: rng.IntN(40_000) + 1}
	req.Responder = answer
	if req.Input = mine; rng.IntN(2) == 0 && !strings.HasPrefix(path, "/dial") { // which asks for its size
		req.Input, req.Body = nil, bytes.NewReader(mine)
	}
	ends := path == "/leave/wait" || path == "/clean/sleeping"
	cut := ends || rng.IntN(3) > 0
	if cut {
		late := time.Duration(rng.IntN(2000)) * time.Microsecond
		switch how := rng.IntN(4); {
		case how == 0:
			var done context.CancelFunc
			ctx, done = context.WithTimeout(ctx, late)
			defer done()
		case how == 1 && !ends:
			answer.stop = rng.IntN(len(mine) + 1)
		case how == 2 && !ends && req.Body != nil:
			at := rng.IntN(len(mine))
			req.Body = io.MultiReader(bytes.NewReader(mine[:at]), iotest.ErrReader(io.ErrUnexpectedEOF))
		default:
			stop := time.AfterFunc(late, cancel)
			defer stop.Stop()
		}
	}
	res, err := s.tpl.Call(ctx, req)
	s.check(path, mine, answer, res, err, cut)
	if rng.IntN(64) == 0 {
		checked, err := s.tpl.CheckIdle(s.snapshot, 8)
		if err != nil {
			s.t.Error(err)
		}
		if checked {
			s.compared.Add(1)
		}
	}
}

// check says what is wrong with the result of an exchange. echo and blocking answer
// with what they got.
func (s *exchangeSoaker) check(path string, mine []byte, answer *taker, res sandbox.Result, err error, cut bool) {
	got := append(bytes.Clone(answer.got), res.Output...)
	if echoed := path == "/echo" || path == "/blocking"; echoed && !bytes.HasPrefix(mine, got) || echoed && err == nil && !cut && len(got) != len(mine) {
		s.t.Errorf("%s: got %d bytes of %d, or those of another call; %v", path, len(got), len(mine), err)
	}
	// Two examples were called three times each before the snapshot.
	if path == "/whole" && err == nil && !bytes.Contains(res.Head, headOf("X-Calls", "7")) {
		s.t.Errorf("the head is %q", res.Head)
	}
	if err == nil {
		s.complete.Add(1)
		if answer.err != nil && answer.err != io.EOF {
			s.t.Errorf("%s succeeded, its answer ended with %v", path, answer.err)
		}
		return
	}
	s.cut.Add(1)
	reason := fault.ReasonOf(err)
	own := path == "/fail" || strings.HasPrefix(path, "/leave/") && path != "/leave/wait"
	if !cut && !own || answer.err == io.EOF && res.Streamed && !own && reason != fault.Canceled && reason != fault.GuestTimeout && reason != fault.GuestError {
		s.t.Errorf("%s: %v; its answer ended with %v", path, err, answer.err)
	}
}

// taker takes an answer in pieces, and stops after some bytes if it is told to.
type taker struct {
	got        []byte
	err        error
	stop, take int
}

func (k *taker) Stream(_ []byte, body io.Reader) {
	buf := make([]byte, k.take)
	for k.stop < 0 || len(k.got) < k.stop {
		n, err := body.Read(buf)
		if k.got = append(k.got, buf[:n]...); err != nil {
			k.err = err
			return
		}
	}
}
