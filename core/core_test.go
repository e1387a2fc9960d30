package core_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func publishEcho(t *testing.T, c *ruedotest.Cluster, req *ruedov1.PublishServiceRequest) *ruedov1.PublishServiceResponse {
	t.Helper()
	req.Name = "echo"
	return c.Publish(t, req, ruedotest.Echo())
}

// quick is a limit that is short enough for a test to wait for.
var quick = &ruedov1.Limits{Timeout: durationpb.New(200 * time.Millisecond)}

// post sends a request as curl does.
func post(t *testing.T, c *ruedotest.Cluster, service, body string) (*http.Response, string) {
	t.Helper()
	res, err := c.HTTP.Post(c.URL+"/call/"+service, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// h2c returns a client that speaks HTTP/2 without TLS, as gRPC does.
func h2c(t *testing.T) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func wantReason(t *testing.T, err error, want fault.Reason, texts ...string) *fault.Error {
	t.Helper()
	e := faultrpc.FromError(err)
	if err == nil || e.Reason != want {
		t.Fatalf("err = %v (%s), want %s", err, e.Reason, want)
	}
	for _, text := range texts {
		if !strings.Contains(e.Error()+" "+e.Fix, text) {
			t.Errorf("%s: %q (fix %q) does not say %q", want, e, e.Fix, text)
		}
	}
	return e
}

func TestCallsAlternateBetweenRunnersOnEveryWayIn(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 2})
	res := publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	if n := len(res.GetPreparations()); n != 2 {
		t.Errorf("%d runners prepared the revision, want 2", n)
	}
	input, err := structpb.NewValue(map[string]any{"n": 1.0})
	if err != nil {
		t.Fatal(err)
	}
	doors := map[string]func() (runner string){
		"plain HTTP": func() string {
			res, body := post(t, c, "echo", `{"n":1}`)
			if res.StatusCode != 200 || body != `{"n":1}` || res.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("%s %s %q", res.Status, res.Header.Get("Content-Type"), body)
			}
			for _, h := range []string{"Ruedo-Call-Id", "Ruedo-Duration", "Ruedo-Revision"} {
				if res.Header.Get(h) == "" {
					t.Errorf("no %s header", h)
				}
			}
			return res.Header.Get("Ruedo-Runner")
		},
	}
	for name, opts := range map[string][]connect.ClientOption{
		"Connect": nil, "Connect JSON": {connect.WithProtoJSON()}, "gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()},
	} {
		httpClient := c.HTTP
		if name == "gRPC" {
			httpClient = h2c(t)
		}
		client := ruedov1connect.NewInvokeServiceClient(httpClient, c.URL, opts...)
		doors[name] = func() string {
			res, err := client.Invoke(t.Context(), &ruedov1.InvokeRequest{Service: "echo", Payload: &ruedov1.InvokeRequest_Input{Input: input}})
			if err != nil {
				t.Fatal(err)
			}
			if n := res.GetOutput().GetStructValue().GetFields()["n"].GetNumberValue(); n != 1 {
				t.Fatalf("output %v", res.GetPayload())
			}
			return res.GetInfo().GetRunner()
		}
	}
	for name, call := range doors {
		t.Run(name, func(t *testing.T) {
			a, b, again := call(), call(), call()
			if a == b || a != again || a == "" {
				t.Errorf("calls went to %s, %s, %s: they do not alternate", a, b, again)
			}
		})
	}
}

func TestOneProcessExecutesByItself(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Local: true})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	if res, body := post(t, c, "echo", "x"); res.StatusCode != 200 || body != "x" {
		t.Errorf("%s %q", res.Status, body)
	}
}

func TestWithoutARunnerCallsAndPublishesSaySo(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	c.Runners[0].Stop(t)
	_, err := c.Client.Call(t.Context(), "echo", []byte(`{}`))
	wantReason(t, err, fault.NoRunner, "start a runner")
	_, err = c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{Name: "other"}, ruedotest.Echo())
	wantReason(t, err, fault.NoRunner)
	if res, _ := post(t, c, "echo", "{}"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %s", res.Status)
	}
}

