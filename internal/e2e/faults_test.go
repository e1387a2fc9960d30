//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

var (
	faultsFor = flag.Duration("faults", 40*time.Second, "how long the tests with random faults run, each: 10m in make soak")
	seed      = flag.Uint64("seed", 0, "seed of the random faults; 0 takes a new one")
)

// random returns the source of a test's faults, and says its seed.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64N(1 << 32)
	}
	t.Logf("again: make faults FAULTS=%v SEED=%d RUN=%s", *faultsFor, s, t.Name())
	return rand.New(rand.NewPCG(s, s))
}

// tormentor does to a ring what happens to clusters.
type tormentor struct {
	*ring
	*rand.Rand
	killed map[string][]time.Time // by name
	done   map[string]int         // faults by their first word
}

func newTormentor(r *ring, random *rand.Rand) *tormentor {
	return &tormentor{ring: r, Rand: random, killed: make(map[string][]time.Time), done: make(map[string]int)}
}

// fault begins a random fault, and returns its name and what ends it.
func (x *tormentor) fault() (name string, end func()) {
	// All is drawn before the state of the cluster has a say, so that a seed means
	// the same order of faults.
	kind, way, core, runner := x.IntN(10), x.IntN(3), x.IntN(len(x.cores)), x.IntN(max(1, len(x.runners)))
	delay := time.Duration(20+x.IntN(180)) * time.Millisecond
	if len(x.runners) == 0 && kind < 4 {
		kind += 4
	}
	switch kind {
	case 0, 1:
		return x.signal(x.runners[runner].name, x.runners[runner].process, way)
	case 2:
		return x.cut(x.runners[runner].name, way, coreName(core))
	case 3:
		return x.slow(x.runners[runner].name, delay, x.others(-1)...)
	case 4, 5:
		return x.signal(coreName(core), x.cores[core].process, way)
	case 6:
		return x.signal("the leader", x.cores[x.leader()].process, way)
	case 7:
		return x.signal("the store's leader", x.cores[x.storeLeader()].process, way)
	case 8:
		return x.cut(coreName(core), way, x.others(core)...)
	default:
		return x.slow(coreName(core), delay, x.others(core)...)
	}
}

// others returns the names of all cores but core i.
func (x *tormentor) others(i int) (names []string) {
	for k := range x.cores {
		if k != i {
			names = append(names, coreName(k))
		}
	}
	return names
}

// signal kills, ends or stops a process. What has ended starts again with the end
// of the fault.
func (x *tormentor) signal(name string, p *process, way int) (string, func()) {
	switch way {
	case 0:
		x.killed[name] = append(x.killed[name], time.Now())
		p.send(syscall.SIGKILL)
		return "kill -9 " + name, x.revive
	case 1:
		p.send(syscall.SIGTERM)
		return "SIGTERM " + name, x.revive
	default:
		p.send(syscall.SIGSTOP)
		return "SIGSTOP " + name, func() { p.send(syscall.SIGCONT) }
	}
}

// cut cuts a process off from others: in both directions, or so that it hears
// nothing, or so that it is not heard.
func (x *tormentor) cut(name string, way int, from ...string) (string, func()) {
	links, what := both(name, from...), "cut "+name+" off from "+strings.Join(from, ", ")
	if way > 0 {
		var half []link
		for _, l := range links {
			if (l.to == name) == (way == 1) {
				half = append(half, l)
			}
		}
		links, what = half, what+[]string{"", ", it hears nothing", ", it is not heard"}[way]
	}
	return what, x.net.set(state{cut: true}, links...)
}

// slow delays all that goes between a process and others.
func (x *tormentor) slow(name string, delay time.Duration, from ...string) (string, func()) {
	return fmt.Sprintf("slow, %v, between %s and %s", delay, name, strings.Join(from, ", ")), x.net.set(state{delay: delay}, both(name, from...)...)
}

// torment makes faults for so long, now and then two at a time, and ends them.
func (x *tormentor) torment(limit time.Duration) {
	x.t.Helper()
	var ends []func()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		hold, rest, second := time.Duration(500+x.IntN(4500))*time.Millisecond, time.Duration(x.IntN(2000))*time.Millisecond, x.IntN(5) == 0
		name, end := x.fault()
		x.t.Logf("%6.1fs %s for %v", time.Since(x.began).Seconds(), name, hold)
		x.done[strings.Trim(strings.Fields(name)[0], ",")]++
		ends = append(ends, end)
		time.Sleep(hold)
		if second {
			continue
		}
		for _, end := range ends {
			end()
		}
		ends = nil
		time.Sleep(rest)
	}
	for _, end := range ends {
		end()
	}
	x.revive()
}

// heal is how soon all must be well after the last fault.
const heal = 60 * time.Second

// Whatever dies, hangs or is cut off: what was acknowledged is there, answers are
// right, no call is executed twice, and the cluster mends itself.
func TestFaults(t *testing.T) {
	x := newTormentor(newRing(t, 3, 3), random(t))
	l := newLoad(x.ring)
	l.watch()
	l.start(4, 2)
	time.Sleep(3 * time.Second)
	l.stop()
	before := x.settled()

	l.start(4, 2)
	x.torment(*faultsFor)
	took := x.healthy(heal)
	t.Logf("all is well %v after the last fault", took.Round(100*time.Millisecond))
	l.stop()

	// From now on nothing fails.
	failures := len(l.reasons)
	failed := func() (n int) {
		for _, k := range l.reasons {
			n += k
		}
		return n
	}
	was := failed()
	l.start(4, 2)
	time.Sleep(3 * time.Second)
	l.stop()
	if now := failed(); now != was || len(l.reasons) != failures {
		t.Errorf("%d requests failed after the cluster was well again: %v", now-was, l.reasons)
	}
	l.verify(t, x.killed)
	x.sober(before)
	t.Logf("faults: %v", x.done)
}

// settled returns what each process uses once they have nothing to do.
func (r *ring) settled() (all []usage) {
	r.t.Helper()
	var last []usage
	testkit.Within(r.t, 30*time.Second, "the processes settle", func() bool {
		last, all = all, r.usages()
		time.Sleep(time.Second)
		if len(last) != len(all) {
			return false
		}
		for i := range all {
			if abs(all[i].goroutines-last[i].goroutines) > 5 || abs(all[i].descriptors-last[i].descriptors) > 2 {
				return false
			}
		}
		return true
	})
	return all
}

func abs(n int) int { return max(n, -n) }

// sober checks that every process soon uses no more than it did before, but for
// what a few idle connections take.
func (r *ring) sober(before []usage) {
	r.t.Helper()
	over := ""
	if !testkit.Poll(2*time.Minute, func() bool {
		over = ""
		for i, now := range r.usages() {
			was := before[i]
			if now.goroutines > was.goroutines+40 || now.descriptors > was.descriptors+16 || now.rss > 2*was.rss+(64<<20) {
				over += fmt.Sprintf("process %d: %v, before %v\n", i, now, was)
			}
		}
		if over != "" {
			time.Sleep(time.Second)
		}
		return over == ""
	}) {
		r.t.Errorf("two minutes after the last request:\n%s", over)
	}
	for i, now := range r.usages() {
		r.t.Logf("process %d: %v, before %v", i, now, before[i])
	}
}
