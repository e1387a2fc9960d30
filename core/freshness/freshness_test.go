package freshness

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

// heldMirror is a mirror that stays at a revision.
type heldMirror struct {
	applied int64
	asked   atomic.Int64 // the last revision that was waited for
	limit   atomic.Int64 // nanoseconds that the last one could wait
	release chan struct{}
}

func (m *heldMirror) Applied() int64  { return m.applied }
func (m *heldMirror) StoreID() string { return "ours" }

func (m *heldMirror) Reach(ctx context.Context, revision int64) error {
	deadline, _ := ctx.Deadline()
	m.limit.Store(int64(time.Until(deadline)))
	m.asked.Store(revision)
	select {
	case <-m.release:
		return nil
	case <-ctx.Done():
		return fault.New(fault.CoreBehind, "behind")
	}
}

// ask sends a request with header fields and returns the status and the error.
func ask(h http.Handler, fields ...string) (int, *fault.Error) {
	r := httptest.NewRequest("POST", "/call/greet", strings.NewReader("{}"))
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	e, _ := faultrpc.FromHTTP(w.Body.Bytes())
	return w.Code, e
}

var answers = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })

func TestWhatIsRequired(t *testing.T) {
	done := make(chan struct{})
	close(done)
	for _, tt := range []struct {
		field string
		asked int64 // 0: it is not waited for
	}{
		{"", 0},
		{"9", 0},
		{"10", 0},
		{"11", 11},
		{"11@ours", 11},
		{"11@theirs", 0},
		{"99@theirs, 12@ours,11 3@other", 12},
		{"9223372036854775807", 1<<63 - 1},
		{", ,", 0},
	} {
		m := &heldMirror{applied: 10, release: done}
		status, _ := ask(New(Config{Mirror: m}).Handler(answers), headers.MinRevision, tt.field)
		if status != 200 || m.asked.Load() != tt.asked {
			t.Errorf("%q: status %d, waited for %d; want %d", tt.field, status, m.asked.Load(), tt.asked)
		}
	}
	for _, field := range []string{"x", "-1", "1.5", "11@", "@ours", "9223372036854775808", "1@ours@theirs x", strings.Repeat("1,", 300)} {
		m := &heldMirror{applied: 10, release: done}
		status, e := ask(New(Config{Mirror: m}).Handler(answers), headers.MinRevision, field)
		if status != 400 || e.Reason != fault.RequestInvalid || !strings.Contains(e.Message, headers.MinRevision) || !e.NotStarted || m.asked.Load() != 0 {
			t.Errorf("%.20q: status %d, %v", field, status, e)
		}
	}
	if status, _ := ask(New(Config{Mirror: &heldMirror{}}).Handler(answers), headers.MinRevision, "1", headers.MinRevision, "2"); status != 400 {
		t.Errorf("two fields: status %d", status)
	}
}

// A request waits as long as its caller does, and no longer than MaxWait.
func TestHowLongItWaits(t *testing.T) {
	for _, tt := range []struct {
		field, value string
		want         time.Duration
	}{
		{"Ruedo-Timeout", "20ms", 20 * time.Millisecond},
		{"Connect-Timeout-Ms", "30", 30 * time.Millisecond},
		{"Grpc-Timeout", "40m", 40 * time.Millisecond},
		{"Grpc-Timeout", "50000u", 50 * time.Millisecond},
		{"Ruedo-Timeout", "5m", MaxWait},
		{"Grpc-Timeout", "1H", MaxWait},
		{"Grpc-Timeout", "x", MaxWait},
		{"Connect-Timeout-Ms", "", MaxWait},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := &heldMirror{}
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
			r.Header.Set(headers.MinRevision, "1")
			r.Header.Set(tt.field, tt.value)
			w := httptest.NewRecorder()
			began := time.Now()
			New(Config{Mirror: m}).Handler(answers).ServeHTTP(w, r)
			if could, did := time.Duration(m.limit.Load()), time.Since(began); could != tt.want || did != tt.want {
				t.Errorf("%s: %s: it could wait %s, and did for %s, want %s", tt.field, tt.value, could, did, tt.want)
			}
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("status %d", w.Code)
			}
		})
	}
}

func TestThoseWhoWaitAreBounded(t *testing.T) {
	m := &heldMirror{release: make(chan struct{})}
	g := New(Config{Mirror: m})
	g.waiting.Store(maxWaiting)
	status, e := ask(g.Handler(answers), headers.MinRevision, "1")
	if status != 503 || e.Reason != fault.CoreBehind || !e.NotStarted || m.asked.Load() != 0 || g.waiting.Load() != maxWaiting {
		t.Errorf("status %d, %v, %d wait", status, e, g.waiting.Load())
	}
}

// The hot path costs nothing: no allocation with what the mirror has, and none
// without the field.
func TestNoAllocations(t *testing.T) {
	h := New(Config{Mirror: &heldMirror{applied: 10}}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, field := range []string{"", "10@ours", "7@theirs,9@ours"} {
		r := httptest.NewRequest("POST", "/", nil)
		if field != "" {
			r.Header.Set(headers.MinRevision, field)
		}
		if n := testing.AllocsPerRun(100, func() { h.ServeHTTP(nil, r) }); n > 0 {
			t.Errorf("%q: %v allocations", field, n)
		}
	}
}

func BenchmarkHandler(b *testing.B) {
	h := New(Config{Mirror: &heldMirror{applied: 10}}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for name, field := range map[string]string{"without": "", "with": "10@ours"} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest("POST", "/", nil)
			if field != "" {
				r.Header.Set(headers.MinRevision, field)
			}
			for b.Loop() {
				h.ServeHTTP(nil, r)
			}
		})
	}
}
