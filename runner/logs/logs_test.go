package logs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/runner/logs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func keep(l *logs.Logs, service, call, text string) {
	l.Keep(&ruedov1.LogEntry{Service: service, CallId: call}, []byte(text))
}

// texts reads all pages that match a query.
func texts(t *testing.T, l *logs.Logs, q logs.Query) (texts []string, gap bool) {
	t.Helper()
	for {
		p, err := l.Read(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Entries {
			texts = append(texts, e.Text)
			if now := e.Time.AsTime().UnixNano(); now <= q.After {
				t.Fatalf("%q is at %d, not after %d", e.Text, now, q.After)
			}
			q.After = e.Time.AsTime().UnixNano()
		}
		gap = gap || p.Gap
		if !p.More {
			return texts, gap
		}
	}
}

func TestEntriesAreReadInOrderAndByCall(t *testing.T) {
	l := logs.New(logs.Config{Runner: "r"})
	for i := range 200 {
		keep(l, "a", fmt.Sprint(i), fmt.Sprintf("a%d\n", i))
		keep(l, "b", fmt.Sprint(i), fmt.Sprintf("b%d\n", i))
	}
	got, gap := texts(t, l, logs.Query{Service: "a"})
	if len(got) != 200 || got[0] != "a0\n" || got[199] != "a199\n" || gap {
		t.Errorf("%d entries, gap %t", len(got), gap)
	}
	if got, _ := texts(t, l, logs.Query{Service: "a", Call: "7"}); len(got) != 1 || got[0] != "a7\n" {
		t.Errorf("a call of a service: %q", got)
	}
	if got, _ := texts(t, l, logs.Query{Call: "7"}); len(got) != 2 {
		t.Errorf("a call: %q", got)
	}
	if got, _ := texts(t, l, logs.Query{Service: "c"}); len(got) != 0 {
		t.Errorf("a service without logs: %q", got)
	}
	if got, _ := texts(t, l, logs.Query{Service: "a", After: time.Now().UnixNano()}); len(got) != 0 {
		t.Errorf("nothing is from the future: %q", got)
	}
}

func TestBytesAreBounded(t *testing.T) {
	l := logs.New(logs.Config{ServiceBytes: 64 << 10, Services: 8, TotalBytes: 256 << 10})
	began := time.Now().UnixNano()
	big := strings.Repeat("0123456789abcde\n", 512) // 8 KiB
	keep(l, "quiet", "1", "still here\n")
	for i := range 1000 {
		for s := range 5 {
			keep(l, fmt.Sprintf("loud-%d", s), fmt.Sprint(i), big)
		}
	}
	total := 0
	for s := range 5 {
		got, gap := texts(t, l, logs.Query{Service: fmt.Sprintf("loud-%d", s), After: began})
		size := len(strings.Join(got, ""))
		if size > 64<<10 || len(got) == 0 || !gap {
			t.Errorf("service %d keeps %d bytes, gap %t", s, size, gap)
		}
		total += size
	}
	if total > 256<<10 || total < 128<<10 {
		t.Errorf("%d bytes in all", total)
	}
	if got, _ := texts(t, l, logs.Query{Service: "quiet"}); len(got) != 1 {
		t.Error("loud services pushed out a quiet one")
	}
}

func TestServicesAreBounded(t *testing.T) {
	l := logs.New(logs.Config{Services: 3})
	for _, s := range []string{"a", "b", "c", "a", "d"} {
		keep(l, s, "1", s)
	}
	for s, want := range map[string]int{"a": 2, "b": 0, "c": 1, "d": 1} {
		if got, _ := texts(t, l, logs.Query{Service: s}); len(got) != want {
			t.Errorf("%s: %q, want %d", s, got, want)
		}
	}
}

// One entry is larger than all bounds together.
func TestTheLastEntryStays(t *testing.T) {
	l := logs.New(logs.Config{ServiceBytes: 1, TotalBytes: 1})
	for _, s := range []string{"a", "b", "a"} {
		keep(l, s, "1", s)
	}
	if got, _ := texts(t, l, logs.Query{Service: "a"}); len(got) != 1 {
		t.Errorf("a: %q", got)
	}
	if got, _ := texts(t, l, logs.Query{Service: "b"}); len(got) != 0 {
		t.Errorf("b: %q", got)
	}
}

func TestOfALongLogTheEndIsKept(t *testing.T) {
	l := logs.New(logs.Config{})
	text := strings.Repeat("first\n", 10_000) + "panic: why\n"
	keep(l, "a", "1", text)
	p, err := l.Read(t.Context(), logs.Query{Service: "a"})
	if err != nil {
		t.Fatal(err)
	}
	e := p.Entries[0]
	if len(e.Text) > logs.MaxText || !strings.HasSuffix(e.Text, "\npanic: why\n") || !strings.HasPrefix(e.Text, "first\n") || int(e.Dropped) != len(text)-len(e.Text) {
		t.Errorf("%d bytes kept, %d dropped: %.20q", len(e.Text), e.Dropped, e.Text)
	}
	for limit, want := range map[int]string{100: "aé\nbé", 5: "bé", 3: "bé", 2: "é", 1: ""} {
		if got := string(logs.Tail([]byte("aé\nbé"), limit)); got != want {
			t.Errorf("the last %d bytes: %q, want %q", limit, got, want)
		}
	}
}

func TestReadersWait(t *testing.T) {
	l := logs.New(logs.Config{})
	for _, q := range []logs.Query{{Service: "a"}, {Call: "1"}} {
		q.After, q.Wait = time.Now().UnixNano(), time.Minute
		got := make(chan logs.Page)
		go func() {
			p, err := l.Read(t.Context(), q)
			if err != nil {
				t.Error(err)
			}
			got <- p
		}()
		// What is not asked for ends no read, whether it comes before it or not.
		keep(l, "b", "2", "no\n")
		keep(l, "a", "1", "yes\n")
		if p := <-got; len(p.Entries) != 1 || p.Entries[0].Text != "yes\n" {
			t.Errorf("%+v: %+v", q, p)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Read(ctx, logs.Query{Service: "c", Wait: time.Minute}); !errors.Is(err, fault.Canceled) {
		t.Errorf("a reader that is gone: %v", err)
	}
	if p, err := l.Read(t.Context(), logs.Query{Service: "c", Wait: time.Millisecond}); err != nil || len(p.Entries) != 0 {
		t.Errorf("nothing came: %v, %v", p, err)
	}
}

func TestReadersAreBounded(t *testing.T) {
	l := logs.New(logs.Config{Runner: "r"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	refused := make(chan error, 1)
	for range 129 {
		readers.Go(func() {
			if _, err := l.Read(ctx, logs.Query{Service: "a", Wait: time.Minute}); errors.Is(err, fault.QueueFull) {
				refused <- err
			}
		})
	}
	<-refused
	cancel()
	readers.Wait()
	if _, err := l.Read(t.Context(), logs.Query{Service: "a", Wait: 1}); err != nil {
		t.Errorf("after the others have left: %v", err)
	}
}

func lines(b *bytes.Buffer, text string) int { return strings.Count(b.String(), text) }

func TestTheRunnersOwnLogHasTheLinesOfFailures(t *testing.T) {
	for _, successes := range []bool{false, true} {
		var log bytes.Buffer
		l := logs.New(logs.Config{Successes: successes, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		keep(l, "a", "1", "fine\n")
		l.Keep(&ruedov1.LogEntry{Service: "a", Revision: 3, CallId: "2", Reason: "GUEST_TRAP", Trace: "f()\ng()"}, []byte("oh\nno\n"))
		want := 0
		if successes {
			want = 1
		}
		if lines(&log, "line=fine") != want {
			t.Errorf("successes %t: %s", successes, &log)
		}
		for _, line := range []string{"line=oh", "line=no", `line="at f()"`, `line="at g()"`} {
			if !strings.Contains(log.String(), "msg=guest service=a revision=3 call_id=2 "+line+"\n") {
				t.Errorf("%s is missing: %s", line, &log)
			}
		}
	}
}

func TestTheRunnersOwnLogIsBounded(t *testing.T) {
	var log bytes.Buffer
	l := logs.New(logs.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	fail := func(service, text string) {
		l.Keep(&ruedov1.LogEntry{Service: service, Reason: "GUEST_ERROR"}, []byte(text))
	}
	fail("a", strings.Repeat("x\n", 5000)+"last\n")
	if n := lines(&log, "line=x"); n != 199 || lines(&log, "line=last") != 1 || lines(&log, "lines_omitted=4801") != 1 {
		t.Errorf("%d lines of one call, %d omitted", n, lines(&log, "lines_omitted"))
	}
	log.Reset()
	for range 2000 {
		fail("a", strings.Repeat("y", 1000)+"\n")
	}
	if n := lines(&log, "line=yyy"); n == 0 || n > 400 {
		t.Errorf("a service that does nothing else wrote %d of 2,000 lines of 1 KB", n)
	}
	log.Reset()
	fail("b", "quiet\n")
	if lines(&log, "line=quiet") != 1 {
		t.Error("a loud service silenced another")
	}
}

// BenchmarkKeep is the price of a call that logs a line; one that is silent and
// succeeds does not get here. See BenchmarkExecute in package runner for both.
func BenchmarkKeep(b *testing.B) {
	l := logs.New(logs.Config{})
	text := []byte("INFO said what=something\n")
	b.ReportAllocs()
	for b.Loop() {
		l.Keep(&ruedov1.LogEntry{Service: "a", CallId: "1"}, text)
	}
}
