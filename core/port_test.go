package core_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/route"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// Routes whose handlers themselves bound what they retain of a body.
var selfBounded = []string{
	ruedov1connect.ModuleServiceUploadModuleProcedure,   // parts in a pool, all uploads within four modules
	ruedov1connect.BackupServiceRestoreCatalogProcedure, // two catalogs of 64 MiB
	runnerv1connect.RunnerServiceAttachProcedure,        // frames within a lane's queue
	runnerv1connect.RunnerServicePushOutputProcedure,    // outputs within the limit of their service
	runnerv1connect.RunnerServiceFetchBodyProcedure,     // nothing before a lane is proven, then one message
	runnerv1connect.RunnerServicePushAnswerProcedure,    // nothing before a lane is proven, then a piece of one answer per call
	"/svc/", "hosts of services", "everything else", // two pieces of each exchange, whose number is bounded
	"GET /metrics", "GET /healthz", "GET /livez", "GET /readyz", "GET /leader-check", "GET /leader-check/{otherwise}", // no body is read
}

// Routes of runners that prove that they have a lane, or are about to have one.
var lasting = []string{
	runnerv1connect.RunnerServiceAttachProcedure, runnerv1connect.RunnerServiceFetchBodyProcedure, runnerv1connect.RunnerServicePushAnswerProcedure,
}

// Every route of the port has bounds, and every procedure of every service is a
// route. A procedure that is mounted in another way would not be found here.
func TestEveryRouteIsBounded(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	routes := c.Core.Routes()
	for _, r := range routes {
		rpc := strings.HasPrefix(r.Pattern, "/ruedo.") || strings.HasPrefix(r.Pattern, "/grpc.")
		switch {
		case rpc && r.Message <= 0:
			t.Errorf("%s: no bound of a message", r.Pattern)
		case rpc && r.Body == 0:
			t.Errorf("%s: no bound of a body", r.Pattern)
		case r.Weight == 0 && !slices.Contains(selfBounded, r.Pattern):
			t.Errorf("%s: its bodies are charged to no budget", r.Pattern)
		case r.Stream && !slices.Contains(lasting, r.Pattern):
			t.Errorf("%s: only lanes, and what streams in their calls, may last without a rule of speed", r.Pattern)
		}
	}
	for _, p := range procedures(t, c) {
		if !slices.ContainsFunc(routes, func(r port.Route) bool { return r.Pattern == p }) {
			t.Errorf("%s is not a route of its own", p)
		}
	}
}

// A service cannot publish a route that would get requests for the API.
func TestPathsOfTheAPIAreReserved(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	for _, r := range c.Core.Routes() {
		// Routes of services have no path of their own.
		if at := strings.IndexByte(r.Pattern, '/'); at >= 0 && !route.Reserved(r.Pattern[at:]) {
			t.Errorf("%s is a path of the API, and a service could have it as a route", r.Pattern)
		}
	}
}

// bomb returns a gzip file of members that inflate to 16 MiB each.
func bomb(t *testing.T, members int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(make([]byte, 16<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(b.Bytes(), members)
}

// overHTTP2 returns an HTTP/2 client without TLS.
func overHTTP2(t *testing.T) *http.Client {
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &h2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// A bomb sent to any procedure, in any protocol, is refused without being
// inflated.
func TestABombToAnyProcedureIsNotInflated(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	bombs := map[string][]byte{"48 KB": bomb(t, 3), "1 MB": bomb(t, 64)}
	client := overHTTP2(t)
	for _, path := range procedures(t, c) {
		for size, body := range bombs {
			enveloped := append(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(body))), body...)
			for protocol, req := range map[string]struct {
				header map[string]string
				body   []byte
			}{
				"connect":  {map[string]string{"Content-Type": "application/proto", "Content-Encoding": "gzip"}, body},
				"json":     {map[string]string{"Content-Type": "application/json", "Content-Encoding": "gzip"}, body},
				"stream":   {map[string]string{"Content-Type": "application/connect+proto", "Connect-Content-Encoding": "gzip"}, enveloped},
				"grpc":     {map[string]string{"Content-Type": "application/grpc+proto", "Grpc-Encoding": "gzip"}, enveloped},
				"grpc-web": {map[string]string{"Content-Type": "application/grpc-web+proto", "Grpc-Encoding": "gzip"}, enveloped},
			} {
				name := path + " " + protocol + " " + size
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+path, bytes.NewReader(req.body))
				if err != nil {
					t.Fatal(err)
				}
				for k, v := range req.header {
					r.Header.Set(k, v)
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				used := testkit.ProcessorTime()
				res, err := client.Do(r)
				if err != nil {
					continue // the stream was reset: refused as well
				}
				answer, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				used = testkit.ProcessorTime() - used
				runtime.ReadMemStats(&after)
				if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
					t.Errorf("%s: %d MiB were allocated", name, grown>>20)
				}
				if used > 2*time.Second {
					t.Errorf("%s: it took %s of a processor", name, used)
				}
				if ok := res.StatusCode == http.StatusOK && res.Trailer.Get("Grpc-Status") == "0"; ok || len(answer) > 16<<10 {
					t.Errorf("%s: %s %s, %d bytes", name, res.Status, res.Trailer, len(answer))
				}
			}
		}
	}
}

// procedures returns the procedures of all services that the core's reflection
// and the generated code know.
func procedures(t *testing.T, c *ruedotest.Cluster) []string {
	t.Helper()
	names := []string{"ruedo.runner.v1.RunnerService"}
	client := grpcreflect.NewClient(overHTTP2(t), c.URL, connect.WithGRPC())
	stream := client.NewStream(t.Context())
	list, err := stream.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		names = append(names, string(n))
	}
	names = append(names, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
	var paths []string
	for _, n := range names {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(n))
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			paths = append(paths, "/"+n+"/"+string(methods.Get(i).Name()))
		}
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	// The library for health checks does not have this one.
	paths = slices.DeleteFunc(paths, func(p string) bool { return p == "/grpc.health.v1.Health/List" })
	if len(paths) < 20 {
		t.Fatalf("found only %d procedures", len(paths))
	}
	return paths
}
