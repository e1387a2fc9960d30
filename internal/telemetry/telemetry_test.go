package telemetry_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/telemetry"
)

func read(m *telemetry.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler(anything).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// anything is visible to whoever may read everything.
func anything(context.Context) func(string) bool { return func(string) bool { return true } }

// Whoever reads the metrics sees those of services that they may read.
func TestMetricsOfServicesThatAreVisible(t *testing.T) {
	m := telemetry.New(func() int { return 0 }, func() []string { return nil })
	m.Denied(fault.PermissionDenied)
	for _, service := range []string{"team-a-x", "team-b-x"} {
		m.Service(service).Call("", time.Second, &ruedov1.CallInfo{Runner: "r", Egress: &ruedov1.Egress{Streams: 1}})
	}
	w := httptest.NewRecorder()
	m.Handler(func(context.Context) func(string) bool {
		return func(service string) bool { return strings.HasPrefix(service, "team-a-") }
	}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	got := w.Body.String()
	if strings.Contains(got, "team-b") {
		t.Error("a service shows that may not be read")
	}
	for _, want := range []string{`ruedo_calls_total{outcome="ok",service="team-a-x"} 1`, `ruedo_denied_total{reason="PERMISSION_DENIED"} 1`, "ruedo_runners_ready 0"} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

func TestRequestsAreCountedByProcedureAndOutcome(t *testing.T) {
	m := telemetry.New(func() int { return 0 }, func() []string { return nil })
	upload, other := m.Requests("/ruedo.v1.ModuleService/UploadModule"), m.Requests("")
	upload("")
	upload("")
	upload(fault.WasmLimitLocals)
	other(fault.Unimplemented)
	text := read(m)
	for _, want := range []string{
		`ruedo_requests_total{outcome="ok",procedure="ModuleService/UploadModule"} 2`,
		`ruedo_requests_total{outcome="WASM_LIMIT_LOCALS",procedure="ModuleService/UploadModule"} 1`,
		`ruedo_requests_total{outcome="UNIMPLEMENTED",procedure="other"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// A foreign runner can answer with any reason.
func TestForeignReasonsAreOneOutcome(t *testing.T) {
	m := telemetry.New(func() int { return 0 }, func() []string { return nil })
	count := m.Requests("p")
	for i := range 1000 {
		r := fault.Reason(fmt.Sprint("MADE_UP_", i))
		count(r)
		m.Service("s").Call(r, time.Millisecond, nil)
	}
	text := read(m)
	if n := strings.Count(text, "outcome="); n != 3 { // ok and other, and other of the call
		t.Errorf("%d outcomes are counted, want 3", n)
	}
	for _, want := range []string{`ruedo_requests_total{outcome="other",procedure="p"} 1000`, `ruedo_calls_total{outcome="other",service="s"} 1000`} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

func TestSuccessAllocatesNothing(t *testing.T) {
	count := telemetry.New(func() int { return 0 }, func() []string { return nil }).Requests("p")
	if n := testing.AllocsPerRun(1000, func() { count("") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	count := telemetry.New(func() int { return 0 }, func() []string { return nil }).Requests("p")
	b.ReportAllocs()
	for b.Loop() {
		count("")
	}
}

func TestFiguresThatCannotBeDoNotPanic(t *testing.T) {
	m := telemetry.New(func() int { return 0 }, func() []string { return nil })
	m.Service("echo").Call("", time.Second, &ruedov1.CallInfo{Runner: "r", CpuTime: durationpb.New(-1), RestoreTime: durationpb.New(-1 << 62)})
	if text := read(m); !strings.Contains(text, `ruedo_call_cpu_seconds_total{service="echo"} 0`+"\n") {
		t.Errorf("the metrics say otherwise:\n%s", text)
	}
}

func TestTheNetworkOfServicesIsCounted(t *testing.T) {
	m := telemetry.New(func() int { return 0 }, func() []string { return nil })
	for range 2 {
		m.Service("feed").Call("", time.Millisecond, &ruedov1.CallInfo{Runner: "r", Egress: &ruedov1.Egress{
			Streams: 9, Blocked: 1, Failed: 2, Limited: 3, SentBytes: 100, ReceivedBytes: 2000,
		}})
	}
	// A runner that counts wrongly takes nothing away.
	m.Service("feed").Call("", time.Millisecond, &ruedov1.CallInfo{Runner: "r", Egress: &ruedov1.Egress{Streams: 1, Blocked: 2}})
	m.Service("quiet").Call("", time.Millisecond, &ruedov1.CallInfo{Runner: "r", Egress: &ruedov1.Egress{}})
	text := read(m)
	for _, want := range []string{
		`ruedo_egress_streams_total{outcome="ok",service="feed"} 6`,
		`ruedo_egress_streams_total{outcome="EGRESS_BLOCKED",service="feed"} 4`,
		`ruedo_egress_streams_total{outcome="EGRESS_FAILED",service="feed"} 4`,
		`ruedo_egress_streams_total{outcome="EGRESS_LIMIT",service="feed"} 6`,
		`ruedo_egress_bytes_total{direction="sent",service="feed"} 200`,
		`ruedo_egress_bytes_total{direction="received",service="feed"} 4000`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(text, `_total{direction="sent",service="quiet"}`) {
		t.Error("a service that did not use the network has metrics of it")
	}
}

// A service that is deleted and published again is counted from zero, also while
// calls of it go on.
func TestAForgottenServiceIsCountedAgain(t *testing.T) {
	m := telemetry.New(func() int { return 1 }, func() []string { return nil })
	info := &ruedov1.CallInfo{Runner: "r", Cold: true, Egress: &ruedov1.Egress{Streams: 1}}
	succeed := func() { m.Service("greet").Call("", time.Millisecond, info) }
	inFlight := m.Service("greet")
	var calling sync.WaitGroup
	for range 4 {
		calling.Go(func() {
			for range 1000 {
				succeed()
			}
		})
	}
	for range 100 {
		m.Forget("greet")
	}
	calling.Wait()
	m.Forget("greet")
	inFlight.Call("", time.Millisecond, info)
	if text := read(m); strings.Contains(text, "greet") {
		t.Errorf("a forgotten service is still shown:\n%s", text)
	}
	succeed()
	succeed()
	if text, want := read(m), `ruedo_calls_total{outcome="ok",service="greet"} 2`; !strings.Contains(text, want) {
		t.Errorf("the metrics do not contain %s:\n%s", want, text)
	}
}

// BenchmarkCallOfMany measures what counting costs a call if the calls of thousands of
// services alternate, so that the counters of none are in a cache.
func BenchmarkCallOfMany(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := telemetry.New(func() int { return 1 }, func() []string { return nil })
			info := &ruedov1.CallInfo{Runner: "r", CpuTime: durationpb.New(10 * time.Microsecond), Fuel: 1000, MemoryBytes: 128 << 10}
			names := make([]string, n)
			for i := range names {
				names[i] = fmt.Sprintf("service-%05d", i)
			}
			rand.Shuffle(n, func(i, j int) { names[i], names[j] = names[j], names[i] })
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for _, name := range names {
				m.Service(name).Call("", time.Millisecond, info)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.Service(names[i%n]).Call("", time.Millisecond, info)
			}
			b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/float64(n), "B/service")
			runtime.KeepAlive(m)
		})
	}
}

// Each call is in one bucket of each histogram, and what no runner has executed is in that
// of the time alone.
func TestFiguresOfAService(t *testing.T) {
	m := telemetry.New(func() int { return 1 }, func() []string { return nil })
	for _, took := range []time.Duration{-1, 100 * time.Microsecond, 100*time.Microsecond + 1, time.Hour} {
		m.Service("greet").Call("", took, &ruedov1.CallInfo{Runner: "r", MemoryBytes: 1 << 20, RestoreTime: durationpb.New(500 * time.Nanosecond)})
	}
	m.Service("greet").Call(fault.NoRunner, time.Second, nil)
	text := read(m)
	for _, want := range []string{
		`ruedo_calls_total{outcome="ok",service="greet"} 4`,
		`ruedo_calls_total{outcome="NO_RUNNER",service="greet"} 1`,
		`ruedo_call_duration_seconds_bucket{service="greet",le="0.0001"} 2`, // a bound belongs to what is below it
		`ruedo_call_duration_seconds_bucket{service="greet",le="0.0004"} 3`,
		`ruedo_call_duration_seconds_bucket{service="greet",le="+Inf"} 5`,
		`ruedo_call_duration_seconds_sum{service="greet"} 3601.000200001`,
		`ruedo_call_duration_seconds_count{service="greet"} 5`,
		`ruedo_call_memory_bytes_bucket{service="greet",le="1.048576e+06"} 4`,
		`ruedo_call_memory_bytes_sum{service="greet"} 4.194304e+06`,
		`ruedo_call_restore_seconds_bucket{service="greet",le="5e-07"} 4`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	m.Service("refused").Call(fault.NoRunner, time.Second, nil)
	if text := read(m); strings.Contains(text, `ruedo_call_fuel_total{service="refused"}`) || strings.Contains(text, `ruedo_call_memory_bytes_count{service="refused"}`) {
		t.Error("a service that no runner has executed has figures of one")
	}
}
