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
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

const (
	// pace is how often moves are made again at most: a flood of requests is an
	// attack of its own, against quotas.
	pace = 100 * time.Millisecond
	// span is how long a row goes on at least, its moves again and again, and
	// how long the window before it is.
	span = 2500 * time.Millisecond
	// backWithin is when everything must be back.
	backWithin = 5 * time.Second
	// tries of a row whose only failure is time.
	tries = 3
	// memorySlack is how much more memory a process may have after a row than
	// before: some compiled plans are kept, and the heap of the garbage collector
	// breathes.
	memorySlack = 48 << 20
	// threadSlack and fileSlack are the same for threads and open files.
	threadSlack = 6
	fileSlack   = 40
	// goroutineSlack is the same for goroutines of the core.
	goroutineSlack = 100
	// filesPerPlan are open files of a compiled plan that is kept.
	filesPerPlan = 3
)

// row is one line of the table of attacks.
type row struct {
	number int
	name   string
	// setup publishes what the moves need. It is not timed.
	setup func(b *bout)
	// moves are made one after the other, again and again.
	moves []move
	// once: the moves are not made again.
	once bool
	// atOnce is how many guests the moves keep busy at a time; 0 means one for each
	// runner.
	atOnce int
	// control is what goes on in the window before, where that is not nothing.
	control func(b *bout)
	// peakCore and peakRunner bound the memory during the row, in bytes over
	// that before; 0 means no bound.
	peakCore, peakRunner int
	// kept is memory that the core may have after the row, in bytes, besides what
	// every process may.
	kept int
}

type move struct {
	name string
	do   func(b *bout)
}

// bout is one try of one row. Its methods may be called from many goroutines.
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
	// answered are the reasons that moves were answered with.
	answered map[fault.Reason]bool
}

// begun says when a move began.
type begun struct {
	at   time.Time
	move string
}

// begin names the move that follows.
func (b *bout) begin(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.move = name
	b.begun = append(b.begun, begun{time.Now(), name})
}

// blame says beside which moves the calls of a victim took longer than they may.
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

// Errorf notes what is wrong.
func (b *bout) Errorf(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(&b.wrong, fmt.Sprintf(format, args...))
}

// tooLate notes what took too long: that may be the machine's fault, so the row
// is tried again.
func (b *bout) tooLate(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(&b.late, fmt.Sprintf(format, args...))
}

// note is for the report.
func (b *bout) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// add keeps each text once for each move.
func (b *bout) add(to *[]string, text string) {
	prefix := b.move + ": "
	if slices.ContainsFunc(*to, func(s string) bool { return strings.HasPrefix(s, prefix) }) && len(*to) > 12 {
		return
	}
	if text = prefix + text; !slices.Contains(*to, text) {
		*to = append(*to, text)
	}
}

// unique makes a module one that the cluster has not seen.
func (b *bout) unique(wasm []byte) []byte {
	return wasmtest.Cat(wasm, wasmtest.Custom("serial", fmt.Append(nil, b.serial.Add(1))))
}

// expect says what an answer must be.
type expect struct {
	reason fault.Reason
	// code where it is not that of the reason.
	code fault.Code
	// text must all be in the message, in any order; numbers stand without
	// separators.
	text []string
	// meta must hold these facts.
	meta map[string]string
	// or is another reason that will do as well, with its own code and text.
	or fault.Reason
	// noFix: there is nothing to do about it.
	noFix bool
}

