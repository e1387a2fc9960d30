//go:build hostile

package hostile

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// table is all rows, in their order.
func table() []*row {
	rows := append(moduleRows(),
		bombRow(), uploadRow(), slowRow(), loopRow(), manyLoopsRow(), startRow(), recursionRow(), sleepRow(), pointerRow(),
		floodRow(), logRow(), outputRow(), endRow(), pathRow(), stateRow(), inputRow(), schemaRow(),
		inflationRow(), unreadRow(), halfOpenRow(), httpRow(), framesRow(), idleRow(), originRow(), valueRow(), nameRow(), browserRow())
	rows = append(rows, laneRows()...)
	rows = append(append(rows, egressRows()...), streamRows()...)
	slices.SortStableFunc(rows, func(a, b *row) int { return cmp.Compare(a.number, b.number) })
	return rows
}

func TestHostile(t *testing.T) {
	calm := calmCluster(t)
	a := newArena(t, func(t *testing.T) *cluster { return newCluster(t) })
	before := make(map[*process]state)
	for _, p := range a.processes() {
		before[p] = p.state(t)
	}

	for _, r := range table() {
		t.Run(fmt.Sprintf("%02d %s", r.number, r.name), func(t *testing.T) { a.play(t, r) })
	}

	t.Run("still a cluster", func(t *testing.T) { a.stillWorks(t) })
	t.Run("logs", func(t *testing.T) { a.logsAreGood(t) })
	for _, p := range a.processes() {
		if p.alive() {
			t.Logf("%s: memory %s at the start, %s at the end", p.name, mib(before[p].rss), mib(p.state(t).rss))
		}
	}
	a.report(t)
	a.victim.stop()
	t.Run("goroutines", func(t *testing.T) { a.goroutinesAreBack(t, calm) })
}

// newArena opens a cluster and measures what its victim is like.
func newArena(t *testing.T, open func(t *testing.T) *cluster) *arena {
	t.Helper()
	a := &arena{cluster: open(t), t: t, open: open}
	a.victim = newVictim(t, a.cluster)
	second := func() { time.Sleep(time.Second) }
	a.victim.watch(second) // while connections are made
	if w := a.victim.watch(second); len(w.problems) > 0 {
		t.Fatalf("the victim is not answered: %s: %s", w, w.problems[0])
	}
	a.quiet, a.busy = a.victim.calibrate(t, runnerCount, 2)
	a.victim.neighbours = a.busy.p99 - a.quiet.p99
	t.Logf("the victim alone: %s; beside %d busy processes: %s", a.quiet, runnerCount, a.busy)
	return a
}

// logsAreGood checks what the processes have logged.
func (a *arena) logsAreGood(t *testing.T) {
	b := &bout{cluster: a.cluster, ctx: t.Context(), row: &row{}}
	b.logsAreJSON()
	for _, text := range b.wrong {
		t.Error(text)
	}
}

// stillWorks publishes a service and calls it, on each runner.
func (a *arena) stillWorks(t *testing.T) {
	for i := range 3 {
		name := fmt.Sprint("after-", i)
		if err := a.publish(t.Context(), name, w.Cat(ruedotest.Echo(), w.Custom("serial", fmt.Append(nil, "after", i))), nil); err != nil {
			t.Fatal(err)
		}
		ran := map[string]bool{}
		for n := range 4 * runnerCount {
			in := fmt.Sprintf(`{"n":%d}`, n)
			res, err := a.client.Call(t.Context(), name, []byte(in))
			if err != nil || string(res.Output) != in {
				t.Fatalf("call: %v", err)
			}
			ran[res.Info.GetRunner()] = true
		}
		if len(ran) != runnerCount {
			t.Errorf("%d runners answered, want %d", len(ran), runnerCount)
		}
	}
}

// calmCluster starts a cluster like the attacked one, runs only the victim on
// it, and returns how many goroutines its processes had.
func calmCluster(t *testing.T) (counts []int) {
	t.Run("calm", func(t *testing.T) {
		c := newCluster(t)
		v := newVictim(t, c)
		v.watch(func() { time.Sleep(time.Second) })
		for _, p := range slices.Backward(c.processes()) {
			counts = append(counts, len(p.goroutines(t)))
		}
	})
	return counts
}

// goroutinesAreBack ends the processes by SIGQUIT and checks what each of their
// goroutines was doing.
func (a *arena) goroutinesAreBack(t *testing.T, calm []int) {
	const slack = 30 // for connections of the tests, of which a calm cluster has fewer
	for i, p := range slices.Backward(a.processes()) {
		was := calm[len(calm)-1-i]
		list := slices.DeleteFunc(p.goroutines(t), idleWorker)
		t.Logf("%s: %d goroutines at work, %d in a calm cluster", p.name, len(list), was)
		if len(list) > was+slack {
			t.Errorf("%s has %d goroutines, %d in a calm cluster:\n%s", p.name, len(list), was, strings.Join(list, "\n\n"))
		}
		for _, g := range list {
			for _, f := range []string{"sandbox.(*Template).Call", "sandbox.(*Engine).Load", "UploadModule", "publish.(*Publisher)"} {
				if strings.Contains(g, f) && !strings.Contains(g, victimName) {
					t.Errorf("%s still does something for an attack:\n%s", p.name, tail(g, 2000))
				}
			}
		}
	}
}

// idleWorker reports whether a goroutine is one that a lane keeps for the next
// call: up to 64 of them, as many as calls came at the same time.
func idleWorker(g string) bool { return waiting.MatchString(g) }

var waiting = regexp.MustCompile(`runtime\.chanrecv2\(.*\n.*\n\S*lane/workers\.\(\*Workers\)\.Run\.func`)

// report prints the table of rows.
func (a *arena) report(t *testing.T) {
	if a.restarts > 0 {
		t.Errorf("a row left no cluster to go on with, %d times", a.restarts)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "\nThe victim's p99 was %s alone, and %s beside %d ordinary busy processes.\n\n", ms(a.quiet.p99), ms(a.busy.p99), runnerCount)
	fmt.Fprintf(&s, "| row | attack | verdict | rounds | tries | victim p99 before | beside | allowed | max |\n|---|---|---|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range a.results {
		verdict := "pass"
		if len(r.wrong) > 0 {
			verdict = "FAIL"
		}
		fmt.Fprintf(&s, "| %d | %s | %s | %d | %d | %s | %s | %s | %s |\n", r.row.number, r.row.name, verdict,
			r.rounds, r.tries, ms(r.control.p99), ms(r.attack.p99), ms(r.allowed), ms(r.attack.max))
	}
	for _, r := range a.results {
		for _, text := range r.wrong {
			fmt.Fprintf(&s, "\nrow %d: %s", r.row.number, strings.ReplaceAll(text, "\n", "\n    "))
		}
	}
	fmt.Println(s.String())
	if file := os.Getenv("RUEDO_HOSTILE_OUT"); file != "" {
		if err := appendTo(file, s.String()); err != nil {
			fmt.Println(err)
		}
	}
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