func TestSecondPublishOfTheSameContentIsUnchanged(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	first := publishEcho(t, c, &ruedov1.PublishServiceRequest{Env: map[string]string{"A": "1"}})
	again := publishEcho(t, c, &ruedov1.PublishServiceRequest{Env: map[string]string{"A": "1"}})
	if !again.GetUnchanged() || again.GetService().GetVersion() != first.GetService().GetVersion() {
		t.Errorf("publishing again: unchanged %v, version %d and %d", again.GetUnchanged(), first.GetService().GetVersion(), again.GetService().GetVersion())
	}
	described := publishEcho(t, c, &ruedov1.PublishServiceRequest{Env: map[string]string{"A": "1"}, Description: "new words"})
	if n := described.GetService().GetRevision().GetNumber(); described.GetUnchanged() || n != 1 {
		t.Errorf("a new description: unchanged %v, revision %d; want the same revision, changed", described.GetUnchanged(), n)
	}
	next := publishEcho(t, c, &ruedov1.PublishServiceRequest{Env: map[string]string{"A": "2"}})
	if n := next.GetService().GetRevision().GetNumber(); n != 2 {
		t.Errorf("a new environment is revision %d, want 2", n)
	}
}

func TestRollback(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	for _, v := range []string{"1", "2", "3"} {
		publishEcho(t, c, &ruedov1.PublishServiceRequest{Env: map[string]string{"V": v}})
	}
	back := func(to uint64) (*ruedov1.RollbackServiceResponse, error) {
		return c.Client.Services.RollbackService(t.Context(), &ruedov1.RollbackServiceRequest{Name: "echo", Revision: to})
	}
	res, err := back(0)
	if err != nil || res.GetService().GetRevision().GetNumber() != 2 || res.GetPrevious() != 3 {
		t.Fatalf("%v, %v", res, err)
	}
	if _, err := back(1); err != nil {
		t.Fatal(err)
	}
	_, err = back(0)
	wantReason(t, err, fault.RevisionNotFound, "no revision before 1")
	_, err = back(9)
	wantReason(t, err, fault.RevisionNotFound, "9")
	// The next publish continues from the highest number ever used.
	if n := publishEcho(t, c, &ruedov1.PublishServiceRequest{Env: map[string]string{"V": "4"}}).GetService().GetRevision().GetNumber(); n != 4 {
		t.Errorf("revision %d after a rollback, want 4", n)
	}
	list, err := c.Client.Services.ListRevisions(t.Context(), &ruedov1.ListRevisionsRequest{Name: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	var numbers []uint64
	for _, r := range list.GetItems() {
		numbers = append(numbers, r.GetNumber())
	}
	if diff := cmp.Diff([]uint64{4, 3, 2, 1}, numbers); diff != "" {
		t.Error(diff)
	}
}

func TestOfTwoPublishersOneWins(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	var mu sync.Mutex
	won, lost := 0, 0
	var wg sync.WaitGroup
	seen := publishEcho(t, c, &ruedov1.PublishServiceRequest{}).GetService().GetVersion()
	for i := range 4 {
		wg.Go(func() {
			_, err := c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{
				Name: "echo", ExpectedVersion: seen, Env: map[string]string{"BY": string(rune('a' + i))},
			}, ruedotest.Echo())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case errors.Is(err, fault.Conflict):
				lost++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 || lost != 3 {
		t.Errorf("%d won and %d lost, want 1 and 3", won, lost)
	}
	list, err := c.Client.Services.ListRevisions(t.Context(), &ruedov1.ListRevisionsRequest{Name: "echo"})
	if err != nil || len(list.GetItems()) != 2 {
		t.Errorf("%d revisions are stored, want 2: nothing half-written (%v)", len(list.GetItems()), err)
	}
}

func TestDecoratorsGuardCalls(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	schema, err := structpb.NewStruct(map[string]any{"type": "object", "required": []any{"name"}})
	if err != nil {
		t.Fatal(err)
	}
	create := func(d *ruedov1.Decorator) error {
		_, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: d})
		return err
	}
	if err := create(&ruedov1.Decorator{Name: "named", InputSchema: schema, Limits: &ruedov1.Limits{InputBytes: 64}}); err != nil {
		t.Fatal(err)
	}
	if err := create(&ruedov1.Decorator{Name: "quick", Limits: &ruedov1.Limits{Timeout: durationpb.New(1e9)}}); err != nil {
		t.Fatal(err)
	}
	wantReason(t, create(&ruedov1.Decorator{Name: "named"}), fault.AlreadyExists, "named")
	_, err = c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{Name: "echo", Decorators: []string{"nmaed"}}, ruedotest.Echo())
	wantReason(t, err, fault.DecoratorNotFound, "nmaed", "named")
	_, err = c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{Name: "echo", Decorators: []string{"named"}, Example: []byte(`{}`)}, ruedotest.Echo())
	wantReason(t, err, fault.InputInvalid, "example")
	publishEcho(t, c, &ruedov1.PublishServiceRequest{Decorators: []string{"named", "quick"}, Example: []byte(`{"name":"x"}`)})

	executed := func() uint64 {
		list, err := c.Client.Cluster.ListRunners(t.Context(), &ruedov1.ListRunnersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return list.GetItems()[0].GetTotalCalls()
	}
	before := executed()
	res, body := post(t, c, "echo", `{}`)
	var f struct {
		Reason string
		Fields []struct{ Field, Description string }
	}
	if err := json.Unmarshal([]byte(body), &f); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 400 || f.Reason != "INPUT_INVALID" || len(f.Fields) != 1 || f.Fields[0].Field != "name" {
		t.Errorf("%s %s", res.Status, body)
	}
	_, err = c.Client.Call(t.Context(), "echo", []byte(`{}`))
	if e := wantReason(t, err, fault.InputInvalid); len(e.Fields) != 1 || e.Fields[0].Path != "name" {
		t.Errorf("fields over Connect: %v", e.Fields)
	}
	res, body = post(t, c, "echo", `{"name":"`+strings.Repeat("x", 100)+`"}`)
	if res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(body, "64 bytes") || !strings.Contains(body, "111 bytes") {
		t.Errorf("%s %s", res.Status, body)
	}
	if n := executed() - before; n != 0 {
		t.Errorf("%d bad calls reached the runner", n)
	}
	if res, body := post(t, c, "echo", `{"name":"Ada"}`); res.StatusCode != 200 {
		t.Errorf("good input: %s %s", res.Status, body)
	}

	got, err := c.Client.Services.GetService(t.Context(), &ruedov1.GetServiceRequest{Name: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	from := map[string]string{}
	for _, l := range got.GetLimits() {
		from[l.GetLimit()] = l.GetValue() + " " + l.GetDecorator()
	}
	if from["timeout"] != "1s quick" || from["input"] != "64 bytes named" {
		t.Errorf("effective limits: %v", from)
	}

	_, err = c.Client.Decorators.DeleteDecorator(t.Context(), &ruedov1.DeleteDecoratorRequest{Name: "named"})
	wantReason(t, err, fault.DecoratorInUse, "echo")
	// A changed decorator applies immediately, without a publish.
	_, err = c.Client.Decorators.UpdateDecorator(t.Context(), &ruedov1.UpdateDecoratorRequest{Decorator: &ruedov1.Decorator{Name: "named"}})
	if err != nil {
		t.Fatal(err)
	}
	if res, body := post(t, c, "echo", `{}`); res.StatusCode != 200 {
		t.Errorf("after the schema was taken away: %s %s", res.Status, body)
	}
}

func TestUnknownNamesSuggestTheNearest(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	_, err := c.Client.Call(t.Context(), "ehco", []byte(`{}`))
	wantReason(t, err, fault.ServiceNotFound, "ehco", "did you mean echo?")
	_, err = c.Client.Decorators.GetDecorator(t.Context(), &ruedov1.GetDecoratorRequest{Name: "none"})
	wantReason(t, err, fault.DecoratorNotFound, "none")
	if res, body := post(t, c, "ehco", "{}"); res.StatusCode != 404 || !strings.Contains(body, "did you mean echo?") {
		t.Errorf("%s %s", res.Status, body)
	}
}

func TestRequestsThatBreakTheirRulesNameTheField(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	for _, name := range []string{"", "..", "a/b", "UPPER", "a\x00b", strings.Repeat("a", 64), "-a", "ünï"} {
		_, err := c.Client.Services.GetService(t.Context(), &ruedov1.GetServiceRequest{Name: name})
		e := wantReason(t, err, fault.RequestInvalid)
		if len(e.Fields) != 1 || e.Fields[0].Path != "name" {
			t.Errorf("name %q: fields %v", name, e.Fields)
		}
	}
}

func TestAMessageThatIsTooLargeSaysSo(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	input := structpb.NewStringValue(strings.Repeat("a", 9<<20))
	_, err := ruedov1connect.NewInvokeServiceClient(c.HTTP, c.URL).Invoke(t.Context(),
		&ruedov1.InvokeRequest{Service: "echo", Payload: &ruedov1.InvokeRequest_Input{Input: input}})
	if e := wantReason(t, err, fault.InputTooLarge, "8388608"); e.ConnectCode() != fault.CodeResourceExhausted {
		t.Errorf("code %s", e.ConnectCode())
	}
}

func TestWatchSendsThePresentAndThenChanges(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := c.Client.Services.WatchServices(ctx, &ruedov1.WatchServicesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := func() string {
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
		m := stream.Msg()
		switch {
		case m.GetSynced():
			return "synced"
		case m.GetDeleted():
			return "deleted " + m.GetService().GetName()
		}
		return m.GetService().GetName()
	}
	if a, b := next(), next(); a != "echo" || b != "synced" {
		t.Fatalf("%s, %s", a, b)
	}
	if _, err := c.Client.Services.DeleteService(t.Context(), &ruedov1.DeleteServiceRequest{Name: "echo"}); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "deleted echo" {
		t.Error(got)
	}
	cancel()
	if stream.Receive() {
		t.Error("a message after the end")
	}
	_ = stream.Close() // the cancelled stream's error
	_, err = c.Client.Call(t.Context(), "echo", nil)
	wantReason(t, err, fault.ServiceNotFound)
}

func TestHealthAndReflectionAnswer(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	res, err := c.HTTP.Post(c.URL+"/grpc.health.v1.Health/Check", "application/json", strings.NewReader(`{"service":"ruedo.v1.InvokeService"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Contains(body, []byte("SERVING")) {
		t.Errorf("%s %s %v, want %s", res.Status, body, err, grpchealth.StatusServing)
	}
	reflection := grpcreflect.NewClient(h2c(t), c.URL).NewStream(t.Context())
	defer func() {
		if _, err := reflection.Close(); err != nil {
			t.Error(err)
		}
	}()
	names, err := reflection.ListServices()
	if err != nil || !slices.Contains(names, "ruedo.v1.ServiceService") {
		t.Errorf("reflection lists %v, %v", names, err)
	}
}

func TestMetricsTellWhatCallsUsed(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	for range 3 {
		res, _ := post(t, c, "echo", "{}")
		for _, h := range []string{"Ruedo-Cpu-Time", "Ruedo-Memory", "Ruedo-Fuel", "Ruedo-Start"} {
			if v := res.Header.Get(h); v == "" || v == "0s" {
				t.Errorf("%s: %q", h, v)
			}
		}
	}
	text := metrics(t, c)
	for _, want := range []string{
		`ruedo_calls_total{outcome="ok",service="echo"} 3`, `ruedo_call_restore_seconds_count{service="echo"} 3`,
		`ruedo_call_memory_bytes_count{service="echo"} 3`, `ruedo_runners_ready 1`, `ruedo_call_cpu_seconds_total{service="echo"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}

	// A call that ends after its service was deleted brings no count back.
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "waits"}, w.Sleep(8*time.Second))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	called := make(chan error, 1)
	go func() { _, err := c.Client.Call(ctx, "waits", nil); called <- err }()
	testkit.Eventually(t, "the call is in flight", func() bool { return strings.Contains(metrics(t, c), "ruedo_runner_calls 1\n") })
	for _, name := range []string{"waits", "echo"} {
		if _, err := c.Client.Services.DeleteService(t.Context(), &ruedov1.DeleteServiceRequest{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, "the deleted service is no longer counted", func() bool { return !strings.Contains(metrics(t, c), `service="echo"`) })
	leave()
	<-called
	testkit.Eventually(t, "the call is over", func() bool {
		return strings.Contains(metrics(t, c), `procedure="InvokeService/Invoke"} 1`) // whatever came first
	})
	if text := metrics(t, c); strings.Contains(text, `service="waits"`) {
		t.Error("the service that was deleted while it was called is counted for ever")
	}
}

func TestTwoClustersOnOneStoreSeeNothingOfEachOther(t *testing.T) {
	a := ruedotest.New(t, ruedotest.Options{Runners: 1, Cluster: "team"})
	b := ruedotest.New(t, ruedotest.Options{Runners: 1, Cluster: "team-2", Etcd: a.Etcd})
	publishEcho(t, a, &ruedov1.PublishServiceRequest{})
	list, err := b.Client.Services.ListServices(t.Context(), &ruedov1.ListServicesRequest{})
	if err != nil || len(list.GetItems()) != 0 {
		t.Errorf("services of the other cluster: %v, %v", list.GetItems(), err)
	}
	runners, err := b.Client.Cluster.ListRunners(t.Context(), &ruedov1.ListRunnersRequest{})
	if err != nil || len(runners.GetItems()) != 1 || runners.GetItems()[0].GetId() != b.Runners[0].Info().GetId() {
		t.Errorf("runners of the other cluster: %v, %v", runners.GetItems(), err)
	}
	_, err = b.Client.Call(t.Context(), "echo", nil)
	wantReason(t, err, fault.ServiceNotFound)
}