// check holds an error against what is expected.
func (b *bout) check(what string, err error, want expect) {
	if err == nil {
		b.Errorf("%s: it was taken; want %s", what, want.reason)
		return
	}
	e := faultrpc.Of(err)
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

// everything is all that an error tells.
func everything(err error) string {
	e := faultrpc.Of(err)
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
			panic(err) // it came off the wire
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

// refused publishes what must not get in.
func (b *bout) refused(wasm []byte, want expect) {
	b.check("publish", b.publish(b.ctx, b.service(), wasm, nil), want)
}

// service is the name of the row's service.
func (b *bout) service(suffix ...string) string {
	return strings.Join(append([]string{fmt.Sprintf("row-%d", b.row.number)}, suffix...), "-")
}

// call calls a service and looks for the secret in what comes back.
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

// bounded fails where something took longer than it may.
func (b *bout) bounded(what string, took, most time.Duration) {
	if took > most {
		b.tooLate("%s took %s, the most is %s", what, ms(took), ms(most))
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
	t       *testing.T // that of all rows
	anew    int        // how often a row left no cluster to go on with
	victim  *victim
	serial  atomic.Int64
	results []*result
}

// play runs one row.
func (a *arena) play(t *testing.T, r *row) {
	a.whole(t)
	res := &result{row: r}
	a.results = append(a.results, res)
	neighbours, atOnce := a.victim.neighbours, max(r.atOnce, runnerCount)
	if atOnce > runnerCount {
		quiet, busy := a.victim.calibrate(t, atOnce, 1)
		neighbours = max(neighbours, busy.p99-quiet.p99)
	}
	for res.tries = 1; res.tries <= tries; res.tries++ {
		res.wrong = []string{"the row did not end"} // unless it does
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
			// The machine may be busier now than it was at the start.
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

// whole starts another cluster where a row has left none to go on with, so that
// the rows after it tell something.
func (a *arena) whole(t *testing.T) {
	alive := !slices.ContainsFunc(a.processes(), func(p *process) bool { return !p.alive() })
	if alive && eventually(10*time.Second, func() bool { return a.ready(t.Context()) == runnerCount }) {
		return
	}
	a.anew++
	a.victim.stop()
	for _, p := range a.processes() {
		p.kill()
	}
	neighbours := a.victim.neighbours
	a.cluster = newCluster(a.t)
	a.victim = newVictim(a.t, a.cluster)
	a.victim.neighbours = neighbours
	a.victim.watch(func() { time.Sleep(time.Second) })
}

// try makes the moves of a row, with the victim beside them.
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
	clear(b.answered) // the setup's
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
					break // survived says so
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
	a.survived(t, b, before, goroutines, int(a.published.Load()-published))
	res.notes = b.notes
	return b
}

// survived checks that the cluster is what it was before.
func (a *arena) survived(t *testing.T, b *bout, before map[*process]state, goroutines float64, plans int) {
	for _, p := range a.processes() {
		if !p.alive() {
			b.Errorf("%s is dead:\n%s", p.name, tail(p.output(0), 4000))
			t.Fatalf("%s is dead: %s", p.name, strings.Join(b.wrong, "\n"))
		}
		was := before[p]
		most := was.rss + b.row.peakRunner
		if p == a.core {
			most = was.rss + b.row.peakCore
		}
		peak := p.state(t).peak
		if most > was.rss && peak > most {
			b.Errorf("%s had up to %s of memory, from %s before; %s are allowed", p.name, mib(peak), mib(was.rss), mib(most))
		}
		if p == a.core && peak > coreMemory {
			b.Errorf("%s had up to %s of memory; the most is %s", p.name, mib(peak), mib(coreMemory))
		}
		slack := memorySlack
		if p == a.core {
			slack += b.row.kept
		}
		var now state
		back := func() bool {
			now = p.state(t)
			return now.rss <= was.rss+slack && now.threads <= was.threads+threadSlack && now.files <= was.files+fileSlack+filesPerPlan*plans && len(now.children) == 0
		}
		if !eventually(backWithin, back) {
			b.Errorf("%s is not back after %s: memory %s, was %s; threads %d, was %d; files %d, was %d; children %v",
				p.name, backWithin, mib(now.rss), mib(was.rss), now.threads, was.threads, now.files, was.files, now.children)
		}
		b.note("%s: memory %s, peak %s, then %s; threads %d then %d; files %d then %d", p.name, mib(was.rss), mib(peak), mib(now.rss), was.threads, now.threads, was.files, now.files)
	}
	if n := a.ready(b.ctx); n != runnerCount {
		b.Errorf("%d runners are ready, there were %d", n, runnerCount)
	}
	var now float64
	if !eventually(backWithin, func() bool {
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
