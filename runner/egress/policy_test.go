package egress

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/grant"
)

// notPublic is an address of each class that names must not lead to.
var notPublic = map[string]string{
	"loopback": "127.0.0.1", "loopback, other": "127.255.255.254", "loopback, v6": "::1", "unspecified": "0.0.0.0", "unspecified, v6": "::",
	"this network": "0.1.2.3", "private, 10": "10.1.2.3", "private, 172": "172.31.0.1", "private, 192": "192.168.1.1", "CGNAT": "100.64.0.1",
	"link-local": "169.254.1.1", "metadata": "169.254.169.254", "metadata, v6": "fd00:ec2::254", "link-local, v6": "fe80::1", "unique local": "fd00::1",
	"multicast": "224.0.0.1", "multicast, v6": "ff02::1", "broadcast": "255.255.255.255", "reserved": "240.0.0.1", "benchmarks": "198.18.0.1",
	"documentation 1": "192.0.2.1", "documentation 2": "198.51.100.1", "documentation 3": "203.0.113.1", "documentation, v6": "2001:db8::1",
	"documentation, v6, new": "3fff::1", "protocols": "192.0.0.1", "6to4": "2002:7f00:1::1", "6to4 relay": "192.88.99.1", "NAT64": "64:ff9b::7f00:1",
	"NAT64, own": "64:ff9b:1::7f00:1", "Teredo": "2001:0:7f00:1::1", "IPv4-compatible": "::7f00:1", "mapped": "::ffff:127.0.0.1",
	"mapped, private": "::ffff:10.0.0.1", "site-local": "fec0::1", "discard": "100::1",
}

// dialled returns what the policy says of an address that a name has.
func dialled(t *testing.T, p *Policy, url, address string) error {
	t.Helper()
	rules, err := grant.New([]string{url})
	if err != nil {
		t.Fatal(err)
	}
	e := grant.Target{Scheme: rules[0].Scheme, Name: rules[0].Name, Port: rules[0].Port}
	if rules[0].Range.IsValid() {
		e.Address = rules[0].Range.Addr()
	}
	to, err := p.admit(t.Context(), e)
	if err != nil {
		return err
	}
	return p.control(withTarget(t.Context(), to), "tcp", address, nil)
}

