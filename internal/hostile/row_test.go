//go:build hostile

package hostile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

const (
	// pace bounds how often moves are repeated: a flood of requests is an attack
	// of its own, against quotas.
	pace = 100 * time.Millisecond
	// span is how long a row goes on at least, its moves again and again, and
	// how long the window before it is.
	span = 2500 * time.Millisecond
	// backWithin is how soon everything must be back to normal.
	backWithin = 5 * time.Second
	// tries is how often a row is tried that fails only by time.
	tries = 3
	// memorySlack is how much more memory a process can have after a row than
	// before: some compiled plans are retained, and the size of the heap varies.
	memorySlack = 48 << 20
	// threadSlack and fileSlack are the same for threads and open files.
	threadSlack = 6
	fileSlack   = 40
	// goroutineSlack is the same for goroutines of the core.
	goroutineSlack = 100
	// filesPerPlan is the number of open files of a retained compiled plan.
	filesPerPlan = 3
)

// row is one line of the table of attacks.
type row struct {
	number int
	name   string
	// setup publishes what the moves need. Its time is not measured.
	setup func(b *bout)
	// moves are made one after the other, repeatedly.
	moves []move
	// once means that the moves are not repeated.
	once bool
	// skip is why the row cannot be played on this machine; "" if it can.
	skip string
	// atOnce is how many guests the moves keep busy at the same time; 0 means one
	// per runner.
	atOnce int
	// control runs during the window before the row, if it is not nil.
	control func(b *bout)
	// peakCore and peakRunner bound the growth of memory during the row, in bytes;
	// 0 means no bound.
	peakCore, peakRunner int
	// files is how many more open files a process can have after the row, in addition to
	// fileSlack.
	files int
	// children is how many more children the core can have after the row: those that hash
	// passwords wait a minute for the next one.
	children int
	// kept is how much more memory the core can have after the row, in bytes, in
	// addition to memorySlack.
	kept int
}

type move struct {
	name string
	do   func(b *bout)
}

// bout is one try of one row. Its methods are safe for concurrent use.
type bout struct {
	*cluster
	ctx context.Context
	row *row

	mu     sync.Mutex
	move   string
	begun  []begun
	wrong  []string
	late   []string
	notes  []string
	serial *atomic.Int64
	// answered holds the reasons that were returned to moves.
	answered map[fault.Reason]bool
}

// begun is when a move began.
type begun struct {
	at   time.Time
	move string
}

// begin records the name of the next move.
func (b *bout) begin(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.move = name
	b.begun = append(b.begun, begun{time.Now(), name})
}

// blame returns the moves during which calls of a victim took too long.
func (b *bout) blame(slow []sample) string {
	counts := make(map[string]int)
	for _, s := range slow {
		name := "before the first move"
		for _, m := range b.begun {
			if !m.at.After(s.due.Add(s.took)) {
				name = m.move
			}
		}
		counts[name]++
	}
	names := slices.SortedFunc(maps.Keys(counts), func(x, y string) int { return counts[y] - counts[x] })
	for i, n := range names {
		names[i] = fmt.Sprintf("%s %d", n, counts[n])
	}
	return strings.Join(names, ", ")
}

// Errorf records an error.
func (b *bout) Errorf(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(&b.wrong, fmt.Sprintf(format, args...))
}

// tooLate records what took too long: that can be the machine's fault, so the
// row is tried again.
func (b *bout) tooLate(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(&b.late, fmt.Sprintf(format, args...))
}

// note adds a line to the report.
func (b *bout) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// add records each text once per move.
func (b *bout) add(to *[]string, text string) {
	prefix := b.move + ": "
	if slices.ContainsFunc(*to, func(s string) bool { return strings.HasPrefix(s, prefix) }) && len(*to) > 12 {
		return
	}
	if text = prefix + text; !slices.Contains(*to, text) {
		*to = append(*to, text)
	}
}

// unique changes a module to one that the cluster has not seen.
func (b *bout) unique(wasm []byte) []byte {
	return wasmtest.Cat(wasm, wasmtest.Custom("serial", fmt.Append(nil, b.serial.Add(1))))
}

// expect describes the required answer.
type expect struct {
	reason fault.Reason
	// code, if it is not that of the reason.
	code fault.Code
	// text lists what the message must contain, in any order; numbers are given
	// without separators.
	text []string
	// meta lists facts that the error must have.
	meta map[string]string
	// or is another acceptable reason, with its own code and text.
	or fault.Reason
	// noFix means that the error has no fix.
	noFix bool
}

