package executortest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

func (s *suite) keptLogs(t *testing.T) {
	f := s.fixture(t, Options{}, nil)
	reader, ok := f.Runner.(executor.LogReader)
	if !ok {
		t.Fatalf("%T is no executor.LogReader", f.Runner)
	}
	read := func(req *runnerv1.ReadLogsRequest) *runnerv1.ReadLogsResponse {
		t.Helper()
		page, err := reader.ReadLogs(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	f.want("echo silent", "silent")
	if page := read(&runnerv1.ReadLogsRequest{Service: "guest"}); len(page.Entries) != 0 {
		t.Errorf("a silent call is kept: %v", page)
	}
	if _, err := f.call(t.Context(), "log something"); err != nil {
		t.Fatal(err)
	}
	_, failed := f.call(t.Context(), "panic")
	page := read(&runnerv1.ReadLogsRequest{Service: "guest"})
	if len(page.Entries) != 2 || page.More || page.Gap {
		t.Fatalf("got %v", page)
	}
	said, panicked := page.Entries[0], page.Entries[1]
	if !strings.Contains(said.Text, "something") || said.Reason != "" || said.Runner == "" || said.Revision != 1 {
		t.Errorf("a call that logged: %v", said)
	}
	if !strings.Contains(panicked.Text, "panic: on purpose") || !strings.Contains(panicked.Text, "main.init.0.func1(") || panicked.Reason != string(fault.ReasonOf(failed)) || panicked.Message == "" {
		t.Errorf("a call that panicked: %v", panicked)
	}
	later := &runnerv1.ReadLogsRequest{Service: "guest", AfterNanos: panicked.Time.AsTime().UnixNano(), WaitNanos: int64(patience)}
	go func() { _, _ = f.call(t.Context(), "log later") }()
	if page := read(later); len(page.Entries) != 1 || !strings.Contains(page.Entries[0].Text, "later") {
		t.Errorf("waiting for the next: %v", page)
	}
	if _, err := reader.ReadLogs(t.Context(), &runnerv1.ReadLogsRequest{}); !errors.Is(err, fault.RequestInvalid) {
		t.Errorf("logs of nothing: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := reader.ReadLogs(gone, &runnerv1.ReadLogsRequest{Service: "none", WaitNanos: int64(patience)}); !errors.Is(err, fault.Canceled) {
		t.Errorf("a reader that is gone: %v", err)
	}
}