func TestNamesLeadOnlyToTheInternet(t *testing.T) {
	p := newPolicy(t, newEgress(t, Config{}), "tcp://a.example:22", "tcp://b.example:22 to 10.0.0.0/8,fd00::/8", "tcp://10.20.0.0/16:22")
	for class, address := range notPublic {
		at := netip.AddrPortFrom(netip.MustParseAddr(address), 22).String()
		if err := dialled(t, p, "tcp://a.example:22", at); err == nil {
			t.Errorf("%s: a name leads to %s", class, at)
		}
	}
	for _, at := range []string{"[fe80::1%eth0]:22", "[2606:4700::1%eth0]:22", "nonsense", "1.1.1.1"} {
		if err := dialled(t, p, "tcp://a.example:22", at); err == nil {
			t.Errorf("a name leads to %s", at)
		}
	}
	for _, at := range []string{"1.1.1.1:22", "[2606:4700::1111]:22", "[::ffff:1.1.1.1]:22"} {
		if err := dialled(t, p, "tcp://a.example:22", at); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	// A range that the rule names, and nothing else.
	for at, ok := range map[string]bool{"10.1.2.3:22": true, "[fd00::1]:22": true, "[::ffff:10.1.2.3]:22": true, "1.1.1.1:22": true, "192.168.0.1:22": false,
		"127.0.0.1:22": false, "[fd00:ec2::254]:22": false, "[64:ff9b::a00:1]:22": false} {
		if err := dialled(t, p, "tcp://b.example:22", at); (err == nil) != ok {
			t.Errorf("b.example at %s: %v", at, err)
		}
	}
	if err := dialled(t, p, "tcp://10.20.1.1:22", "10.20.1.1:22"); err != nil {
		t.Error(err)
	}
	if err := p.control(t.Context(), "tcp", "1.1.1.1:22", nil); err == nil {
		t.Error("a dial without a target is allowed")
	}
}

// No grant overrides the deny list.
func TestDenyList(t *testing.T) {
	names := newNames(t, map[string]string{"core.example": "10.7.7.7 fd07::7", "device.example": "10.5.0.1"})
	e := newEgress(t, Config{
		Resolver: names.Resolver,
		Own:      []string{"http://core.example:7833", "10.9.9.9:2379", ":7834", "https://[fd09::9]"},
		Deny:     []string{Default, "10.5.0.0/16", "10.6.6.6", "db.example:5432", "[fd06::/64]:22"},
	})
	e.SetCores([]string{"http://10.8.8.8:7833", "http://other.example:80"})
	p := newPolicy(t, e, "tcp://10.0.0.0/8:22", "tcp://10.0.0.0/8:7833", "tcp://10.0.0.0/8:2379", "tcp://127.0.0.0/8:7834", "tcp://127.0.0.0/8:7835",
		"tcp://169.254.0.0/16:22", "tcp://[fd00::/8]:22", "tcp://[fd00::/8]:7833", "tcp://[fd00::/8]:443", "tcp://[64:ff9b::/96]:22", "tcp://[2002::/16]:22",
		"tcp://db.example:5432", "tcp://db.example:5433", "tcp://device.example:22 to 10.0.0.0/8", "tcp://192.168.0.0/16:7833")
	for rule, want := range map[string]struct{ at, denied string }{
		"tcp://10.7.7.7:7833":           {"10.7.7.7:7833", "core.example:7833"},
		"tcp://10.7.7.7:22":             {"10.7.7.7:22", ""},
		"tcp://10.7.7.8:7833":           {"10.7.7.8:7833", ""},
		"tcp://[fd07::7]:7833":          {"[fd07::7]:7833", "core.example:7833"},
		"tcp://10.8.8.8:7833":           {"10.8.8.8:7833", "10.8.8.8:7833"},
		"tcp://10.8.8.8:22":             {"10.8.8.8:22", ""},
		"tcp://10.9.9.9:2379":           {"10.9.9.9:2379", "10.9.9.9:2379"},
		"tcp://127.0.0.1:7834":          {"127.0.0.1:7834", ":7834"},
		"tcp://127.0.0.1:7835":          {"127.0.0.1:7835", ""},
		"tcp://[fd09::9]:443":           {"[fd09::9]:443", "[fd09::9]:443"},
		"tcp://10.5.1.1:22":             {"10.5.1.1:22", "10.5.0.0/16"},
		"tcp://10.6.6.6:22":             {"10.6.6.6:22", "10.6.6.6"},
		"tcp://[fd06::1]:22":            {"[fd06::1]:22", "[fd06::/64]:22"},
		"tcp://169.254.169.254:22":      {"169.254.169.254:22", "169.254.169.254"},
		"tcp://169.254.1.1:22":          {"169.254.1.1:22", ""},
		"tcp://[fd00:ec2::254]:22":      {"[fd00:ec2::254]:22", "fd00:ec2::254"},
		"tcp://[64:ff9b::a9fe:a9fe]:22": {"[64:ff9b::a9fe:a9fe]:22", "169.254.169.254"},
		"tcp://[2002:a9fe:a9fe::1]:22":  {"[2002:a9fe:a9fe::1]:22", "169.254.169.254"},
		"tcp://[2002:a9fe:a9fd::1]:22":  {"[2002:a9fe:a9fd::1]:22", ""},
		"tcp://db.example:5432":         {"1.1.1.1:5432", "db.example:5432"},
		"tcp://db.example:5433":         {"1.1.1.1:5433", ""},
		"tcp://device.example:22":       {"10.5.0.1:22", "10.5.0.0/16"},
		"tcp://192.168.7.7:7833":        {"192.168.7.7:7833", ""},
	} {
		err := dialled(t, p, rule, want.at)
		switch {
		case want.denied == "" && err != nil:
			t.Errorf("%s at %s: %v", rule, want.at, err)
		case want.denied != "" && (err == nil || !strings.Contains(err.Error(), "runner.egress_deny has "+want.denied+")")):
			t.Errorf("%s at %s: %v, want %s", rule, want.at, err, want.denied)
		}
	}
	// A list without the default is that list alone.
	p = newPolicy(t, newEgress(t, Config{Own: []string{":7834"}, Deny: []string{"10.0.0.1"}}), "tcp://127.0.0.0/8:7834", "tcp://169.254.169.254:80")
	p.egress.SetCores([]string{"http://127.0.0.1:7834"})
	for _, rule := range []string{"tcp://127.0.0.1:7834", "tcp://169.254.169.254:80"} {
		if err := dialled(t, p, rule, strings.TrimPrefix(rule, "tcp://")); err != nil {
			t.Error(err)
		}
	}
	// A core whose name is not known now could be anything.
	p = newPolicy(t, newEgress(t, Config{Resolver: names.Resolver, Own: []string{"http://gone.example:7833"}}), "tcp://10.0.0.0/8:7833", "tcp://10.0.0.0/8:22")
	if err := dialled(t, p, "tcp://10.1.1.1:7833", "10.1.1.1:7833"); err == nil {
		t.Error("an address is allowed that can be the core's")
	}
	if err := dialled(t, p, "tcp://10.1.1.1:22", "10.1.1.1:22"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "10.0.0.0/33", "a b", "a:0", "a:b", "[fd00::1", "http://a", ":", "10.0.0.1/8", "a/b", "*"} {
		if _, err := New(Config{Deny: []string{bad}}); err == nil {
			t.Errorf("%q is a deny list", bad)
		}
	}
}

// A core at an address of this machine is denied at every address of this machine.
func TestDenyThisMachine(t *testing.T) {
	var here netip.Addr
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && p.Addr().Is4() {
			here = p.Addr()
		}
	}
	if !here.IsValid() {
		t.Skip("this machine has loopback alone")
	}
	p := newPolicy(t, newEgress(t, Config{Own: []string{"http://127.0.0.1:7833"}}), "tcp://"+here.String()+":7833", "tcp://"+here.String()+":7834")
	if err := dialled(t, p, "tcp://"+here.String()+":7833", here.String()+":7833"); err == nil {
		t.Error("the core is reached by another address of the machine")
	}
	if err := dialled(t, p, "tcp://"+here.String()+":7834", here.String()+":7834"); err != nil {
		t.Error(err)
	}
}

