package lane_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
)

// A runner that is older than logs would never answer, so it is not asked.
func TestAnOlderRunnerIsNotAskedForLogs(t *testing.T) {
	s := strangerOf(t, newCore(t, patient), protocol.Newest)
	_, err := s.lane.ReadLogs(t.Context(), &runnerv1.ReadLogsRequest{Service: "a"})
	if !errors.Is(err, fault.Unimplemented) || !strings.Contains(err.Error(), "older version") {
		t.Errorf("got %v", err)
	}
}

// readLogs makes the stranger answer a question for logs with a page, and
// returns what the core gets.
func readLogs(t *testing.T, s *stranger, page *runnerv1.ReadLogsResponse) (*runnerv1.ReadLogsResponse, error) {
	t.Helper()
	type result struct {
		page *runnerv1.ReadLogsResponse
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		page, err := s.lane.ReadLogs(t.Context(), &runnerv1.ReadLogsRequest{Service: "a", AfterNanos: 5})
		ended <- result{page, err}
	}()
	s.send(&runnerv1.RunnerFrame{Id: s.next(), Kind: &runnerv1.RunnerFrame_Logs{Logs: page}})
	r := <-ended
	return r.page, r.err
}

func entry(nanos int32, service, text string) *ruedov1.LogEntry {
	return &ruedov1.LogEntry{Time: &timestamppb.Timestamp{Nanos: nanos}, Service: service, Text: text}
}

func TestLogsOfARunnerAreChecked(t *testing.T) {
	s := strangerWithLogs(t, newCore(t, patient))
	bad := entry(7, "a", "one\n\x1b[2Jtwo\u202e\n"+strings.Repeat("x", 40<<10))
	bad.Runner, bad.CallId, bad.Trace, bad.Reason = "another", strings.Repeat("c", 100), "f\x07()", "WHY\n"
	page, err := readLogs(t, s, &runnerv1.ReadLogsResponse{Entries: []*ruedov1.LogEntry{entry(6, "a", "fine\n"), bad}, More: true})
	if err != nil || len(page.Entries) != 2 || !page.More {
		t.Fatalf("%v, %v", page, err)
	}
	if e := page.Entries[1]; e.Runner != "bad" || !strings.HasPrefix(e.Text, "one\n\uFFFD[2Jtwo\uFFFD\n") || len(e.Text) > 33<<10 || len(e.CallId) > 67 || e.Trace != "f\uFFFD()" || e.Reason != "WHY\uFFFD" {
		t.Errorf("%.100q %q", e.Text, []string{e.Runner, e.CallId, e.Trace, e.Reason})
	}
	var many []*ruedov1.LogEntry
	for i := range int32(300) {
		many = append(many, entry(10+i, "a", "x"))
	}
	for what, entries := range map[string][]*ruedov1.LogEntry{
		"older than asked for":  {entry(5, "a", "")},
		"not in order":          {entry(7, "a", ""), entry(6, "a", "")},
		"no time":               {{Service: "a"}},
		"of another service":    {entry(6, "b", "")},
		"too many":              many,
		"too long":              {entry(6, "a", strings.Repeat("x", 50<<10)), entry(7, "a", strings.Repeat("x", 50<<10))},
		"a time that cannot be": {{Service: "a", Time: &timestamppb.Timestamp{Nanos: -1}}},
	} {
		if page, err := readLogs(t, s, &runnerv1.ReadLogsResponse{Entries: entries}); !errors.Is(err, fault.Internal) {
			t.Errorf("%s: %v, %v", what, page, err)
		}
	}
	if page, err := readLogs(t, s, nil); err != nil || len(page.Entries) != 0 {
		t.Errorf("nothing: %v, %v", page, err)
	}
}
