package inspect

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// well is what is found in a cluster of three cores, with a member of the store
// and a lane to the only runner each.
func well() *findings {
	f := &findings{
		cluster: "main", lease: 5 * time.Second, self: "a", leader: &ruedov1.Leader{Core: "b"},
		cores: map[string]*ruedov1.Core{}, reports: map[string]*report{},
		registered: map[string]*ruedov1.Runner{"r": {Id: "r", Version: "1"}}, cordons: map[string]*ruedov1.Cordon{},
		service: anything, runner: anything,
	}
	for _, id := range []string{"a", "b", "c"} {
		core := &ruedov1.Core{Id: id, Url: "http://" + id, Version: "1", State: ruedov1.CoreState_CORE_STATE_READY, Lag: durationpb.New(0)}
		f.cores[id] = core
		f.reports[id] = &report{accuracy: time.Millisecond, GetLocalHealthResponse: &ruedov1.GetLocalHealthResponse{
			Core: core, StoreLatency: durationpb.New(time.Millisecond), DistributedExecution: true,
			Runners: []*ruedov1.Runner{{Id: "r", Version: "1", State: ruedov1.RunnerState_RUNNER_STATE_READY}},
		}}
		f.members = append(f.members, &ruedov1.Member{
			Id: "1" + id, Name: "m" + id, Role: ruedov1.MemberRole_MEMBER_ROLE_VOTER, State: ruedov1.MemberState_MEMBER_STATE_RUNNING, Leader: id == "a",
			Status: &ruedov1.MemberStatus{Version: "3.6", SizeBytes: 10, QuotaBytes: 100},
		})
	}
	return f
}

// anything is read by whoever may read everything.
func anything(string) bool { return true }

// silent makes a core not answer.
func (f *findings) silent(id string) { f.reports[id] = &report{failed: "connection refused"} }

func (f *findings) off(id string, offset time.Duration) { f.reports[id].offset = offset }