// A name that changes its address after it was checked gains nothing: the address
// that is connected to is checked.
func TestRebinding(t *testing.T) {
	reached := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.Host }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	names := newNames(t, map[string]string{"a.evil.example": "127.0.0.1", "b.evil.example": "10.0.0.1 127.0.0.1 ::1", "c.evil.example": "::ffff:127.0.0.1"})
	e := newEgress(t, Config{Resolver: names.Resolver})
	p := newPolicy(t, e, "http://*.evil.example:"+port, "tcp://*.evil.example:"+port, "tls://*.evil.example:"+port, "udp://*.evil.example:"+port, "https://*.evil.example:"+port)
	for _, scheme := range []string{"http", "https", "tcp", "tls", "udp"} {
		for _, name := range []string{"a", "b", "c"} {
			g := newGuest(t, p)
			h := g.open(abi.HeadURL, scheme+"://"+name+".evil.example:"+port).head()
			if h[abi.HeadError] == "" || scheme != "udp" && name != "c" && h[abi.HeadError] != "EGRESS_BLOCKED" {
				t.Errorf("%s by %s: %v", name, scheme, h)
			}
		}
	}
	select {
	case host := <-reached:
		t.Errorf("a request for %s arrived", host)
	default:
	}
}

// Each hop of a redirect is a stream of its own, which is checked; the host follows
// none.
func TestRedirectToWhatIsForbidden(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the forbidden server is reached") }))
	defer inside.Close()
	outside := httptest.NewServer(http.RedirectHandler(inside.URL+"/secret", http.StatusFound))
	defer outside.Close()
	_, port, _ := net.SplitHostPort(outside.Listener.Addr().String())
	g := newGuest(t, newPolicy(t, newEgress(t, Config{}), loopback("http", port)))
	h := g.get(outside.URL).head()
	if h[abi.HeadStatus] != "302" || h["location"] != inside.URL+"/secret" {
		t.Fatalf("the head is %v", h)
	}
	if h := g.get(h["location"]).head(); h[abi.HeadError] != "EGRESS_BLOCKED" {
		t.Errorf("the next hop: %v", h)
	}
}

// A refusal says what is missing, to the guest, in its log, and once in the runner's
// log; and never a credential.
func TestRefusalsAreSaid(t *testing.T) {
	var log bytes.Buffer
	names := newNames(t, map[string]string{"in.example": "10.0.0.1"})
	e := newEgress(t, Config{Resolver: names.Resolver, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	g := newGuest(t, newPolicy(t, e))
	h := g.get("https://user:secret@api.example.com/path?token=secret", "authorization", "secret").head()
	if h[abi.HeadError] != "EGRESS_BLOCKED" || !strings.Contains(h[abi.HeadMessage], `the service has no grant for the network: GET https://api.example.com:443 needs "GET https://api.example.com" in grants.egress`) {
		t.Errorf("without a grant: %v", h)
	}
	for range 9 {
		g.get("https://api.example.com").head()
	}
	g.end()
	r := g.call.Report()
	if r.Streams != 10 || r.Blocked != 10 || len(r.Lines) != maxLines || !strings.HasPrefix(r.Lines[0], "EGRESS_BLOCKED the service has no grant") {
		t.Errorf("used %+v", r)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "service=s") || !strings.Contains(log.String(), "https://api.example.com:443") {
		t.Errorf("the log has %d lines:\n%s", n, log.String())
	}
	log.Reset()
	g = newGuest(t, newPolicy(t, e, "tcp://in.example:22"))
	if h := g.open(abi.HeadURL, "tcp://in.example:22").head(); !strings.Contains(h[abi.HeadMessage], `ends with "to" and the range`) {
		t.Errorf("a private address: %v", h)
	}
	g.end()
	if r := g.call.Report(); len(r.Lines) != 1 || !strings.HasSuffix(r.Lines[0], "(10.0.0.1)") || !strings.Contains(log.String(), "address=10.0.0.1") {
		t.Errorf("%+v\n%s", r, log.String())
	}
	if h := g.open(abi.HeadURL, "tcp://10.0.0.1:22").head(); !strings.Contains(h[abi.HeadMessage], `no rule of the service grants tcp://10.0.0.1:22: it needs "tcp://10.0.0.1:22"`) {
		t.Errorf("another address: %v", h)
	}
	if strings.Contains(log.String(), "secret") || strings.Contains(fmt.Sprint(r.Lines), "secret") {
		t.Error("a credential is in a log")
	}
}

func TestBadRulesMakeNoPolicy(t *testing.T) {
	if _, err := newEgress(t, Config{}).Policy([]string{"tcp://a"}); err == nil {
		t.Error("a policy without a port")
	}
}