// check compares an error with what is expected.
func (b *bout) check(what string, err error, want expect) {
	if err == nil {
		b.Errorf("%s: it was taken; want %s", what, want.reason)
		return
	}
	e := faultrpc.FromError(err)
	b.clean(what, everything(err))
	if want.or != "" && e.Reason == want.or {
		want.reason, want.code, want.text, want.meta = want.or, 0, nil, nil
	}
	if want.code == 0 {
		want.code = want.reason.Code()
	}
	if e.Reason != want.reason || e.ConnectCode() != want.code {
		b.Errorf("%s: got %s %s, want %s %s: %v", what, e.ConnectCode(), e.Reason, want.code, want.reason, err)
		return
	}
	b.refusal(e.Reason)
	plain := strings.NewReplacer(",", "", "_", "").Replace(e.Message)
	for _, text := range want.text {
		if !strings.Contains(plain, text) && !strings.Contains(e.Message, text) {
			b.Errorf("%s: the text lacks %q: %s", what, text, e.Message)
		}
	}
	for k, v := range want.meta {
		if e.Meta[k] != v {
			b.Errorf("%s: the fact %s is %q, want %q (%v)", what, k, e.Meta[k], v, e.Meta)
		}
	}
	if e.Fix == "" && !want.noFix {
		b.Errorf("%s: nothing says what to do: %s", what, e.Message)
	}
}

// everything returns all texts in an error.
func everything(err error) string {
	e := faultrpc.FromError(err)
	text := fmt.Sprintf("%v %s %s %v %v", err, e.Message, e.Fix, e.Meta, e.Fields)
	if ce, ok := errors.AsType[*connect.Error](err); ok {
		text += fmt.Sprint(ce.Meta())
		for _, d := range ce.Details() {
			text += string(d.Bytes())
		}
	}
	for _, d := range e.Details {
		b, err := proto.Marshal(d.(proto.Message))
		if err != nil {
			panic(err) // it was received over the wire
		}
		text += string(b)
	}
	return text
}

// clean looks for the secret.
func (b *bout) clean(what, text string) {
	if strings.Contains(text, secret) {
		b.Errorf("%s: the secret is in the answer", what)
	}
}

// refused publishes a module that must be refused.
func (b *bout) refused(wasm []byte, want expect) {
	b.check("publish", b.publish(b.ctx, b.service(), wasm, nil), want)
}

// service returns the name of the row's service.
func (b *bout) service(suffix ...string) string {
	return strings.Join(append([]string{fmt.Sprintf("row-%d", b.row.number)}, suffix...), "-")
}

// call calls a service and looks for the secret in the answer.
func (b *bout) call(service string, input []byte) (*client.Response, error) {
	res, err := b.client.Call(b.ctx, service, input, client.WithLogs())
	if err == nil {
		b.clean("call", string(res.Output)+string(res.Info.GetLogs())+res.ContentType)
	} else {
		b.clean("call", everything(err))
		b.refusal(fault.ReasonOf(err))
	}
	return res, err
}

// bounded fails if something took longer than allowed.
func (b *bout) bounded(what string, took, limit time.Duration) {
	if took > limit {
		b.tooLate("%s took %s, the limit is %s", what, ms(took), ms(limit))
	}
}

// result is a row's line in the report.
type result struct {
	row             *row
	control, attack window
	allowed         time.Duration
	rounds, tries   int
	wrong, notes    []string
}

// arena is a cluster under attack.
type arena struct {
	*cluster
	t        *testing.T // the one of all rows
	open     func(t *testing.T) *cluster
	restarts int // how often a row left the cluster unusable
	victim   *victim
	// quiet and busy are what the victim measured at the start, alone and beside
	// ordinary busy processes.
	quiet, busy window
	serial      atomic.Int64
	results     []*result
}

// play runs one row.
func (a *arena) play(t *testing.T, r *row) {
	if r.skip != "" {
		t.Skip(r.skip)
	}
	a.whole(t)
	res := &result{row: r}
	a.results = append(a.results, res)
	neighbours, atOnce := a.victim.neighbours, max(r.atOnce, runnerCount)
	if atOnce > runnerCount {
		quiet, busy := a.victim.calibrate(t, atOnce, 1)
		neighbours = max(neighbours, busy.p99-quiet.p99)
	}
	for res.tries = 1; res.tries <= tries; res.tries++ {
		res.wrong = []string{"the row did not end"} // unless it does end
		b := a.try(t, r, res)
		res.allowed = allowed(res.control, neighbours)
		res.wrong = append(b.wrong, b.late...)
		if res.attack.p99 > res.allowed {
			res.wrong = append(res.wrong, fmt.Sprintf("the victim's p99 went from %s to %s; up to %s is allowed; slow calls by move: %s",
				ms(res.control.p99), ms(res.attack.p99), ms(res.allowed), b.blame(res.attack.over(res.allowed))))
		}
		if len(b.wrong) > 0 || len(res.wrong) == 0 {
			break
		}
		if res.tries < tries {
			// The load of the machine can be higher now than at the start.
			quiet, busy := a.victim.calibrate(t, atOnce, 1)
			neighbours = max(neighbours, busy.p99-quiet.p99)
		}
	}
	res.tries = min(res.tries, tries)
	for _, text := range res.wrong {
		t.Error(text)
	}
	for _, text := range res.notes {
		t.Log(text)
	}
	t.Logf("victim before: %s; beside: %s; allowed %s; %d rounds, %d tries", res.control, res.attack, ms(res.allowed), res.rounds, res.tries)
}

