package inspect

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ruedo-dev/ruedo/core/dispatch/terms"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// runners returns where each runner is attached, by its id.
func (f *findings) runners() map[string]*ruedov1.RunnerHealth {
	all := map[string]*ruedov1.RunnerHealth{}
	for id, r := range f.registered {
		all[id] = &ruedov1.RunnerHealth{Id: id, Version: r.GetVersion(), Registered: true, Cordon: f.cordons[id]}
	}
	for _, id := range f.answered() {
		for _, r := range f.reports[id].GetRunners() {
			h := all[r.GetId()]
			if h == nil {
				h = &ruedov1.RunnerHealth{Id: r.GetId(), Version: r.GetVersion(), Cordon: f.cordons[r.GetId()]}
				all[r.GetId()] = h
			}
			h.Cores = append(h.Cores, id)
			h.Ready = h.Ready || f.serves(r)
			if e := r.GetEjection(); e != nil {
				if h.Ejections == nil {
					h.Ejections = map[string]*ruedov1.Ejection{}
				}
				h.Ejections[id] = e
			}
		}
	}
	return all
}

// serves reports whether a runner, as a core has reported it, takes calls of that
// core.
func (f *findings) serves(r *ruedov1.Runner) bool {
	e := r.GetEjection()
	return r.GetState() == ruedov1.RunnerState_RUNNER_STATE_READY && f.cordons[r.GetId()] == nil && (e == nil || e.GetWaived())
}

func (f *findings) judgeRunners() {
	var lost, partly, ejected []string
	runners := f.runners()
	ready := 0
	answered := f.answered()
	distributed := 0
	for _, id := range answered {
		if f.reports[id].GetDistributedExecution() {
			distributed++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(runners)) {
		r := runners[id]
		if r.GetReady() {
			ready++
		}
		switch {
		case len(r.GetCores()) == 0:
			lost = append(lost, id)
		case r.GetRegistered() && len(r.GetCores()) < distributed:
			partly = append(partly, id)
		}
		if len(r.GetEjections()) > 0 {
			ejected = append(ejected, id+" ("+ejections(r)+")")
		}
	}
	well := true
	for _, id := range answered {
		if c := f.core(id); c.GetReadyRunners() == 0 && c.GetCore().GetState() != ruedov1.CoreState_CORE_STATE_DRAINING {
			well = false
			why, fix := "", "start a runner, or look at the logs of those that should be attached"
			if f.allCordoned(id) {
				why, fix = ", because all that are attached are cordoned", "uncordon a runner, or start another one"
			}
			f.say(bad, "runners", fix, "core %s has no runner that takes calls%s: its calls fail", id, why)
		}
	}
	if len(lost) > 0 {
		well = false
		f.say(warning, "runners", "a runner that was killed disappears within seconds; otherwise look at its log, and at the network between it and the cores",
			"%s registered and attached to no core: %s", text.Count(len(lost), "runner"), f.fewRunners(lost))
	}
	if len(partly) > 0 {
		well = false
		f.say(warning, "runners", "look at the network between these runners and the cores; a runner that was given a list of cores attaches to these only",
			"%s not attached to all cores: %s", text.Count(len(partly), "runner"), f.fewRunners(partly))
	}
	if len(ejected) > 0 {
		well = false
		f.say(warning, "runners", "look at their logs; each gets calls again once it answers a probe",
			"%s ejected for a while, because of failures: %s", text.Count(len(ejected), "runner"), f.fewRunners(ejected))
	}
	if well {
		f.say(ok, "runners", "", "%s, %d ready", text.Count(len(runners), "runner"), ready)
	}
}

// allCordoned reports whether a core has runners that accept calls, all of them
// cordoned.
func (f *findings) allCordoned(core string) bool {
	found := false
	for _, r := range f.reports[core].GetRunners() {
		if r.GetState() != ruedov1.RunnerState_RUNNER_STATE_READY {
			continue
		}
		if f.cordons[r.GetId()] == nil {
			return false
		}
		found = true
	}
	return found
}

// ejections says which cores have ejected a runner and why.
func ejections(r *ruedov1.RunnerHealth) string {
	ids := slices.Sorted(maps.Keys(r.GetEjections()))
	last := r.GetEjections()[ids[len(ids)-1]]
	s := fmt.Sprintf("by %s: %s", few(ids), short(last.GetMessage()))
	if last.GetWaived() {
		s += "; it gets calls all the same, because too many are ejected"
	}
	return s
}

// short cuts a text that somebody else has written.
func short(s string) string { return fault.Cut(s, 80) }

// judgeCordons is about runners that operators have taken out of service. That is
// as it should be, unless it has no end: such a cordon can be forgotten.
func (f *findings) judgeCordons() {
	var timed, endless []string
	for _, id := range slices.Sorted(maps.Keys(f.cordons)) {
		c := f.cordons[id]
		s := id + terms.Of(c)
		if c.GetEndTime() == nil {
			endless = append(endless, s)
		} else {
			timed = append(timed, s)
		}
	}
	if len(endless) > 0 {
		f.say(warning, "cordons", "uncordon them when the work on them is done, or give the cordons an end",
			"%s cordoned without an end: %s", text.Count(len(endless), "runner"), f.fewRunners(endless))
	}
	if len(timed) > 0 {
		f.say(ok, "cordons", "", "%s cordoned: %s", text.Count(len(timed), "runner"), f.fewRunners(timed))
	}
	if len(f.cordons) == 0 {
		f.say(ok, "cordons", "", "no runner is cordoned")
	}
}

// readable returns those of unplaced services that a caller may read, and how many
// there are in all that the caller may know of.
func readable(all []*ruedov1.UnplacedService, total uint32, may func(service string) bool) ([]*ruedov1.UnplacedService, uint32) {
	var visible []*ruedov1.UnplacedService
	for _, s := range all {
		if may(s.GetService()) {
			visible = append(visible, s)
		}
	}
	if len(visible) < len(all) {
		total = uint32(len(visible))
	}
	return visible, total
}

// judgePlacements is about services that no runner can execute because of their
// placement. A core without runners is not asked: all its calls fail.
func (f *findings) judgePlacements() {
	type unplaced struct {
		list  string
		total int
	}
	lacking := map[unplaced][]string{} // cores
	var order []unplaced
	judged := 0
	for _, id := range f.answered() {
		r := f.reports[id]
		if f.core(id).GetReadyRunners() == 0 {
			continue
		}
		judged++
		if r.GetUnplacedTotal() == 0 {
			continue
		}
		visible, total := readable(r.GetUnplaced(), r.GetUnplacedTotal(), f.service)
		if total == 0 {
			continue
		}
		var named []string
		for _, s := range visible {
			named = append(named, s.GetService()+" ("+short(s.GetPlacement())+")")
		}
		u := unplaced{some(named, int(total)), int(total)}
		if lacking[u] == nil {
			order = append(order, u)
		}
		lacking[u] = append(lacking[u], id)
	}
	for _, u := range order {
		where := ""
		if cores := lacking[u]; len(cores) < judged {
			where = " at " + few(cores)
		}
		f.say(bad, "placement", "start a runner with such labels (runner.labels), uncordon one, or publish the service with another placement",
			"calls of %s fail%s, because no runner that takes calls meets the placement: %s", text.Count(u.total, "service"), where, u.list)
	}
	if len(order) == 0 && judged > 0 {
		f.say(ok, "placement", "", "each service has a runner that meets its placement")
	}
}
