package inspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// What is too much.
const (
	// maxLag is how long the memory of a core can be behind the store, and
	// maxMemberLag how many changes a member can be behind the others.
	maxLag       = 10 * time.Second
	maxMemberLag = 1000
	// maxOffset is how far clocks can differ without a warning.
	maxOffset = time.Second
	// maxLatency is how long the store can take to answer without a warning.
	maxLatency = 500 * time.Millisecond
	// nearlyFull is the share of the quota from which on there is a warning, in
	// percent; the store itself warns from there on too.
	nearlyFull = 80
	// maxNamed bounds the names in one finding.
	maxNamed = 5
)

const (
	ok      = ruedov1.HealthLevel_HEALTH_LEVEL_OK
	warning = ruedov1.HealthLevel_HEALTH_LEVEL_WARNING
	bad     = ruedov1.HealthLevel_HEALTH_LEVEL_BAD
)

// findings are what is known of a cluster, and, after judge, what is to be said
// about it.
type findings struct {
	cluster string
	lease   time.Duration
	self    string // id of the core that asks
	leader  *ruedov1.Leader
	// cores and registered are the cores and runners that the store lists, by id;
	// cores includes the core that asks.
	cores      map[string]*ruedov1.Core
	registered map[string]*ruedov1.Runner
	// cordons of runners, by id.
	cordons map[string]*ruedov1.Cordon
	// reports are what cores have reported, by id.
	reports map[string]*report
	// service and runner report whether the caller may read what has a name or an id.
	service, runner func(string) bool
	// members of the store, or why they are not known.
	members      []*ruedov1.Member
	membersError error

	checks []*ruedov1.HealthCheck
}

