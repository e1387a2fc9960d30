package core_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/telemetry"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// metrics returns all metrics as text.
func metrics(t *testing.T, c *ruedotest.Cluster) string {
	t.Helper()
	res, err := c.HTTP.Get(c.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// requests returns the nonzero counts of requests, by "procedure outcome".
func requests(t *testing.T, c *ruedotest.Cluster) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	for line := range strings.Lines(metrics(t, c)) {
		rest, ok := strings.CutPrefix(line, "ruedo_requests_total{")
		if !ok {
			continue
		}
		labels, value, _ := strings.Cut(rest, "} ")
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		f := strings.Split(labels, `"`)                                               // outcome=, o, ,procedure=, p
		if n > 0 && f[3] != "metrics" && !strings.HasPrefix(f[3], "RunnerService/") { // neither this request nor the runners' own
			counts[f[3]+" "+f[1]] = n
		}
	}
	return counts
}

func TestEveryRequestIsCountedByProcedureAndOutcome(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	trapping := wasmtest.New()
	trapping.Memory(1, -1)
	trapping.Export("_initialize", trapping.Func(">", wasmtest.Unreachable()))
	trapping.AsFunction(trapping.Func(">i", wasmtest.I32(0)))
	trap, err := c.Client.Upload(t.Context(), trapping.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "what was done so far is counted", func() bool {
		n := requests(t, c)
		return n["ModuleService/StatModule MODULE_NOT_FOUND"] == 2 && n["ModuleService/UploadModule ok"] == 2 && n["ServiceService/PublishService ok"] == 1
	})
	raw := func(method, path, body string) {
		req, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := c.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	for _, tt := range []struct {
		name string
		do   func()
		want []string
	}{
		{"a good request", func() {
			if _, err := c.Client.Services.ListServices(t.Context(), &ruedov1.ListServicesRequest{}); err != nil {
				t.Fatal(err)
			}
		}, []string{"ServiceService/ListServices ok"}},
		{"a refused upload", func() {
			_, err := c.Client.Upload(t.Context(), []byte("<!DOCTYPE html>"), nil)
			wantReason(t, err, fault.NotAModule)
		}, []string{"ModuleService/StatModule MODULE_NOT_FOUND", "ModuleService/UploadModule WASM_NOT_A_MODULE"}},
		{"a publish that a runner refuses", func() {
			_, err := c.Client.Services.PublishService(t.Context(), &ruedov1.PublishServiceRequest{Name: "trap", Module: trap})
			wantReason(t, err, fault.GuestTrap)
		}, []string{"ServiceService/PublishService GUEST_TRAP"}},
		{"a request that breaks its rules", func() {
			_, err := c.Client.Services.GetService(t.Context(), &ruedov1.GetServiceRequest{Name: "UPPER"})
			wantReason(t, err, fault.RequestInvalid)
		}, []string{"ServiceService/GetService REQUEST_INVALID"}},
		{"a request that cannot be read", func() { raw("POST", "/ruedo.v1.ServiceService/GetService", `{"name":`) }, []string{"ServiceService/GetService REQUEST_INVALID"}},
		{"an unknown service", func() {
			_, err := c.Client.Call(t.Context(), "nobody", nil)
			wantReason(t, err, fault.ServiceNotFound)
		}, []string{"InvokeService/Invoke SERVICE_NOT_FOUND"}},
		{"a good call", func() {
			if _, err := c.Client.Call(t.Context(), "echo", nil); err != nil {
				t.Fatal(err)
			}
		}, []string{"InvokeService/Invoke ok"}},
		{"a good call by plain HTTP", func() { raw("POST", "/call/echo", "{}") }, []string{"call ok"}},
		{"an unknown service by plain HTTP", func() { raw("POST", "/call/nobody", "{}") }, []string{"call SERVICE_NOT_FOUND"}},
		{"a name with slashes", func() { raw("POST", "/call/a/b", "{}") }, []string{"call SERVICE_NOT_FOUND"}},
		{"another method", func() { raw("PUT", "/call/echo", "{}") }, []string{"call UNIMPLEMENTED"}},
		{"an unknown procedure", func() { raw("POST", "/ruedo.v1.ServiceService/Nothing", "{}") }, []string{"other UNIMPLEMENTED"}},
		{"an unknown procedure by GET", func() { raw("GET", "/ruedo.v1.ServiceService/Nothing?connect=v1&encoding=json&message=%7B%7D", "") }, []string{"other UNIMPLEMENTED"}},
		{"an unknown path", func() { raw("GET", "/x/y", "") }, []string{"other NOT_FOUND"}},
		{"an unknown path by PUT", func() { raw("PUT", "/x/y", "") }, []string{"other NOT_FOUND"}},
		{"health, which is not of the API", func() { raw("POST", "/grpc.health.v1.Health/Check", "{}") }, []string{"Health/Check ok"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := requests(t, c)
			tt.do()
			for _, w := range tt.want {
				want[w]++
			}
			var got map[string]int
			// Some requests are counted after the answer is on its way.
			testkit.Eventually(t, "the request is counted", func() bool {
				got = requests(t, c)
				return !slices.ContainsFunc(tt.want, func(w string) bool { return got[w] < want[w] })
			})
			if !maps.Equal(got, want) {
				t.Errorf("counted %v, want %v", got, want)
			}
		})
	}
}

func TestNobodyMakesUpWhatIsCounted(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	const n = 200
	for i := range n {
		for _, path := range []string{"/ruedo.v1.ServiceService/Made%d", "/made.v%d.Up/Up", "/made/up/%d", "/call/made-%d", "/call/made/%d"} {
			res, err := c.HTTP.Post(c.URL+fmt.Sprintf(path, i), "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}
	want := map[string]int{"other UNIMPLEMENTED": 3 * n, "call SERVICE_NOT_FOUND": 2 * n}
	var got map[string]int
	testkit.Eventually(t, "all are counted", func() bool {
		got = requests(t, c)
		return got["other UNIMPLEMENTED"] >= 3*n && got["call SERVICE_NOT_FOUND"] >= 2*n
	})
	if !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", slices.Sorted(maps.Keys(got)), want)
	}
}

// The table of metrics has what a core exposes, and nothing else.
// absent reports whether a metric has no value yet: a healthy store has no alarms, this
// one has no member in the process, no service has used the network, and nobody was
// refused.
func absent(name string) bool {
	return name == "ruedo_alarms" || strings.HasPrefix(name, "ruedo_member_") || strings.HasPrefix(name, "ruedo_egress_") || name == "ruedo_denied_total"
}

func TestTheTableHasTheMetricsOfACore(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	if _, err := c.Client.Call(t.Context(), "echo", nil); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the leader runs a job", func() bool {
		_, err := c.Client.Jobs.RunJob(t.Context(), &ruedov1.RunJobRequest{Name: "collect-revisions"})
		return err == nil
	})
	process, err := telemetry.Process()
	if err != nil {
		t.Fatal(err)
	}
	type shape struct{ kind, help, labels string }
	described := map[string]shape{}
	for _, m := range slices.Concat(telemetry.Table(), process) {
		labels := slices.Sorted(slices.Values(m.Labels))
		described[m.Name] = shape{m.Type, m.Help, strings.Join(labels, " ")}
	}
	exposed := map[string]shape{}
	testkit.Eventually(t, "the call is counted", func() bool {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(metrics(t, c)))
		if err != nil {
			t.Fatal(err)
		}
		for name, f := range families {
			var labels []string
			for _, l := range f.GetMetric()[0].GetLabel() {
				labels = append(labels, l.GetName())
			}
			if f.GetType() == dto.MetricType_SUMMARY {
				labels = append(labels, "quantile")
			}
			slices.Sort(labels)
			exposed[name] = shape{strings.ToLower(f.GetType().String()), f.GetHelp(), strings.Join(labels, " ")}
		}
		_, ok := exposed["ruedo_call_restore_seconds"]
		return ok
	})
	for name, want := range described {
		if got, ok := exposed[name]; ok && got != want || !ok && !absent(name) {
			t.Errorf("%s is exposed as %v, and described as %v", name, got, want)
		}
	}
	for name := range exposed {
		if _, ok := described[name]; !ok {
			t.Errorf("%s is exposed, and not described", name)
		}
	}
}