func TestEachFindingIsSaid(t *testing.T) {
	for what, c := range map[string]struct {
		change func(f *findings)
		level  ruedov1.HealthLevel
		name   string
		says   string
	}{
		"nothing":       {func(*findings) {}, ok, "quorum", "3 of 3 voters answer, and a write needs 2"},
		"no leader":     {func(f *findings) { f.leader = nil }, warning, "leader", "no core leads"},
		"a dead leader": {func(f *findings) { f.leader = &ruedov1.Leader{Core: "x"} }, warning, "leader", "core x leads, but is not registered"},
		"a silent leader": {func(f *findings) {
			f.leader = &ruedov1.Leader{Core: "c"}
			f.silent("c")
		}, warning, "leader", "core c leads, but does not answer this core"},
		"a dead core": {func(f *findings) { f.silent("c") }, warning, "cores", "core c at http://c does not answer: connection refused"},
		"a core without a URL": {func(f *findings) {
			f.cores["d"] = &ruedov1.Core{Id: "d", Version: "1"}
		}, warning, "cores", "core d at  does not answer: it has no URL"},
		"a core that goes down": {func(f *findings) {
			f.cores["c"].State = ruedov1.CoreState_CORE_STATE_DRAINING
		}, warning, "cores", "core c is shutting down"},
		"a core that is behind": {func(f *findings) { f.cores["c"].Lag = durationpb.New(12 * time.Second) }, warning, "cores", "core c is 12s behind"},
		"one URL for two":       {func(f *findings) { f.cores["c"].Url = "http://b" }, warning, "cores", "b, c have the same URL http://b"},
		"a stale core": {func(f *findings) {
			f.cores["b"].State, f.cores["b"].Lag = ruedov1.CoreState_CORE_STATE_STALE, durationpb.New(20*time.Second)
		}, bad, "store", "has not answered core b for 20s"},
		"a slow store": {func(f *findings) { f.reports["c"].StoreLatency = durationpb.New(2 * time.Second) }, warning, "store", "the store took 2s to answer core c"},
		"no runner":    {func(f *findings) { f.reports["b"].Runners = nil }, bad, "runners", "core b has no runner that takes calls"},
		"a runner drains": {func(f *findings) {
			f.reports["b"].Runners[0].State = ruedov1.RunnerState_RUNNER_STATE_DRAINING
		}, bad, "runners", "core b has no runner that takes calls"},
		"the only runner is cordoned": {func(f *findings) {
			f.cordons["r"] = &ruedov1.Cordon{Runner: "r", EndTime: &timestamppb.Timestamp{}}
		}, bad, "runners", "core b has no runner that takes calls, because all that are attached are cordoned: its calls fail"},
		"a cordon that ends": {func(f *findings) {
			f.cordons["x"] = &ruedov1.Cordon{Runner: "x", From: "ada@laptop", Reason: "new disk", EndTime: &timestamppb.Timestamp{Seconds: 3600}}
		}, ok, "cordons", "1 runner cordoned: x by ada@laptop until 1970-01-01T01:00:00Z (new disk)"},
		"a cordon without an end": {func(f *findings) {
			f.cordons["x"] = &ruedov1.Cordon{Runner: "x"}
		}, warning, "cordons", "1 runner cordoned without an end: x"},
		"an ejected runner": {func(f *findings) {
			f.reports["b"].Runners = append(f.reports["b"].Runners, &ruedov1.Runner{Id: "x", Version: "1", State: ruedov1.RunnerState_RUNNER_STATE_READY, Ejection: &ruedov1.Ejection{Message: "it is broken"}})
		}, warning, "runners", "1 runner ejected for a while, because of failures: x (by b: it is broken)"},
		"the only runner is ejected": {func(f *findings) {
			f.reports["b"].Runners[0].Ejection = &ruedov1.Ejection{Message: "it is broken", Waived: true}
		}, warning, "runners", "r (by b: it is broken; it gets calls all the same, because too many are ejected)"},
		"a placement that nobody meets": {func(f *findings) {
			for _, r := range f.reports {
				r.Unplaced, r.UnplacedTotal = []*ruedov1.UnplacedService{{Service: "greet", Placement: "zone=mars"}}, 1
			}
		}, bad, "placement", "calls of 1 service fail, because no runner that takes calls meets the placement: greet (zone=mars)"},
		"a placement that is met elsewhere": {func(f *findings) {
			f.reports["b"].Unplaced, f.reports["b"].UnplacedTotal = []*ruedov1.UnplacedService{{Service: "greet", Placement: "zone=mars"}}, 7
		}, bad, "placement", "calls of 7 services fail at b, because no runner that takes calls meets the placement: greet (zone=mars) and 6 others"},
		"a lost runner": {func(f *findings) { f.registered["x"] = &ruedov1.Runner{Id: "x", Version: "1"} }, warning, "runners", "1 runner registered and attached to no core: x"},
		"a runner without a core": {func(f *findings) {
			f.registered["x"] = &ruedov1.Runner{Id: "x", Version: "1"}
			f.reports["a"].Runners = append(f.reports["a"].Runners, &ruedov1.Runner{Id: "x", Version: "1"})
		}, warning, "runners", "1 runner not attached to all cores: x"},
		"a lost member": {func(f *findings) {
			f.members[2].State = ruedov1.MemberState_MEMBER_STATE_UNREACHABLE
		}, warning, "members", "member mc does not answer"},
		"the last but one": {func(f *findings) {
			f.members[2].State = ruedov1.MemberState_MEMBER_STATE_UNREACHABLE
		}, warning, "quorum", "2 of 3 voters answer, and a write needs 2: if one more is lost"},
		"no quorum": {func(f *findings) {
			f.members[1].State, f.members[2].State = ruedov1.MemberState_MEMBER_STATE_UNREACHABLE, ruedov1.MemberState_MEMBER_STATE_UNREACHABLE
		}, bad, "quorum", "1 of 3 voters answer, and a write needs 2: writes fail"},
		"an election": {func(f *findings) { f.members[0].Leader = false }, bad, "quorum", "the store has no leader"},
		"a new member": {func(f *findings) {
			f.members = append(f.members, &ruedov1.Member{Id: "9", Role: ruedov1.MemberRole_MEMBER_ROLE_LEARNER, State: ruedov1.MemberState_MEMBER_STATE_NEW})
		}, warning, "members", "member 9 was added and has not started"},
		"a slow member":   {func(f *findings) { f.members[1].Status.Lag = 5000 }, warning, "members", "member mb is 5000 changes behind"},
		"a sick member":   {func(f *findings) { f.members[1].Status.Problems = []string{"CORRUPT"} }, warning, "members", "member mb: CORRUPT"},
		"unknown members": {func(f *findings) { f.membersError = errors.New("broken") }, bad, "members", "broken"},
		"an etcd": {func(f *findings) {
			f.members, f.membersError = nil, fault.New(fault.StoreExternal, "x")
		}, ok, "members", "an etcd of its own"},
		"80 %":  {func(f *findings) { f.members[1].Status.SizeBytes = 80 }, warning, "quota", "member mb is nearly full: 80 bytes of 100 bytes (80%)"},
		"100 %": {func(f *findings) { f.members[1].Status.SizeBytes = 100 }, bad, "quota", "member mb is full, so that writes fail"},
		"an alarm": {func(f *findings) {
			f.reports["b"].Alarms = []*ruedov1.Alarm{{Reason: "STORE_EMPTY", Message: "it is empty", Fix: "restore it"}}
			f.reports["c"].Alarms = f.reports["b"].Alarms
		}, bad, "alarms", "STORE_EMPTY: it is empty (b, c)"},
		"a warning": {func(f *findings) {
			f.reports["b"].Alarms = []*ruedov1.Alarm{{Reason: "STORE_NEARLY_FULL", Message: "it is nearly full"}}
		}, warning, "alarms", "STORE_NEARLY_FULL"},
		"clocks": {func(f *findings) { f.off("b", -time.Second); f.off("c", time.Second) }, warning, "clocks", "the clock of core c is 2s ahead of that of core b"},
		"clocks beyond a lease": {func(f *findings) { f.off("c", -6*time.Second) }, bad, "clocks",
			"the clock of core b is 6s ahead of that of core c, more than a lease (5s)|the clock of core a is 6s ahead of that of core c, more than a lease (5s)"},
		"versions":         {func(f *findings) { f.cores["c"].Version = "2" }, warning, "versions", "versions differ: 1: core a, core b, runner r; 2: core c"},
		"versions of etcd": {func(f *findings) { f.members[2].Status.Version = "3.7" }, warning, "versions", "3.6: member ma, member mb; 3.7: member mc"},
	} {
		f := well()
		c.change(f)
		res := f.health()
		found := false
		for _, check := range res.GetChecks() {
			for _, says := range strings.Split(c.says, "|") {
				found = found || check.GetName() == c.name && check.GetLevel() == c.level && strings.Contains(check.GetMessage(), says)
			}
			if (check.GetLevel() > ok) && check.GetFix() == "" && c.name != "cores" && c.name != "alarms" {
				t.Errorf("%s: nothing is to be done about %q", what, check.GetMessage())
			}
		}
		if !found {
			t.Errorf("%s: %v", what, res.GetChecks())
		}
		if res.GetLevel() < c.level {
			t.Errorf("%s: the whole is %v", what, res.GetLevel())
		}
		if what == "nothing" && res.GetLevel() != ok {
			t.Errorf("%v", res.GetChecks())
		}
	}
}

