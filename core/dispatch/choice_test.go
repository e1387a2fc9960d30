package dispatch

import (
	"fmt"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/labels"
)

// standing is a member that is always ready.
type standing struct {
	Member
	info *ruedov1.Runner
}

func (s standing) Info() *ruedov1.Runner { return s.info }
func (s standing) Ready() bool           { return true }

// choices returns, by name, functions that choose the runner for a call: without
// labels, within a zone, and with a placement.
func choices(t testing.TB) map[string]func() *member {
	t.Helper()
	selector, err := labels.ParseSelector("rack in (0,1,2),!gpu")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]func() *member)
	for name, zone := range map[string]string{"plain": "", "zone": "a", "placement": "a"} {
		d := New(Config{StartWait: -1, Zone: zone})
		t.Cleanup(d.Close)
		for i := range 6 {
			set := map[string]string{"zone": string("ab"[i%2]), "rack": fmt.Sprint(i)}
			t.Cleanup(d.Add(standing{info: &ruedov1.Runner{Id: fmt.Sprint("r", i), Labels: set}}))
		}
		placement := selector
		if name != "placement" {
			placement = nil
		}
		found[name] = func() *member {
			m, _ := d.next(d.rotation("p", placement), "p")
			return m
		}
	}
	return found
}

// The set is made when runners or plans change, so labels cost a call nothing.
func TestChoosingAllocatesNothing(t *testing.T) {
	for name, choose := range choices(t) {
		seen := make(map[string]int)
		for range 60 {
			seen[choose().Info().GetId()]++
		}
		want := map[string]int{"plain": 6, "zone": 3, "placement": 2}[name]
		for id, n := range seen {
			if len(seen) != want || n != 60/want {
				t.Errorf("%s: %d of 60 calls for %s, of %d runners; want %d in turn", name, n, id, len(seen), want)
			}
		}
		if n := testing.AllocsPerRun(100, func() { choose() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// Services with the same live plan share its turns and its limit, however many other plans
// come and go.
func TestALivePlanKeepsItsRotation(t *testing.T) {
	d := New(Config{StartWait: -1})
	t.Cleanup(d.Close)
	d.SetPlans([]*runnerv1.PrepareRequest{{Id: "live"}})
	live, gone := d.Plan("live", nil), d.Plan("gone", nil)
	for i := range maxRotations {
		d.Plan(fmt.Sprint(i), nil)
	}
	if d.Plan("live", nil) != live {
		t.Error("a plan that is live has two rotations")
	}
	if d.Plan("gone", nil) == gone {
		t.Error("the rotation of a plan that is not live is retained")
	}
}

func BenchmarkChoice(b *testing.B) {
	for name, choose := range choices(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				choose()
			}
		})
	}
}
