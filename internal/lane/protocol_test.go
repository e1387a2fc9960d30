package lane_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// executed makes the stranger answer a call, and returns what the core returns
// for it.
func executed(t *testing.T, s *stranger, answer *runnerv1.RunnerFrame) (*ruedov1.CallInfo, error) {
	t.Helper()
	type result struct {
		res *runnerv1.ExecuteResponse
		err error
	}
	ended := make(chan result, 1)
	go func() {
		res, err := s.lane.Execute(t.Context(), &runnerv1.ExecuteRequest{})
		ended <- result{res, err}
	}()
	for answer.Id == 0 {
		res, err := s.stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range res.Frames {
			if f.GetExecute() != nil {
				answer.Id = f.Id
			}
		}
	}
	s.send(answer)
	r := <-ended
	if r.err != nil {
		info, _ := fault.Detail[*ruedov1.CallInfo](r.err)
		return info, r.err
	}
	return r.res.GetInfo(), nil
}

// Cores are upgraded first, so they meet runners of the protocol before.
func TestARunnerOfProtocol1IsUnderstood(t *testing.T) {
	s := strangerOf(t, newCore(t, patient), 1)
	outcome := &runnerv1.Outcome{
		Runner: "someone else", DurationNanos: 1, MemoryBytes: 2, Logs: []byte("log"), LogsDropped: 3, ExitCode: 4, CpuNanos: 5, Fuel: 6, Cold: true, RestoreNanos: 7,
	}
	want := &ruedov1.CallInfo{
		Runner: "bad", Duration: durationpb.New(1), MemoryBytes: 2, Logs: []byte("log"), LogsDropped: 3, ExitCode: 4, CpuTime: durationpb.New(5), Fuel: 6, Cold: true, RestoreTime: durationpb.New(7),
	}
	for what, frame := range map[string]*runnerv1.RunnerFrame{
		"an answer": {Kind: &runnerv1.RunnerFrame_Executed{Executed: &runnerv1.ExecuteResponse{Outcome: outcome}}},
		"a failure": {Kind: &runnerv1.RunnerFrame_Failure{Failure: &runnerv1.Failure{Reason: "GUEST_TRAP", Outcome: outcome}}},
	} {
		if got, err := executed(t, s, frame); (err != nil) != (what == "a failure") || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	type result struct {
		res *runnerv1.PrepareResponse
		err error
	}
	prepared := make(chan result, 1)
	go func() {
		res, err := s.lane.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: "p"})
		prepared <- result{res, err}
	}()
	s.send(&runnerv1.RunnerFrame{Id: s.next(), Kind: &runnerv1.RunnerFrame_Prepared{Prepared: &runnerv1.PrepareResponse{
		CompileNanos: 1, StartNanos: 2, MemoryBytes: 3, Isolation: ruedov1.Isolation_ISOLATION_SHARED, IsolationReason: "why", WarmNanos: 4,
	}}})
	preparation := &ruedov1.Preparation{
		CompileTime: durationpb.New(1), StartTime: durationpb.New(2), MemoryBytes: 3, Isolation: ruedov1.Isolation_ISOLATION_SHARED, IsolationReason: "why", WarmTime: durationpb.New(4),
	}
	if r := <-prepared; r.err != nil || !proto.Equal(r.res.GetPreparation(), preparation) {
		t.Errorf("a preparation: %v, %v", r.res, r.err)
	}
}

