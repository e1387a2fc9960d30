package logs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/logs"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	runnerlogs "github.com/ruedo-dev/ruedo/runner/logs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// member is a runner that keeps logs and does nothing else.
type member struct {
	dispatch.Member
	id   string
	logs *runnerlogs.Logs
	err  atomic.Pointer[fault.Error]
}

func newMember(id string) *member {
	return &member{id: id, logs: runnerlogs.New(runnerlogs.Config{Runner: id})}
}

func (m *member) Info() *ruedov1.Runner { return &ruedov1.Runner{Id: m.id} }
func (m *member) Ready() bool           { return true }

func (m *member) ReadLogs(ctx context.Context, req *runnerv1.ReadLogsRequest) (*runnerv1.ReadLogsResponse, error) {
	if err := m.err.Load(); err != nil {
		return nil, err
	}
	p, err := m.logs.Read(ctx, runnerlogs.Query{Service: req.Service, Call: req.CallId, After: req.AfterNanos, Wait: time.Duration(req.WaitNanos)})
	return &runnerv1.ReadLogsResponse{Entries: p.Entries, More: p.More, Gap: p.Gap}, err
}

var _ executor.LogReader = (*member)(nil)

func (m *member) say(text string) {
	m.logs.Keep(&ruedov1.LogEntry{Service: "a", CallId: "c"}, []byte(text))
}

// fleet is what a reader reads.
type fleet struct {
	mu      sync.Mutex
	members []dispatch.Member
	absent  []string
	done    chan struct{}
	reader  *logs.Reader
}

func newFleet(members ...dispatch.Member) *fleet {
	f := &fleet{members: members, done: make(chan struct{})}
	f.reader = logs.New(logs.Config{
		Runners: func() []dispatch.Member {
			f.mu.Lock()
			defer f.mu.Unlock()
			return slices.Clone(f.members)
		},
		Absent: func() []string { return f.absent },
		Done:   f.done,
	})
	return f
}

// read reads what there is.
func (f *fleet) read(t *testing.T, req *ruedov1.ReadLogsRequest) (texts []string, gaps []string) {
	t.Helper()
	n, err := f.reader.Read(coretest.Context(t), req, func(res *ruedov1.ReadLogsResponse) error {
		for _, e := range res.Entries {
			texts = append(texts, e.Text)
		}
		for _, g := range res.Gaps {
			gaps = append(gaps, g.Runner+": "+g.Message)
		}
		return nil
	})
	if err != nil || n != len(texts) {
		t.Fatalf("%d entries, want %d; %v", n, len(texts), err)
	}
	return texts, gaps
}

var all = &ruedov1.ReadLogsRequest{Service: "a"}

