package assemble

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// fetch is a function that opens the stream whose head is its input, and returns the
// head that comes back.
func fetch() []byte {
	const in, out, size = 1024, 32 << 10, 16 << 10
	m := w.New()
	read, write := m.Import("ruedo", abi.ImportInputRead, "ii>i"), m.Import("ruedo", abi.ImportOutputWrite, "ii>i")
	open, head := m.Import("ruedo", abi.ImportStreamOpen, "ii>i"), m.Import("ruedo", abi.ImportStreamHead, "iiii>i")
	m.Memory(1, -1)
	m.AsFunction(m.Func(">i",
		w.I32(out),
		w.I32(in), w.CallWith(read, in, size), w.Call(open), // the descriptor
		w.I32(0), w.I32(out), w.I32(size), w.Call(head), // how much came back
		w.Call(write), w.Drop(), w.I32(0)))
	return m.Bytes()
}

// network is a cluster whose service fetch uses the network.
type network struct {
	t   *testing.T
	api *client.Client
	url string
	log testkit.Log
}

func newNetwork(t *testing.T, env ...string) *network {
	t.Helper()
	n := &network{t: t}
	c, err := assembler(t, env...).Cluster(t.Context(), n.log.Logger(), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	n.url, n.api = c.URL, client.New(c.URL, client.WithRetries(0))
	return n
}

// publish publishes the service with a grant.
func (n *network) publish(grant string) {
	t := n.t
	t.Helper()
	d := &ruedov1.Decorator{Name: "devices", Grants: &ruedov1.Grants{Egress: []string{grant}}}
	if _, err := n.api.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: d}); err != nil {
		t.Fatal(err)
	}
	digest, err := n.api.Upload(t.Context(), fetch(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.api.Services.PublishService(t.Context(), &ruedov1.PublishServiceRequest{Name: "fetch", Module: digest, Decorators: []string{"devices"}}); err != nil {
		t.Fatal(err)
	}
}

// get has the service make a request. It returns the status of the answer, or the
// reason why there is none.
func (n *network) get(url string) (outcome, message string) {
	n.t.Helper()
	head := abi.AppendField(nil, abi.HeadURL, url)
	res, err := n.api.Call(n.t.Context(), "fetch", abi.AppendField(head, abi.HeadLength, "0"))
	if err != nil {
		n.t.Fatal(err)
	}
	fields := map[string]string{}
	for rest := res.Output; ; {
		key, value, after, ok := abi.NextField(rest)
		if !ok {
			break
		}
		fields[key], rest = value, after
	}
	return cmp.Or(fields[abi.HeadStatus], fields[abi.HeadError]), fields[abi.HeadMessage]
}

// refused fails unless a refusal is in the log of the service, in that of the runner
// and in the metrics, which count so many.
func (n *network) refused(address string, total int) {
	n.t.Helper()
	said := ""
	for res, err := range n.api.ReadLogs(n.t.Context(), &ruedov1.ReadLogsRequest{Service: "fetch"}) {
		if err != nil {
			n.t.Fatal(err)
		}
		for _, e := range res.GetEntries() {
			said += string(e.GetText())
		}
	}
	refusal := func(line string) bool {
		return strings.HasPrefix(line, "WARN sandbox: EGRESS_BLOCKED") && strings.Contains(line, "http://"+address)
	}
	if !slices.ContainsFunc(strings.Split(said, "\n"), refusal) {
		n.t.Errorf("the log of the service does not say that %s was refused: %s", address, said)
	}
	if log := n.log.String(); !strings.Contains(log, `reason=EGRESS_BLOCKED to="GET http://`+address) {
		n.t.Errorf("the log of the runner does not say that %s was refused:\n%s", address, log)
	}
	want := fmt.Sprintf(`ruedo_egress_streams_total{outcome="EGRESS_BLOCKED",service="fetch"} %d`, total)
	metrics := ""
	testkit.Eventually(n.t, "the refusals are counted", func() bool {
		res, err := http.Get(n.url + "/metrics")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		metrics = string(b)
		return strings.Contains(metrics, want)
	})
}

// A service reaches what its grant names, a server in a range, and nothing next to it.
// What the setting runner.egress_deny names, no grant reaches.
func TestGrantsOnARealNetwork(t *testing.T) {
	var asked atomic.Int32 // next to the grant
	granted := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer granted.Close()
	next := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer next.Close()
	address, beside := granted.Listener.Addr().String(), next.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	rule := "http://127.0.0.0/30:" + port // 127.0.0.0 to 127.0.0.3

	t.Run("granted", func(t *testing.T) {
		n := newNetwork(t)
		n.publish(rule)
		if got, why := n.get(granted.URL); got != "200" {
			t.Errorf("what is granted: %s %s", got, why)
		}
		if got, why := n.get(next.URL); got != "EGRESS_BLOCKED" {
			t.Errorf("another port: %s %s", got, why)
		}
		n.refused(beside, 1)
		if got, why := n.get("http://127.0.0.4:" + port); got != "EGRESS_BLOCKED" {
			t.Errorf("an address after the range: %s %s", got, why)
		}
		n.refused("127.0.0.4:"+port, 2)
		if asked.Load() != 0 {
			t.Error("a server next to the grant was asked")
		}
	})
	t.Run("denied", func(t *testing.T) {
		n := newNetwork(t, "RUEDO_RUNNER_EGRESS_DENY=default "+address)
		n.publish(rule)
		got, why := n.get(granted.URL)
		if got != "EGRESS_BLOCKED" || !strings.Contains(why, "runner.egress_deny") {
			t.Errorf("what the runner denies: %s %s", got, why)
		}
		n.refused(address, 1)
	})
	t.Run("the core", func(t *testing.T) {
		n := newNetwork(t)
		core := strings.TrimPrefix(n.url, "http://")
		n.publish("http://" + core)
		if got, why := n.get(n.url + "/healthz"); got != "EGRESS_BLOCKED" {
			t.Errorf("the core of the runner: %s %s", got, why)
		}
		n.refused(core, 1)
	})
}
