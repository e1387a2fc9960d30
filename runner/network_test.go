package runner_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/executor/executortest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit/sshtest"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/runner/egress"
)

// networkGuest is a service of sdk/web that uses the network, built once.
var networkGuest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "network-guest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "network.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", out, "./testdata/guests/network")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, msg)
	}
	return os.ReadFile(out)
})

// networked is a service with grants on a runner.
type networked struct {
	t    *testing.T
	exec executor.Runner
	plan string
}

// newNetworked starts a service with grants.
func newNetworked(t *testing.T, r *runner.Runner, rules ...string) *networked {
	t.Helper()
	wasm, err := networkGuest()
	if err != nil {
		t.Fatal(err)
	}
	src := executortest.NewSource()
	id, _ := src.Add(wasm, func(p *runnerv1.Plan) { p.Kind, p.Egress = ruedov1.Kind_KIND_HTTP, rules })
	return &networked{t, r.Bind(src), id}
}

// answer is what a call returned.
type answer struct {
	text, reason string
	info         *ruedov1.CallInfo
}

// call asks for a path with parameters, names and values.
func (n *networked) call(path string, pairs ...string) answer {
	n.t.Helper()
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	head := abi.AppendField(nil, abi.HeadMethod, "GET")
	head = abi.AppendField(head, abi.HeadPath, path+"?"+q.Encode())
	head = abi.AppendField(head, abi.HeadAuthority, "svc")
	head = abi.AppendField(head, abi.HeadProto, "HTTP/1.1")
	res, err := n.exec.Execute(n.t.Context(), &runnerv1.ExecuteRequest{Service: "s", Plan: n.plan, CallId: "c-1", Head: head, Logs: true})
	if err != nil {
		n.t.Fatalf("%s: %v\n%s", path, err, fault.FromError(err).Details)
	}
	a := answer{text: strings.TrimSpace(string(res.Output)), info: res.Info}
	for rest := res.Head; len(rest) > 0; {
		name, value, more, ok := abi.NextField(rest)
		if !ok {
			n.t.Fatalf("the head is %q", res.Head)
		}
		if rest = more; strings.EqualFold(name, "X-Reason") {
			a.reason = value
		}
	}
	return a
}

// local is a rule for a port of this machine.
func local(scheme, address string) string {
	_, port, _ := net.SplitHostPort(address)
	return scheme + "://127.0.0.0/8:" + port
}