func TestRunnersAreMergedInOrderOfTime(t *testing.T) {
	members := []*member{newMember("r0"), newMember("r1"), newMember("r2")}
	var want []string
	for i := range 1000 {
		text := fmt.Sprintf("%d %s\n", i, strings.Repeat("x", i%300))
		members[(i*i+i/7)%3].say(text)
		want = append(want, text)
	}
	f := newFleet(members[0], members[1], members[2])
	got, gaps := f.read(t, all)
	if !slices.Equal(got, want) || len(gaps) != 0 {
		t.Errorf("%d entries, want %d in order; gaps %q", len(got), len(want), gaps)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	old, lost, silent := newMember("old"), newMember("lost"), struct{ dispatch.Member }{newMember("silent")}
	old.err.Store(fault.New(fault.Unimplemented, "runner old is of an older version"))
	lost.err.Store(fault.New(fault.RunnerLost, "runner lost was lost"))
	f := newFleet(newMember("r"), old, lost, silent)
	f.absent = []string{"away"}
	_, gaps := f.read(t, all)
	if len(gaps) != 4 || !strings.Contains(fmt.Sprint(gaps), "old: runner old is of an older version") || !strings.Contains(fmt.Sprint(gaps), "away: it is not attached") || !strings.Contains(fmt.Sprint(gaps), "silent: it keeps no logs") {
		t.Errorf("%q", gaps)
	}
}

func TestSinceAndAfter(t *testing.T) {
	r := newMember("r")
	r.say("old\n")
	page, err := r.logs.Read(t.Context(), runnerlogs.Query{Service: "a"})
	if err != nil {
		t.Fatal(err)
	}
	r.say("new\n")
	f := newFleet(r)
	after := map[string]*timestamppb.Timestamp{"r": page.Entries[0].Time, "another": timestamppb.Now()}
	if got, _ := f.read(t, &ruedov1.ReadLogsRequest{Service: "a", After: after}); !slices.Equal(got, []string{"new\n"}) {
		t.Errorf("after: %q", got)
	}
	for since, want := range map[time.Duration]int{time.Hour: 2, time.Nanosecond: 0} {
		req := &ruedov1.ReadLogsRequest{Service: "a", Since: durationpb.New(since)}
		if got, _ := f.read(t, req); len(got) != want {
			t.Errorf("since %s: %q", since, got)
		}
	}
}

func TestFollow(t *testing.T) {
	one, two := newMember("one"), newMember("two")
	f := newFleet(one)
	one.say("before\n")
	got := make(chan string, 100)
	ctx, cancel := context.WithCancel(coretest.Context(t))
	ended := make(chan error)
	go func() {
		_, err := f.reader.Read(ctx, &ruedov1.ReadLogsRequest{Service: "a", Follow: true}, func(res *ruedov1.ReadLogsResponse) error {
			for _, e := range res.Entries {
				got <- e.Text
			}
			return nil
		})
		ended <- err
	}()
	next := func(want string) {
		t.Helper()
		select {
		case text := <-got:
			if text != want {
				t.Fatalf("%q, want %q", text, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing came, want %q", want)
		}
	}
	next("before\n")
	for i := range 20 {
		one.say(fmt.Sprint(i))
	}
	for i := range 20 {
		next(fmt.Sprint(i))
	}
	// A runner that attaches is followed, too.
	f.mu.Lock()
	f.members = append(f.members, two)
	f.mu.Unlock()
	two.say("two\n")
	next("two\n")
	// One that attaches again is not read from its beginning.
	f.mu.Lock()
	f.members = []dispatch.Member{&member{id: "two", logs: two.logs}}
	f.mu.Unlock()
	two.err.Store(fault.New(fault.RunnerLost, "runner two was lost"))
	two.say("again\n")
	next("again\n")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	go func() {
		_, err := f.reader.Read(coretest.Context(t), &ruedov1.ReadLogsRequest{Service: "a", Follow: true}, func(*ruedov1.ReadLogsResponse) error { return nil })
		ended <- err
	}()
	close(f.done)
	if err := <-ended; !errors.Is(err, fault.CoreUnreachable) {
		t.Errorf("the core goes down: %v", err)
	}
}

// A reader that stops reading holds up neither runners nor other readers, and
// learns that it has missed something.
func TestASlowReaderMissesEntriesAndLearnsOfIt(t *testing.T) {
	r := newMember("r")
	f := newFleet(r)
	big := strings.Repeat("x", 30<<10)
	stuck, release := make(chan struct{}), make(chan struct{})
	gap := make(chan struct{})
	var once, missed sync.Once
	ctx, cancel := context.WithCancel(coretest.Context(t))
	ended := make(chan error)
	go func() {
		_, err := f.reader.Read(ctx, &ruedov1.ReadLogsRequest{Service: "a", Follow: true}, func(res *ruedov1.ReadLogsResponse) error {
			once.Do(func() { close(stuck); <-release })
			if len(res.Gaps) > 0 {
				missed.Do(func() { close(gap) })
			}
			return nil
		})
		ended <- err
	}()
	r.say("first\n")
	<-stuck
	for range 100 { // 3 MB, ten times what is kept
		r.say(big)
	}
	if got, _ := f.read(t, all); len(got) == 0 {
		t.Error("another reader got nothing")
	}
	close(release)
	<-gap
	cancel()
	<-ended
}

func TestStreamsAreBounded(t *testing.T) {
	f := newFleet(newMember("r"))
	ctx, cancel := context.WithCancel(coretest.Context(t))
	var streams sync.WaitGroup
	refused := make(chan struct{})
	var once sync.Once
	for range logs.MaxStreams + 1 {
		streams.Go(func() {
			_, err := f.reader.Read(ctx, &ruedov1.ReadLogsRequest{Service: "a", Follow: true}, nil)
			if errors.Is(err, fault.ServerBusy) {
				once.Do(func() { close(refused) })
			}
		})
	}
	<-refused
	cancel()
	streams.Wait()
	f.read(t, all)
}
