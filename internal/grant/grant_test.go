package grant_test

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/grant"
)

func TestRulesHaveOneText(t *testing.T) {
	for text, want := range map[string]string{
		"https://api.example.com":                          "https://api.example.com",
		"HTTPS://API.Example.com.:443/":                    "https://api.example.com",
		"http://a.example:80":                              "http://a.example",
		"http://a.example:8080":                            "http://a.example:8080",
		"POST,GET,POST https://a.example":                  "GET,POST https://a.example",
		" GET , POST  https://a.example ":                  "GET,POST https://a.example",
		"https://*.corp.net:8443":                          "https://*.corp.net:8443",
		"https://*.corp.net to fd00::/8, 10.0.0.0/8":       "https://*.corp.net to 10.0.0.0/8,fd00::/8",
		"https://vault to 10.0.0.5 10.0.0.5 [fd00::1]":     "https://vault to 10.0.0.5,fd00::1",
		"tcp://10.20.0.0/16:22":                            "tcp://10.20.0.0/16:22",
		"tcp://10.20.0.7/32:22":                            "tcp://10.20.0.7:22",
		"udp://10.20.0.0/16:161":                           "udp://10.20.0.0/16:161",
		"tls://db_1.example:5432":                          "tls://db_1.example:5432",
		"tcp://[FD00::1]:22":                               "tcp://[fd00::1]:22",
		"tcp://[fd00::/64]:22":                             "tcp://[fd00::/64]:22",
		"http://[::1]":                                     "http://[::1]",
		"http://127.0.0.0/8:8080":                          "http://127.0.0.0/8:8080",
		"https://*.internal":                               "https://*.internal",
		"tcp://localhost:5432 to 127.0.0.1":                "tcp://localhost:5432 to 127.0.0.1",
		"PROPFIND,M-SEARCH https://dav.example/":           "M-SEARCH,PROPFIND https://dav.example",
		"tcp://[fc00::/7]:22":                              "tcp://[fc00::/7]:22",
		"udp://[ff02::1]:5353":                             "udp://[ff02::1]:5353",
		"https://a.example\tto\t10.0.0.0/8":                "https://a.example to 10.0.0.0/8",
		"https://xn--bcher-kva.example":                    "https://xn--bcher-kva.example",
		"GET https://github.io":                            "GET https://github.io",
		"https://*.example.co.uk":                          "https://*.example.co.uk",
		"tcp://a.example:65535":                            "tcp://a.example:65535",
		"http://" + strings.Repeat("a", 63) + ".example":   "http://" + strings.Repeat("a", 63) + ".example",
		"GET http://" + strings.Repeat("a.", 120) + "test": "GET http://" + strings.Repeat("a.", 120) + "test",
	} {
		r, err := grant.Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := r.String(); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
		if again, err := grant.Parse(want); err != nil || again.String() != want {
			t.Errorf("%q does not read back: %v, %v", want, again, err)
		}
	}
}