// say adds a check.
func (f *findings) say(level ruedov1.HealthLevel, name, fix, format string, args ...any) {
	f.checks = append(f.checks, &ruedov1.HealthCheck{Name: name, Level: level, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// judge makes all checks. Each name gets one check if all is well, and otherwise
// one for each thing that is not.
func (f *findings) judge() {
	f.judgeLeader()
	f.judgeCores()
	f.judgeRunners()
	f.judgeCordons()
	f.judgePlacements()
	f.judgeStore()
	f.judgeMembers()
	f.judgeQuota()
	f.judgeAlarms()
	f.judgeClocks()
	f.judgeVersions()
}

// few returns at most maxNamed names as a list.
func few(names []string) string { return some(names, len(names)) }

// some returns at most maxNamed of so many names as a list.
func some(names []string, total int) string {
	return text.List(names[:min(len(names), maxNamed)], total)
}

// fewRunners is few of texts that begin with the id of a runner. Those that the caller
// may not read are only counted.
func (f *findings) fewRunners(texts []string) string {
	var named []string
	for _, t := range texts {
		if id, _, _ := strings.Cut(t, " "); f.runner(id) {
			named = append(named, t)
		}
	}
	if len(named) == 0 {
		return text.Count(len(texts), "runner") + " that you may not see"
	}
	return some(named, len(texts))
}

func (f *findings) judgeLeader() {
	if f.leader == nil {
		f.say(warning, "leader", "if it lasts longer than a few seconds, look at what is wrong with the cores and the store",
			"no core leads: the leader's jobs are not done; calls and publishes go on")
		return
	}
	if id := f.leader.GetCore(); f.cores[id] == nil {
		f.say(warning, "leader", "wait for its lease to end; then another core leads", "core %s leads, but is not registered any more", id)
		return
	}
	if f.core(f.leader.GetCore()).GetError() != "" {
		f.say(warning, "leader", "look at its log and the network; if it was stopped, another core leads when its lease ends", "core %s leads, but does not answer this core", f.leader.GetCore())
		return
	}
	f.say(ok, "leader", "", "core %s leads", f.leader.GetCore())
}

func (f *findings) judgeCores() {
	well := true
	byURL := map[string][]string{}
	for _, id := range slices.Sorted(maps.Keys(f.cores)) {
		if url := f.cores[id].GetUrl(); url != "" {
			byURL[url] = append(byURL[url], id)
		}
		c := f.core(id)
		lag := c.GetCore().GetLag().AsDuration().Round(time.Second)
		switch {
		case c.GetError() != "":
			well = false
			f.say(warning, "cores", "if it was stopped, it disappears within seconds; otherwise look at its log, and at the network between the cores",
				"core %s at %s does not answer: %s", id, c.GetCore().GetUrl(), c.GetError())
		case c.GetCore().GetState() == ruedov1.CoreState_CORE_STATE_DRAINING:
			well = false
			f.say(warning, "cores", "", "core %s is shutting down", id)
		case lag > maxLag && c.GetCore().GetState() != ruedov1.CoreState_CORE_STATE_STALE: // that is the store's
			well = false
			f.say(warning, "cores", "look at its log; if it lasts, restart it", "the memory of core %s is %s behind the store", id, lag)
		}
	}
	for _, url := range slices.Sorted(maps.Keys(byURL)) {
		if ids := byURL[url]; len(ids) > 1 {
			well = false
			f.say(warning, "cores", "give each core a URL of its own, at which the others reach it (server.advertise_url); a core that was killed disappears within seconds",
				"%s have the same URL %s", few(ids), url)
		}
	}
	if well {
		f.say(ok, "cores", "", "%s, all ready", text.Count(len(f.cores), "core"))
	}
}

// judgeStore is about whether the store answers the cores, and how soon.
func (f *findings) judgeStore() {
	well := true
	slowest := time.Duration(0)
	for _, id := range f.answered() {
		c := f.reports[id].GetCore()
		if c.GetState() == ruedov1.CoreState_CORE_STATE_STALE {
			well = false
			f.say(bad, "store", "look at the members of the store, and at the network between them and this core; writes are accepted again on their own",
				"the store has not answered core %s for %s: its calls go on from memory, its writes fail", id, c.GetLag().AsDuration().Round(time.Second))
			continue
		}
		took := f.reports[id].GetStoreLatency().AsDuration()
		slowest = max(slowest, took)
		if took > maxLatency {
			well = false
			f.say(warning, "store", "look at the disks of the store's members and at the network between them",
				"the store took %s to answer core %s", took.Round(time.Millisecond), id)
		}
	}
	if well {
		f.say(ok, "store", "", "answers all cores, the slowest within %s", slowest.Round(100*time.Microsecond))
	}
}

// judgeMembers is about the members of a store that the cores form themselves.
func (f *findings) judgeMembers() {
	if f.membersError != nil {
		if fault.ReasonOf(f.membersError) == fault.StoreExternal {
			f.say(ok, "members", "", "the store is an etcd of its own: its members are managed with its own tools")
			return
		}
		f.say(bad, "members", "look at the log of this core", "the members of the store are not known: %s", f.membersError)
		return
	}
	before := len(f.checks)
	voters, running, leader := 0, 0, false
	for _, m := range f.members {
		name := memberName(m)
		leader = leader || m.GetLeader()
		if m.GetRole() == ruedov1.MemberRole_MEMBER_ROLE_VOTER {
			voters++
			if m.GetState() == ruedov1.MemberState_MEMBER_STATE_RUNNING {
				running++
			}
		}
		switch {
		case m.GetState() == ruedov1.MemberState_MEMBER_STATE_NEW:
			f.say(warning, "members", "start its core, or remove it", "member %s was added and has not started", name)
		case m.GetState() == ruedov1.MemberState_MEMBER_STATE_UNREACHABLE:
			f.say(warning, "members", "start its core; if it is lost for good, replace it", "member %s does not answer", name)
		case m.GetStatus().GetLag() > maxMemberLag:
			f.say(warning, "members", "it catches up on its own; if it does not, look at its disk and its network", "member %s is %d changes behind", name, m.GetStatus().GetLag())
		}
		for _, p := range m.GetStatus().GetProblems() {
			f.say(warning, "members", "look at the log of its core", "member %s: %s", name, p)
		}
	}
	needed := voters/2 + 1
	switch {
	case running < needed:
		f.say(bad, "quorum", "start the other members", "%d of %s answer, and a write needs %d: writes fail", running, text.Count(voters, "voter"), needed)
	case !leader:
		f.say(bad, "quorum", "if it lasts longer than a few seconds, look at the network between the members and at store.tick", "the store has no leader: writes fail")
	case running < voters && running == needed:
		f.say(warning, "quorum", "start the others before another one is lost", "%d of %s answer, and a write needs %d: if one more is lost, writes fail", running, text.Count(voters, "voter"), needed)
	default:
		f.say(ok, "quorum", "", "%d of %s answer, and a write needs %d", running, text.Count(voters, "voter"), needed)
	}
	if len(f.checks) == before+1 {
		f.say(ok, "members", "", "%s, none behind", text.Count(len(f.members), "member"))
	}
}

func memberName(m *ruedov1.Member) string {
	if m.GetName() != "" {
		return m.GetName()
	}
	return m.GetId()
}

// judgeQuota is about how full the store is.
func (f *findings) judgeQuota() {
	well, known := true, false
	var most uint64 // percent
	for _, m := range f.members {
		s := m.GetStatus()
		if s.GetQuotaBytes() == 0 {
			continue
		}
		known = true
		percent := s.GetSizeBytes() * 100 / s.GetQuotaBytes()
		most = max(most, percent)
		if percent < nearlyFull {
			continue
		}
		well = false
		level, what := warning, "is nearly full"
		if percent >= 100 {
			level, what = bad, "is full, so that writes fail"
		}
		f.say(level, "quota", "compact the store; delete services and decorators that nobody needs, or raise store.quota",
			"member %s %s: %s of %s (%d%%)", memberName(m), what, text.Size(s.GetSizeBytes()), text.Size(s.GetQuotaBytes()), percent)
	}
	if well && known {
		f.say(ok, "quota", "", "%d%% used", most)
	}
}

// judgeAlarms is about what cores have found wrong with the store. What stands
// under quota is not said twice.
func (f *findings) judgeAlarms() {
	said := map[string]bool{}
	for _, c := range f.checks {
		said[c.GetName()] = said[c.GetName()] || c.GetLevel() != ok
	}
	type alarm struct{ reason, message, fix string }
	cores := map[alarm][]string{}
	var order []alarm
	for _, id := range f.answered() {
		for _, a := range f.reports[id].GetAlarms() {
			full := a.GetReason() == string(fault.StoreFull) || a.GetReason() == string(fault.StoreNearlyFull)
			if full && said["quota"] {
				continue
			}
			key := alarm{a.GetReason(), a.GetMessage(), a.GetFix()}
			if cores[key] == nil {
				order = append(order, key)
			}
			cores[key] = append(cores[key], id)
		}
	}
	for _, a := range order {
		level := bad
		if a.reason == string(fault.StoreNearlyFull) || a.reason == string(fault.Integrity) {
			level = warning // writes are accepted
		}
		f.say(level, "alarms", a.fix, "%s: %s (%s)", a.reason, a.message, few(cores[a]))
	}
	if len(order) == 0 {
		f.say(ok, "alarms", "", "none")
	}
}

// judgeClocks is about the clocks of the cores, two of which can differ more
// from each other than from the clock of the core that asks.
func (f *findings) judgeClocks() {
	var first, last string // whose clocks are furthest behind and ahead
	for _, id := range f.answered() {
		if first == "" || f.reports[id].offset < f.reports[first].offset {
			first = id
		}
		if last == "" || f.reports[id].offset > f.reports[last].offset {
			last = id
		}
	}
	a, b := f.reports[first], f.reports[last]
	apart := b.offset - a.offset
	certain := apart - a.accuracy - b.accuracy
	const fix = "have all machines take the time from the same source (NTP)"
	switch {
	case certain > f.lease:
		f.say(bad, "clocks", fix, "the clock of core %s is %s ahead of that of core %s, more than a lease (%s): ages, ends of cordons and the order of events are wrong",
			last, apart.Round(time.Millisecond), first, f.lease)
	case certain > maxOffset:
		f.say(warning, "clocks", fix, "the clock of core %s is %s ahead of that of core %s", last, apart.Round(time.Millisecond), first)
	default:
		f.say(ok, "clocks", "", "no two cores differ by more than %s", max(apart, time.Millisecond).Round(time.Millisecond))
	}
}

// judgeVersions is about versions that differ, as they do during an upgrade.
func (f *findings) judgeVersions() {
	cores, members := map[string][]string{}, map[string][]string{}
	for _, id := range slices.Sorted(maps.Keys(f.cores)) {
		v := f.cores[id].GetVersion()
		cores[v] = append(cores[v], "core "+id)
	}
	runners := f.runners()
	for _, id := range slices.Sorted(maps.Keys(runners)) {
		v := runners[id].GetVersion()
		cores[v] = append(cores[v], "runner "+id)
	}
	for _, m := range f.members {
		if v := m.GetStatus().GetVersion(); v != "" {
			members[v] = append(members[v], "member "+memberName(m))
		}
	}
	well := true
	for _, of := range []map[string][]string{cores, members} {
		if len(of) < 2 {
			continue
		}
		well = false
		what := ""
		for i, v := range slices.Sorted(maps.Keys(of)) {
			if i > 0 {
				what += "; "
			}
			what += v + ": " + few(of[v])
		}
		f.say(warning, "versions", "finish the upgrade", "versions differ: %s", what)
	}
	if well {
		f.say(ok, "versions", "", "all the same: %s", slices.Collect(maps.Keys(cores))[0])
	}
}
