// Package conformance runs the Connect conformance suite against a service in a
// module. A core passes the suite's requests on to a runner; both are processes of
// their own. `make conformance` builds what the test needs.
package conformance

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"connectrpc.com/conformance/internal/app/connectconformance"
)

// cases is how many cases the suite has for servers, by version of HTTP and
// protocol. gRPC exists over HTTP/2 only.
var cases = map[server]int{
	{"HTTP/1", "CONNECT"}:  1120,
	{"HTTP/1", "GRPC_WEB"}: 894,
	{"HTTP/2", "CONNECT"}:  1240,
	{"HTTP/2", "GRPC"}:     1182,
	{"HTTP/2", "GRPC_WEB"}: 1002,
}

// TestConformance fails if a case fails, or if the suite runs others than cases
// says. There are no exceptions.
func TestConformance(t *testing.T) {
	c := startCluster(t)
	c.ruedo("publish", "--no-check", "service")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(coreURL, c.url)
	var got report
	ok, err := connectconformance.Run(&connectconformance.Flags{
		ConfigFile:    "config.yaml",
		ServerCommand: []string{self},
		MaxServers:    1, // it is the same one in any case
		Parallelism:   8,
		Verbose:       true, // says how many cases it runs
	}, &got, &got)
	if err != nil || !ok || got.failed > 0 {
		t.Errorf("%d cases fail, %v\n%s", got.failed, err, got.failures())
	}
	if !maps.Equal(got.ran, cases) {
		t.Errorf("the suite ran %v cases, not %v", got.ran, cases)
	}
	all := 0
	for _, n := range cases {
		all += n
	}
	if got.passed != all || got.total != all {
		t.Errorf("%d of %d cases passed, %d expected", got.passed, got.total, all)
	}
	fmt.Printf("%d cases of the conformance suite passed\n", got.passed)
	for _, s := range slices.SortedFunc(maps.Keys(got.ran), server.compare) {
		fmt.Printf("  %s %-8s %5d\n", s.version, s.protocol, got.ran[s])
	}
}