func TestMistakesSayWhatToWrite(t *testing.T) {
	for text, want := range map[string]struct{ what, fix string }{
		"":                                                {"has no scheme and host", "GET,POST https://api.example.com or tcp://10.20.0.0/16:22"},
		"api.example.com":                                 {"has no scheme and host", ""},
		"https://":                                        {"has no host", ""},
		"https://*":                                       {"grants the whole internet", "*.example.com"},
		"https://*.com":                                   {"grants every name below com", "*.example.com"},
		"https://*.co.uk":                                 {"grants every name below co.uk", "*.example.co.uk"},
		"https://a.*.example":                             {"has a * that is not the first label", ""},
		"https://api*.example.com":                        {"has a * that is not the first label", ""},
		"tcp://0.0.0.0/0:22":                              {"grants too much with 0.0.0.0/0", "from /8"},
		"tcp://128.0.0.0/1:22":                            {"grants too much", ""},
		"tcp://[::/0]:22":                                 {"grants too much", ""},
		"tcp://[2000::/3]:22":                             {"grants too much", ""},
		"tcp://[::/16]:22":                                {"no address to connect to", ""},
		"tcp://0.0.0.0:22":                                {"no address to connect to", ""},
		"https://a.example to 0.0.0.0/0":                  {"grants too much", ""},
		"https://a.example to":                            {`ends with "to"`, "to 10.0.0.0/8"},
		"https://a.example to b.example":                  {"neither an address nor a range", ""},
		"tcp://10.0.0.1:22 to 10.0.0.0/8":                 {"which only names have", "without it"},
		"https://a.example or b.example":                  {`goes on after the host with "or"`, "on its own"},
		"https://a.example, tcp://b:22":                   {"is not the name of a host", ""},
		"tcp://a.example":                                 {"has no port", "tcp://a.example:22"},
		"udp://a.example":                                 {"has no port", "udp://a.example:161"},
		"tls://a.example":                                 {"has no port", "tls://a.example:443"},
		"https://a.example:":                              {"a colon and no port", ""},
		"https://a.example:0":                             {`has the port "0"`, "1 to 65535"},
		"https://a.example:080":                           {`has the port "080"`, ""},
		"https://a.example:65536":                         {`has the port "65536"`, ""},
		"https://a.example:http":                          {`has the port "http"`, ""},
		"https://a.example:80-90":                         {`has the port "80-90"`, "a rule for each port"},
		"https://a.example:443/v1/things":                 {"has a path", "https://a.example:443"},
		"https://a.example/v1":                            {"has a path", "https://a.example"},
		"https://a.example?x=1":                           {"has a path", "https://a.example"},
		"tcp://10.20.1.0/16:22":                           {"whose address is within the range", "10.20.0.0/16"},
		"tcp://10.20.0.0/33:22":                           {"neither an address nor a range", ""},
		"tcp://10.20.0:22":                                {"neither an address nor a range", ""},
		"tcp://10.20.0.256:22":                            {"neither an address nor a range", ""},
		"tcp://127.1:22":                                  {"neither an address nor a range", ""},
		"tcp://0x7f.0x1:22":                               {"neither an address nor a range", ""},
		"tcp://2130706433:22":                             {"neither an address nor a range", ""},
		"tcp://fd00::1:22":                                {"more than one colon", "[fd00::1]:22"},
		"tcp://[fd00::1:22":                               {"no ] after the address", ""},
		"tcp://[fd00::1]22":                               {"goes on after the address", ""},
		"tcp://[fd00::]/64:22":                            {"after the bracket", "tcp://[fd00::/64]:22"},
		"tcp://[fe80::1%eth0]:22":                         {"a zone", "without %eth0"},
		"tcp://[::ffff:10.0.0.1]:22":                      {"an IPv4 address as IPv6", "10.0.0.1"},
		"tcp://[a.example]:22":                            {"neither an address nor a range", ""},
		"https://-a.example":                              {"is not the name of a host", ""},
		"https://a..example":                              {"is not the name of a host", ""},
		"https://a\x00.example":                           {"has a control character", ""},
		"https://bücher.example":                          {"has a name that is not ASCII", "xn--bcher-kva.example"},
		"get https://a.example":                           {`has the method "get"`, "GET"},
		"* https://a.example":                             {"has the method *", "without *"},
		"CONNECT https://a.example":                       {"makes a tunnel", "tcp://"},
		"G.T https://a.example":                           {`has the method "G.T"`, ""},
		"GET tcp://a.example:22":                          {"which only http and https have", "without GET"},
		"ws://a.example":                                  {`has the scheme "ws"`, "tcp://HOST:PORT"},
		"wss://a.example":                                 {`has the scheme "wss"`, "tls://HOST:PORT"},
		"ssh://a.example:22":                              {`has the scheme "ssh"`, "tcp://a.example:22"},
		"redis://a.example":                               {`has the scheme "redis"`, "tcp://HOST:PORT"},
		"snmp://a.example:161":                            {`has the scheme "snmp"`, "udp://a.example:161"},
		"https://user:secret@a.example":                   {"has credentials", "without user and password"},
		"ssh://user:secret@a.example:22":                  {`has the scheme "ssh"`, "tcp://HOST:PORT"},
		"user:secret@a.example":                           {"has no scheme", ""},
		"https://" + strings.Repeat("a", 64) + ".example": {"is not the name of a host", ""},
		strings.Repeat("a", 600):                          {"has 600 bytes, and at most 512", "one rule for each host"},
	} {
		_, err := grant.Parse(text)
		e := fault.FromError(err)
		if !errors.Is(err, fault.DecoratorInvalid) || !strings.Contains(e.Message, want.what) || !strings.Contains(e.Fix, want.fix) || e.Fix == "" {
			t.Errorf("%q: %v; fix %q, want %+v", text, err, e.Fix, want)
		}
		if strings.Contains(e.Message+e.Fix, "secret") {
			t.Errorf("%q: a password is in the error %q, %q", text, e.Message, e.Fix)
		}
	}
}