// An offset that is not certain is none.
func TestASlowAnswerIsNoWrongClock(t *testing.T) {
	f := well()
	r := f.reports["c"]
	r.offset, r.accuracy = 1400*time.Millisecond, 450*time.Millisecond
	if level := f.health().GetLevel(); level != ok {
		t.Errorf("%v: %v", level, f.checks)
	}
}

// Many runners make no long report.
func TestTheReportIsBounded(t *testing.T) {
	f := well()
	for i := range 5000 {
		id := "x" + strings.Repeat("y", i%50) + string(rune('a'+i%26)) + time.Duration(i).String()
		f.registered[id] = &ruedov1.Runner{Id: id, Version: "1"}
		f.cordons[id] = &ruedov1.Cordon{Runner: id, From: strings.Repeat("f", 256), Reason: strings.Repeat("r", 512)}
		f.reports["a"].Runners = append(f.reports["a"].Runners, &ruedov1.Runner{Id: id, Version: "1", Ejection: &ruedov1.Ejection{Message: strings.Repeat("m", 256)}})
	}
	res := f.health()
	if n := len(res.GetRunners()); n != maxRunners {
		t.Errorf("%d runners", n)
	}
	for _, c := range res.GetChecks() {
		if len(c.GetMessage()) > 2000 {
			t.Errorf("%d bytes: %.100s", len(c.GetMessage()), c.GetMessage())
		}
	}
}
