package dispatch

import (
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/labels"
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