// Runners and cores of different versions work with each other as long as they
// have a number in common, and say which of them is older.
func TestRunnersAndCoresOfDifferentVersions(t *testing.T) {
	for what, test := range map[string]struct {
		core, runner protocol.Range
		number       uint32
		outdated     bool
		says         []string // if they have none
	}{
		"the same":                  {protocol.Range{Min: 1, Max: 2}, protocol.Range{Min: 2, Max: 2}, 2, false, nil},
		"an older runner":           {protocol.Range{Min: 1, Max: 4}, protocol.Range{Min: 2, Max: 3}, 3, true, nil},
		"an older core":             {protocol.Range{Min: 1, Max: 2}, protocol.Range{Min: 2, Max: 3}, 2, false, nil},
		"a runner that is too old":  {protocol.Range{Min: 3, Max: 4}, protocol.Range{Min: 1, Max: 2}, 0, false, []string{"1 to 2, this core 3 to 4", "upgrade the runner"}},
		"a core that is too old":    {protocol.Range{Min: 1, Max: 2}, protocol.Range{Min: 3, Max: 5}, 0, false, []string{"3 to 5, this core 1 to 2", "upgrade the core"}},
		"a runner without any":      {protocol.Range{Min: 1, Max: 2}, protocol.Range{Min: 7, Max: 7}, 0, false, []string{"protocol 7, this core 1 to 2", "upgrade the core"}},
		"an older runner of two":    {protocol.Range{Min: 2, Max: 3}, protocol.Range{Min: 2, Max: 2}, 2, true, nil},
		"one number, the same":      {protocol.Range{Min: 2, Max: 2}, protocol.Range{Min: 2, Max: 2}, 2, false, nil},
		"one number, the core's is": {protocol.Range{Min: 3, Max: 3}, protocol.Range{Min: 2, Max: 2}, 0, false, []string{"protocol 2, this core 3", "upgrade the runner"}},
	} {
		t.Run(what, func(t *testing.T) {
			var coreLog, runnerLog testkit.Log
			c := newCore(t, func(cfg *lane.HubConfig) { cfg.Logger = coreLog.Logger(); cfg.Speak(test.core) })
			cfg := c.config("edge-1", &fakeRunner{execute: echo})
			cfg.Logger = runnerLog.Logger()
			cfg.Speak(test.runner)
			conn, err := lane.Dial(t.Context(), cfg)
			if test.says != nil {
				testkit.WantReason(t, err, fault.LaneProtocol, test.says...)
				if log := coreLog.String(); !strings.Contains(log, "runner refused") || !strings.Contains(log, test.says[0]) {
					t.Errorf("the core's log:\n%s", log)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			l := c.lane()
			if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
				t.Error(err)
			}
			if conn.Protocol() != test.number || l.Info().GetLaneProtocol() != test.number || l.Info().GetOutdated() != test.outdated {
				t.Errorf("the runner speaks %d, the core %d (outdated: %t), want %d", conn.Protocol(), l.Info().GetLaneProtocol(), l.Info().GetOutdated(), test.number)
			}
			if got := strings.Contains(coreLog.String(), "the runner is older than this core"); got != test.outdated {
				t.Errorf("the core's log:\n%s", coreLog.String())
			}
			if got := strings.Contains(runnerLog.String(), "this runner is older than the core"); got != test.outdated {
				t.Errorf("the runner's log:\n%s", runnerLog.String())
			}
		})
	}
}

// Callers get what a runner reports about a call, except for fields that it
// must not set.
func TestARunnerSaysOnlyWhatItKnows(t *testing.T) {
	s := newStranger(t, newCore(t, patient))
	info := &ruedov1.CallInfo{CallId: "another", Runner: "someone else", Revision: 9, Duration: durationpb.New(7), Fuel: 8}
	info.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 0x01}) // field 127
	info.Duration.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 0x01})
	want := &ruedov1.CallInfo{Runner: "bad", Duration: durationpb.New(7), Fuel: 8}
	for what, frame := range map[string]*runnerv1.RunnerFrame{
		"an answer": {Kind: &runnerv1.RunnerFrame_Executed{Executed: &runnerv1.ExecuteResponse{Info: info}}},
		"a failure": {Kind: &runnerv1.RunnerFrame_Failure{Failure: &runnerv1.Failure{Reason: "GUEST_TRAP", Info: info}}},
	} {
		if got, err := executed(t, s, frame); (err != nil) != (what == "a failure") || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
}
