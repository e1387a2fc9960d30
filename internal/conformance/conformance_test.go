// Package conformance runs the Connect conformance suite against a service in a
// module. A core, whose callers have to log in, passes the suite's requests on to a
// runner; both are processes of their own. `make conformance` builds what the test
// needs.
package conformance

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"testing"

	"connectrpc.com/conformance/internal/app/connectconformance"
)

// ways are all ways to reach a core that the suite has cases for: how the suite names
// them, which cases they are, and how many by version of HTTP and protocol. gRPC
// exists over HTTP/2 only.
var ways = []struct {
	tls, run string
	cases    map[server]int
}{
	{"false", "**/TLS:false/**", map[server]int{
		{"HTTP/1", "CONNECT"}:  1120,
		{"HTTP/1", "GRPC_WEB"}: 894,
		{"HTTP/2", "CONNECT"}:  1240,
		{"HTTP/2", "GRPC"}:     1182,
		{"HTTP/2", "GRPC_WEB"}: 1002,
	}},
	{"true", "**/TLS:true/**", map[server]int{
		{"HTTP/1", "CONNECT"}:  1120,
		{"HTTP/1", "GRPC_WEB"}: 894,
		{"HTTP/2", "CONNECT"}:  1240,
		{"HTTP/2", "GRPC"}:     1002, // some cases have a client that speaks no TLS
		{"HTTP/2", "GRPC_WEB"}: 1002,
	}},
	{"true (with client certs)", "TLS Client Certs/**", map[server]int{
		{"HTTP/1", "CONNECT"}:  12,
		{"HTTP/1", "GRPC_WEB"}: 12,
		{"HTTP/2", "CONNECT"}:  12,
		{"HTTP/2", "GRPC"}:     12,
		{"HTTP/2", "GRPC_WEB"}: 12,
	}},
}

// TestConformance fails if a case fails, or if the suite runs others than ways says.
// There are no exceptions.
func TestConformance(t *testing.T) {
	c := startCluster(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	asked := httptest.NewServer(c)
	t.Cleanup(asked.Close)
	t.Setenv(testURL, asked.URL)
	passed := 0
	for _, w := range ways {
		var got report
		ok, err := connectconformance.Run(&connectconformance.Flags{
			ConfigFile:    "config.yaml",
			RunPatterns:   []string{w.run},
			ServerCommand: []string{self},
			MaxServers:    1, // it is the same one in any case
			Parallelism:   8,
			Verbose:       true, // says how many cases it runs
		}, &got, &got)
		if err != nil || !ok || got.failed > 0 {
			t.Errorf("TLS %s: %d cases fail, %v\n%s", w.tls, got.failed, err, got.failures())
		}
		if got.tls != w.tls || !maps.Equal(got.ran, w.cases) {
			t.Errorf("the suite ran %v cases with TLS %s, not %v with %s", got.ran, got.tls, w.cases, w.tls)
		}
		all := 0
		for _, n := range w.cases {
			all += n
		}
		if got.passed != all || got.total != all {
			t.Errorf("TLS %s: %d of %d cases passed, %d expected", w.tls, got.passed, got.total, all)
		}
		passed += got.passed
		fmt.Printf("TLS %s: %d cases of the conformance suite passed\n", w.tls, got.passed)
		for _, s := range slices.SortedFunc(maps.Keys(got.ran), server.compare) {
			fmt.Printf("  %s %-8s %5d\n", s.version, s.protocol, got.ran[s])
		}
	}
	fmt.Printf("%d cases in all\n", passed)
}