func TestCanonical(t *testing.T) {
	got, err := grant.Canonical([]string{"tcp://b:1", "GET https://a.example:443/", "https://a.example", "GET https://a.example"})
	if want := []string{"GET https://a.example", "https://a.example", "tcp://b:1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := grant.Canonical(nil); got != nil || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	_, err = grant.Canonical([]string{"tcp://b:1", "tcp://b"})
	e := fault.FromError(err)
	if !strings.HasPrefix(e.Message, `grants.egress[1]: the egress rule "tcp://b" has no port`) || len(e.Fields) != 1 || e.Fields[0].Path != "grants.egress[1]" {
		t.Errorf("%v, fields %v", err, e.Fields)
	}
	if _, err := grant.Canonical(make([]string, 65)); !errors.Is(err, fault.DecoratorInvalid) || fault.FromError(err).Meta["limit"] != "64" {
		t.Errorf("%v", err)
	}
}

// target returns what a guest asks for, or why nobody gets it.
func target(t testing.TB, text string) (grant.Target, error) {
	t.Helper()
	method, raw, ok := strings.Cut(text, " ")
	if !ok {
		method, raw = "GET", text
	}
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return grant.TargetOf(u, method)
}

func TestMatch(t *testing.T) {
	texts := []string{
		"GET,POST https://api.example.com", "https://*.corp.net:8443", "tcp://10.20.0.0/16:22", "udp://10.20.0.0/16:161",
		"http://127.0.0.0/8:8080", "tcp://[fd00::/64]:22", "tls://db.example:5432", "https://xn--bcher-kva.example",
		"https://vault.corp.net:8443 to 10.0.0.0/8",
	}
	rules, err := grant.New(texts)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"https://api.example.com/a?b=c":        texts[0],
		"https://API.example.com.:443/":        texts[0],
		"POST https://api.example.com":         texts[0],
		"PUT https://api.example.com":          "",
		"get https://api.example.com":          "",
		"http://api.example.com":               "",
		"https://api.example.com:8443":         "",
		"https://example.com":                  "",
		"https://xapi.example.com":             "",
		"https://a.api.example.com":            "",
		"https://a.corp.net:8443":              texts[1],
		"https://a.b.corp.net:8443":            texts[1],
		"https://corp.net:8443":                "",
		"https://xcorp.net:8443":               "",
		"https://a.corp.net":                   "",
		"https://a.corp.net.evil.example:8443": "",
		"tcp://10.20.3.4:22":                   texts[2],
		"tcp://[::ffff:10.20.3.4]:22":          texts[2],
		"tcp://10.21.0.1:22":                   "",
		"tcp://10.20.3.4:23":                   "",
		"tcp://host.example:22":                "",
		"udp://10.20.3.4:161":                  texts[3],
		"http://127.0.0.1:8080/x":              texts[4],
		"http://localhost:8080":                "",
		"tcp://[fd00::9]:22":                   texts[5],
		"tcp://[fd00:1::9]:22":                 "",
		"tls://db.example:5432":                texts[6],
		"tcp://db.example:5432":                "",
		"https://b%C3%BCcher.example":          texts[7],
		"https://user:pw@api.example.com":      texts[0],
	} {
		e, err := target(t, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		m, ok := rules.Match(e)
		if ok != (want != "") || m.Rule != want {
			t.Errorf("%s matches %q, want %q", text, m.Rule, want)
		}
		if strings.Contains(e.String(), "pw") || strings.Contains(e.String(), "?") {
			t.Errorf("%s is shown as %s", text, e)
		}
		// The rule that an error suggests grants exactly that.
		if r, err := grant.New([]string{e.Rule()}); err == nil {
			if _, ok := r.Match(e); !ok {
				t.Errorf("%s suggests %q", text, e.Rule())
			}
		} else if !strings.HasPrefix(text, "get ") {
			t.Errorf("%s suggests %q: %v", text, e.Rule(), err)
		}
	}

	// Only what a rule names leads to what is not public.
	inside, outside := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.168.0.1")
	for text, want := range map[string][2]bool{
		"https://vault.corp.net:8443": {true, false},
		"https://a.corp.net:8443":     {false, false},
		"tcp://10.20.3.4:22":          {false, false},
	} {
		e, _ := target(t, text)
		if m, ok := rules.Match(e); !ok || m.Leads(inside) != want[0] || m.Leads(outside) != want[1] {
			t.Errorf("%s leads to %v", text, m.To)
		}
	}
}

func TestTargetsThatNoRuleCanMatch(t *testing.T) {
	for text, want := range map[string]string{
		"CONNECT https://a.example":        "tunnel",
		"tcp://a.example":                  "needs the number of a port",
		"tcp://a.example:0":                "not the number of a port",
		"tcp://a.example:99999":            "not the number of a port",
		"http://127.1":                     "not a whole address",
		"http://0x7f000001":                "not a whole address",
		"http://0177.0.0.1":                "not a whole address",
		"http://2130706433":                "not a whole address",
		"http://10.0.0.256":                "not a whole address",
		"http://[fe80::1%25eth0]":          "zone",
		"http://a_b..example":              "not the name of a host",
		"http://*.example.com":             "not the name of a host",
		"http://%E2%98%83%E2%98%83.%C2%A0": "not the name of a host",
	} {
		if e, err := target(t, text); !errors.Is(err, fault.EgressBlocked) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", text, e, err)
		}
	}
}