// whole starts another cluster if a row has made the last one unusable, so that
// later rows still have meaning.
func (a *arena) whole(t *testing.T) {
	alive := !slices.ContainsFunc(a.processes(), func(p *process) bool { return !p.alive() })
	if alive && testkit.Poll(10*time.Second, func() bool { return a.ready(t.Context()) == runnerCount }) {
		return
	}
	a.restarts++
	a.victim.stop()
	for _, p := range a.processes() {
		p.kill()
	}
	neighbours := a.victim.neighbours
	a.cluster = a.open(a.t)
	a.victim = newVictim(a.t, a.cluster)
	a.victim.neighbours = neighbours
	a.victim.watch(func() { time.Sleep(time.Second) })
}

// try makes the moves of a row while the victim is called.
func (a *arena) try(t *testing.T, r *row, res *result) *bout {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	b := &bout{cluster: a.cluster, ctx: ctx, row: r, serial: &a.serial, answered: make(map[fault.Reason]bool)}
	if r.setup != nil {
		b.move = "setup"
		if r.setup(b); len(b.wrong) > 0 {
			return b
		}
	}
	before := make(map[*process]state)
	for _, p := range a.processes() {
		p.resetPeak(t)
		before[p] = p.state(t)
	}
	published := a.published.Load()
	counted, err := a.counted(ctx)
	if err != nil {
		t.Fatalf("the core's metrics cannot be read: %v", err)
	}
	goroutines, err := a.metric(ctx, goroutinesMetric)
	if err != nil {
		t.Fatalf("the core's goroutines cannot be counted: %v", err)
	}
	garbage, err := a.garbage(ctx)
	if err != nil {
		t.Fatalf("the core's garbage cannot be measured: %v", err)
	}
	clear(b.answered) // those of setup
	if r.control == nil {
		res.control = a.victim.control()
	} else {
		res.control = a.victim.watch(func() { r.control(b) })
	}
	res.rounds = 0
	res.attack = a.victim.watch(func() {
		for began := time.Now(); res.rounds == 0 || !r.once && time.Since(began) < span && len(b.wrong) == 0; res.rounds++ {
			round := time.Now()
			for _, m := range r.moves {
				if !a.core.alive() {
					break // survived reports it
				}
				b.begin(m.name)
				m.do(b)
			}
			b.begin("the pause between rounds")
			if !r.once {
				time.Sleep(pace - time.Since(round))
			}
		}
	})
	b.move = "afterwards"
	for _, w := range []window{res.control, res.attack} {
		if len(w.problems) > 0 {
			b.Errorf("%d of %d calls of the victim failed: %s", len(w.problems), w.calls, w.problems[0])
		}
	}
	b.accounted(counted)
	a.survived(t, b, before, garbage, goroutines, int(a.published.Load()-published))
	res.notes = b.notes
	return b
}

// survived checks that the cluster is in the same state as before. garbage is what
// the core may have in addition at its peak: see [cluster.garbage].
func (a *arena) survived(t *testing.T, b *bout, before map[*process]state, garbage int, goroutines float64, plans int) {
	for _, p := range a.processes() {
		if !p.alive() {
			b.Errorf("%s is dead:\n%s", p.name, tail(p.output(0), 4000))
			t.Fatalf("%s is dead: %s", p.name, strings.Join(b.wrong, "\n"))
		}
		was := before[p]
		limit := was.rss + b.row.peakRunner
		if p == a.core {
			limit = was.rss + garbage + b.row.peakCore
		}
		peak := p.state(t).peak
		if limit > was.rss && peak > limit {
			b.Errorf("%s had up to %s of memory, from %s before; %s are allowed", p.name, mib(peak), mib(was.rss), mib(limit))
		}
		if p == a.core && peak > coreMemory {
			b.Errorf("%s had up to %s of memory; the limit is %s", p.name, mib(peak), mib(coreMemory))
		}
		slack, children := memorySlack, 0
		if p == a.core {
			slack, children = slack+b.row.kept, b.row.children
		}
		var now state
		back := func() bool {
			now = p.state(t)
			return now.rss <= was.rss+slack && now.threads <= was.threads+threadSlack && now.files <= was.files+fileSlack+b.row.files+filesPerPlan*plans && len(now.children) <= len(was.children)+children
		}
		if !testkit.Poll(backWithin, back) {
			b.Errorf("%s is not back after %s: memory %s, was %s; threads %d, was %d; files %d, was %d; children %v, were %v",
				p.name, backWithin, mib(now.rss), mib(was.rss), now.threads, was.threads, now.files, was.files, now.children, was.children)
		}
		b.note("%s: memory %s, peak %s, then %s; threads %d then %d; files %d then %d", p.name, mib(was.rss), mib(peak), mib(now.rss), was.threads, now.threads, was.files, now.files)
	}
	if n := a.ready(b.ctx); n != runnerCount {
		b.Errorf("%d runners are ready, there were %d", n, runnerCount)
	}
	var now float64
	if !testkit.Poll(backWithin, func() bool {
		var err error
		now, err = a.metric(b.ctx, goroutinesMetric)
		return err == nil && now <= goroutines+goroutineSlack
	}) {
		b.Errorf("the core has %.0f goroutines after %s, it had %.0f", now, backWithin, goroutines)
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