// TestServicesUseTheNetwork: http.Get, and web.Dial over tcp, tls and udp, in a
// module on a runner.
func TestServicesUseTheNetwork(t *testing.T) {
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the server without a grant is reached") }))
	defer secret.Close()
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, secret.URL, http.StatusFound)
		case "/there":
			http.Redirect(w, r, "/here", http.StatusFound)
		default:
			fmt.Fprint(w, r.Proto, " ", r.URL.Path)
		}
	}))
	site.EnableHTTP2 = true
	site.StartTLS()
	defer site.Close()
	plain := httptest.NewServer(site.Config.Handler)
	defer plain.Close()
	echo, secure, datagrams := echoes(t, site.TLS.Certificates[0])
	pool := x509.NewCertPool()
	pool.AddCert(site.Certificate())

	var log bytes.Buffer
	r := newRunner(t, runner.Config{Egress: egress.Config{RootCAs: pool}, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	n := newNetworked(t, r, local("https", site.Listener.Addr().String()), "GET "+local("http", plain.Listener.Addr().String()),
		local("tcp", echo), local("tls", secure), local("udp", datagrams))
	for _, tt := range []struct{ path, key, value, network, want string }{
		{"/get", "url", site.URL + "/here", "", "200 HTTP/2.0 /here"},
		{"/get", "url", site.URL + "/there", "", "200 HTTP/2.0 /here"},
		{"/get", "url", plain.URL + "/here", "", "200 HTTP/1.1 /here"},
		{"/dial", "address", echo, "tcp", "hello from " + echo},
		{"/dial", "address", secure, "tls", "hello from " + secure},
		{"/dial", "address", datagrams, "udp", "hello from " + datagrams},
	} {
		a := n.call(tt.path, tt.key, tt.value, "network", tt.network, "text", "hello")
		if a.text != tt.want || a.info.GetEgress().GetStreams() == 0 || a.info.GetEgress().GetBlocked() != 0 || len(a.info.Logs) != 0 {
			t.Errorf("%s %s: got %q, reason %q, used %v, logs %q", tt.path, tt.value, a.text, a.reason, a.info.GetEgress(), a.info.Logs)
		}
	}
	// What is not granted: the second hop of a redirect, too. Guest and runner say so.
	log.Reset()
	a := n.call("/get", "url", plain.URL+"/away")
	if a.reason != "EGRESS_BLOCKED" || a.info.GetEgress().GetStreams() != 2 || a.info.GetEgress().GetBlocked() != 1 ||
		!strings.HasPrefix(string(a.info.Logs), "WARN sandbox: EGRESS_BLOCKED no rule of the service grants GET "+secret.URL) {
		t.Errorf("a redirect to what is forbidden: %q, reason %q, used %v, logs %q", a.text, a.reason, a.info.GetEgress(), a.info.Logs)
	}
	if n := strings.Count(log.String(), "refused a service the network"); n != 1 || !strings.Contains(log.String(), `"call_id":"c-1"`) {
		t.Errorf("the refusal is in the log %d times:\n%s", n, log.String())
	}
	if a := n.call("/nothing"); a.info.Egress != nil || a.text != "" {
		t.Errorf("a call without the network used %v", a.info.Egress)
	}
	var line struct{ Egress map[string]int }
	for _, l := range strings.Split(strings.TrimSpace(log.String()), "\n") {
		if strings.Contains(l, "executed call") {
			if err := json.Unmarshal([]byte(l), &line); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if line.Egress["streams"] != 2 || strings.Count(log.String(), `"egress":{`) != 1 {
		t.Errorf("the log has\n%s", log.String())
	}
}

// A service without a grant has no network, and the error says what is missing.
func TestServicesWithoutAGrant(t *testing.T) {
	n := newNetworked(t, newRunner(t, runner.Config{}))
	for _, a := range []answer{n.call("/get", "url", "http://127.0.0.1:1/"), n.call("/dial", "network", "tcp", "address", "127.0.0.1:1")} {
		if a.reason != "EGRESS_BLOCKED" || !strings.Contains(a.text, "the service has no grant for the network") || !strings.Contains(a.text, "grants.egress of a decorator") {
			t.Errorf("got %q, reason %q", a.text, a.reason)
		}
	}
}

// The runner's cores are out of reach whatever is granted, also those that it
// learns of later.
func TestCoresAreOutOfReach(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret") }))
	defer site.Close()
	r := newRunner(t, runner.Config{})
	n := newNetworked(t, r, local("http", site.Listener.Addr().String()))
	if a := n.call("/get", "url", site.URL); a.text != "200 secret" {
		t.Errorf("got %q", a.text)
	}
	r.DenyCores([]string{site.URL})
	if a := n.call("/get", "url", site.URL); a.reason != "EGRESS_BLOCKED" || !strings.Contains(a.text, "runner.egress_deny") {
		t.Errorf("got %q, reason %q", a.text, a.reason)
	}
}

// A guest that opens 10,000 connections gets what its limit allows, and the runner
// lives.
func TestFloodOfConnections(t *testing.T) {
	echo, _, _ := echoes(t, tls.Certificate{})
	n := newNetworked(t, newRunner(t, runner.Config{}), local("tcp", echo))
	a := n.call("/flood", "address", echo)
	if a.text != "256 connections, 9744 over the limit" || a.info.GetEgress().GetLimited() != 9744 || strings.Count(string(a.info.Logs), "\n") != 4 {
		t.Errorf("got %q, used %v, logs %q", a.text, a.info.GetEgress(), a.info.Logs)
	}
}

// TestAuditOverSSH: x/crypto/ssh in a module runs a command on a device, whose host
// key it checks.
func TestAuditOverSSH(t *testing.T) {
	device := sshtest.Start(t)
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	impostor, err := ssh.NewSignerFromKey(other)
	if err != nil {
		t.Fatal(err)
	}
	n := newNetworked(t, newRunner(t, runner.Config{}), local("tcp", device.Address))
	text := func(k ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(k)) }
	if a := n.call("/audit", "address", device.Address, "command", "show version", "hostkey", text(device.Keys[0])); a.text != "ran show version" {
		t.Errorf("got %q", a.text)
	}
	if a := n.call("/audit", "address", device.Address, "command", "show version", "hostkey", text(impostor.PublicKey())); !strings.Contains(a.text, "host key mismatch") {
		t.Errorf("another host key: %q", a.text)
	}
}

// echoes starts servers that send back what they get: over tcp, tls and udp.
func echoes(t *testing.T, cert tls.Certificate) (plain, secure, datagrams string) {
	t.Helper()
	var serving sync.WaitGroup
	serve := func(wrap func(net.Conn) net.Conn) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		serving.Go(func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				serving.Go(func() {
					defer conn.Close()
					c := wrap(conn)
					b, _ := io.ReadAll(c)
					_, _ = c.Write(b)
					_ = c.Close()
				})
			}
		})
		t.Cleanup(func() { ln.Close() })
		return ln.Addr().String()
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(serving.Wait) // after the listeners are closed: the last one first
	t.Cleanup(func() { pc.Close() })
	serving.Go(func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo(buf[:n], from)
		}
	})
	plain = serve(func(c net.Conn) net.Conn { return c })
	secure = serve(func(c net.Conn) net.Conn { return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}) })
	return plain, secure, pc.LocalAddr().String()
}