// FuzzParse: what is read has one text, which reads back as the same rule, and the
// errors say what to do.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"GET,POST https://api.example.com", "tcp://[fd00::/64]:22", "https://*.a.example:1 to 10.0.0.0/8,fd00::1", "a b c://d@e/f?g#h", "://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := grant.Parse(s)
		if err != nil {
			if e := fault.FromError(err); e.Reason != fault.DecoratorInvalid || e.Message == "" || e.Fix == "" {
				t.Fatalf("%q: %v, fix %q", s, err, e.Fix)
			}
			return
		}
		text := r.String()
		again, err := grant.Parse(text)
		if err != nil || again.String() != text || r.Port == 0 || (r.Name == "") != r.Range.IsValid() {
			t.Fatalf("%q is %q, then %v, %v", s, text, again, err)
		}
		if r.Range.IsValid() {
			return
		}
		// A rule grants a host below it, or itself, and not the other.
		host, _ := strings.CutPrefix(r.Name, "*")
		if host != r.Name {
			host = "a" + host
		}
		e := grant.Target{Scheme: r.Scheme, Name: host, Port: r.Port}
		if len(r.Methods) > 0 {
			e.Method = r.Methods[0]
		}
		if _, ok := (grant.Rules{r}).Match(e); !ok {
			t.Fatalf("%q does not grant %s", text, e)
		}
		for _, other := range []grant.Target{
			{Scheme: e.Scheme, Name: "x" + e.Name[1:] + ".evil", Port: e.Port, Method: e.Method},
			{Scheme: e.Scheme, Name: e.Name, Port: e.Port + 1, Method: e.Method},
			{Scheme: e.Scheme, Address: netip.MustParseAddr("127.0.0.1"), Port: e.Port, Method: e.Method},
		} {
			if _, ok := (grant.Rules{r}).Match(other); ok {
				t.Fatalf("%q grants %s", text, other)
			}
		}
	})
}

// FuzzTarget: what a guest asks for has one form, whose host is what is connected
// to.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"https://a.example/x", "tcp://[::ffff:1.2.3.4]:22", "http://127.1", "http://[fe80::1%25a]:1", "udp://%41:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil || !slices.Contains([]string{"http", "https", "tcp", "tls", "udp"}, u.Scheme) {
			return // refused before
		}
		e, err := grant.TargetOf(u, "GET")
		if err != nil {
			return
		}
		again, err := url.Parse(e.Scheme + "://" + e.HostPort())
		if err != nil {
			t.Fatalf("%q is %s: %v", s, e, err)
		}
		if f, err := grant.TargetOf(again, "GET"); err != nil || f != e {
			t.Fatalf("%q is %+v, then %+v, %v", s, e, f, err)
		}
		if e.Address.IsValid() && (e.Address.Is4In6() || e.Address.Zone() != "" || e.Name != "") {
			t.Fatalf("%q is %+v", s, e)
		}
	})
}
