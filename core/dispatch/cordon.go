package dispatch

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ruedo-dev/ruedo/core/dispatch/terms"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// SetCordons sets which runners are cordoned, by id. Neither the map nor its
// messages may change afterwards. When it returns, no call that begins later goes
// to one of them.
func (d *Dispatcher) SetCordons(cordons map[string]*ruedov1.Cordon) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cordons = cordons
	d.refreshSnapshot()
	for _, m := range d.members {
		d.schedulePrepare(m) // what it has missed while it was cordoned
	}
}

// cordoned reports whether a runner is cordoned. The caller holds d.mu.
func (d *Dispatcher) cordoned(m *member) bool {
	return len(d.cordons) > 0 && d.cordons[m.Info().GetId()] != nil
}

// namedCordons bounds how many cordons an error names.
const namedCordons = 3

// cordoned is a member that accepts calls and gets none, and why.
type cordoned struct {
	*member
	cordon *ruedov1.Cordon
}

// cordonedFor returns the cordons of the runners that meet a placement.
func (l *live) cordonedFor(placement *labels.Selector) (cordons []*ruedov1.Cordon) {
	for _, c := range l.cordoned {
		if placement.Empty() || placement.Matches(c.Info().GetLabels()) {
			cordons = append(cordons, c.cordon)
		}
	}
	return cordons
}

// allCordoned returns the error for a call that no runner gets because those that
// meet its placement are cordoned.
func allCordoned(cause error, cordons []*ruedov1.Cordon, placement *labels.Selector) *fault.Error {
	slices.SortFunc(cordons, func(a, b *ruedov1.Cordon) int { return cmp.Compare(a.GetRunner(), b.GetRunner()) })
	var named []string
	for _, c := range cordons[:min(len(cordons), namedCordons)] {
		named = append(named, c.GetRunner()+terms.Of(c))
	}
	all, are := "all "+text.Count(len(cordons), "attached runner"), "are"
	if len(cordons) == 1 {
		all, are = "the only attached runner", "is"
	}
	if !placement.Empty() {
		are = fmt.Sprintf("with placement %s %s", placement, are)
	}
	return fault.Wrap(cause, fault.NoRunner, "%s %s cordoned: %s", all, are, text.List(named, len(cordons))).
		With("cordoned", cordons[0].GetRunner()).
		WithFix("uncordon a runner, or start another one that attaches to this core")
}
