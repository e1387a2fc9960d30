package grant

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// maxRanges is how many ranges a rule can have after "to".
	maxRanges = 16
	// maxMethod is the length of the longest method, in bytes.
	maxMethod = 32
	// maxName is the length of the longest name of a host, in bytes.
	maxName = 253
	// example is a rule for errors.
	example = "GET,POST https://api.example.com or tcp://10.20.0.0/16:22"
)

// Parse reads a rule. It fails with DECORATOR_INVALID, which says what to write
// instead. Methods and ranges can also be separated by spaces.
func Parse(s string) (Rule, error) {
	if len(s) > MaxLength {
		return Rule{}, fault.New(fault.DecoratorInvalid, "an egress rule has %d bytes, and at most %d are possible", len(s), MaxLength).
			With("limit", MaxLength, "actual", len(s)).WithFix("write one rule for each host")
	}
	p := parser{text: s}
	r, ok := p.rule()
	if !ok {
		return Rule{}, p.err
	}
	return r, nil
}

// parser reads one rule.
type parser struct {
	text string
	err  *fault.Error
}

// fail keeps what is wrong, and what to write instead.
func (p *parser) fail(instead, format string, args ...any) bool {
	e := fault.New(fault.DecoratorInvalid, "the egress rule %q "+format, append([]any{masked(p.text)}, args...)...)
	p.err = e.WithFix("write %s", instead)
	return false
}

// masked hides what can be a password.
func masked(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	begin := 0
	if scheme, _, ok := strings.Cut(s[:at], "://"); ok {
		begin = len(scheme) + len("://")
	}
	return s[:begin] + "***" + s[at:]
}

func (p *parser) rule() (r Rule, ok bool) {
	for _, c := range p.text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return r, p.fail(example, "has a control character")
		}
	}
	words := strings.Fields(p.text)
	at := slices.IndexFunc(words, func(w string) bool { return strings.Contains(w, "://") })
	if at < 0 {
		return r, p.fail(example, "has no scheme and host")
	}
	scheme, host, _ := strings.Cut(words[at], "://")
	r.Scheme = strings.ToLower(scheme)
	if !p.scheme(r.Scheme, host) || !p.methods(&r, words[:at]) || !p.host(&r, host) {
		return r, false
	}
	if rest := words[at+1:]; len(rest) > 0 {
		if rest[0] != "to" {
			return r, p.fail("each rule on its own", "goes on after the host with %q", rest[0])
		}
		return r, p.to(&r, list(rest[1:]))
	}
	return r, true
}

// list returns the items of words that commas or spaces separate.
func list(words []string) []string {
	return strings.FieldsFunc(strings.Join(words, ","), func(c rune) bool { return c == ',' })
}

// instead are schemes that are not those of rules.
var instead = map[string]string{"ws": HTTP, "wss": HTTPS, "grpc": HTTP, "grpcs": HTTPS, "ssl": TLS, "dns": UDP, "snmp": UDP}

func (p *parser) scheme(scheme, host string) bool {
	switch scheme {
	case HTTP, HTTPS, TCP, TLS, UDP:
		return true
	case "ws", "wss":
		return p.fail([]string{TCP, TLS}[btoi(scheme == "wss")]+"://HOST:PORT, over which a client for WebSocket dials", "has the scheme %q", scheme)
	}
	use, ok := instead[scheme]
	if !ok {
		use = TCP
	}
	text := use + "://" + host
	if strings.ContainsAny(host, "@/") || !strings.Contains(host, ":") && defaultPort(use) == 0 {
		text = use + "://HOST:PORT"
	}
	return p.fail(text, "has the scheme %q: http, https, tcp, tls and udp are possible", scheme)
}

func (p *parser) methods(r *Rule, words []string) bool {
	if len(words) == 0 {
		return true
	}
	if r.Scheme != HTTP && r.Scheme != HTTPS {
		return p.fail("the rule without "+strings.Join(words, " "), "has methods, which only http and https have")
	}
	for _, m := range list(words) {
		upper := strings.ToUpper(m)
		switch {
		case m == "*":
			return p.fail("the rule without *, which is any method", "has the method *")
		case upper == "CONNECT":
			return p.fail("tcp:// or tls:// and the host and port", "has the method CONNECT, which makes a tunnel and no request")
		case len(m) > maxMethod || strings.Trim(upper, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "":
			return p.fail(example, "has the method %q", fault.Cut(m, maxMethod))
		case m != upper:
			return p.fail(upper, "has the method %q, and methods are in upper case", m)
		}
		r.Methods = append(r.Methods, m)
	}
	slices.Sort(r.Methods)
	r.Methods = slices.Compact(r.Methods)
	return true
}

// host reads what follows the scheme.
func (p *parser) host(r *Rule, s string) bool {
	if strings.Contains(s, "@") {
		return p.fail("the rule without user and password", "has credentials: the service sends them itself")
	}
	host, port, ok := p.split(r.Scheme, s)
	if !ok {
		return false
	}
	r.Port = defaultPort(r.Scheme)
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '0' {
			return p.fail("a number from 1 to 65535, and a rule for each port", "has the port %q", port)
		}
		r.Port = uint16(n)
	}
	if r.Port == 0 {
		usual := map[string]string{TCP: "22", TLS: "443", UDP: "161"}[r.Scheme]
		return p.fail("the port that the service uses, for example "+r.Scheme+"://"+s+":"+usual, "has no port, and %s has none by default", r.Scheme)
	}
	if strings.HasPrefix(s, "[") || strings.Contains(host, "/") || isAddress(host) {
		r.Range, ok = p.addresses(host)
		return ok
	}
	r.Name, ok = p.name(host)
	return ok
}

// split returns the host, without brackets, and the port or "".
func (p *parser) split(scheme, s string) (host, port string, ok bool) {
	if scheme == HTTP || scheme == HTTPS {
		s = strings.TrimSuffix(s, "/")
	}
	if inside, ok := strings.CutPrefix(s, "["); ok {
		host, rest, closed := strings.Cut(inside, "]")
		bits, after, _ := strings.Cut(strings.TrimPrefix(rest, "/"), ":")
		switch {
		case !closed:
			return "", "", p.fail("[ADDRESS]:PORT", "has no ] after the address")
		case strings.HasPrefix(rest, "/"):
			return "", "", p.fail(scheme+"://["+host+"/"+bits+"]"+[]string{"", ":"}[btoi(after != "")]+after, "has the size of the range after the bracket")
		case rest == "":
			return host, "", true
		case rest[0] != ':' || rest == ":":
			return "", "", p.fail(scheme+"://["+host+"]:PORT", "goes on after the address with %q", rest)
		}
		return host, rest[1:], true
	}
	if strings.Count(s, ":") > 1 {
		return "", "", p.fail("an IPv6 address in brackets, for example "+scheme+"://[fd00::1]:22", "has more than one colon")
	}
	host, port, has := strings.Cut(s, ":")
	if has && port == "" {
		return "", "", p.fail(scheme+"://"+host+", or a port after the colon", "has a colon and no port")
	}
	before, _, slash := strings.Cut(host, "/")
	if slash && !isAddress(before) || strings.ContainsAny(s, "?#") || strings.Contains(port, "/") {
		port, _, _ = strings.Cut(port, "/")
		host, _, _ = strings.Cut(before, "?")
		host, _, _ = strings.Cut(host, "#")
		return "", "", p.fail(scheme+"://"+host+[]string{"", ":"}[btoi(port != "")]+port, "has a path: a rule is about a host and a port")
	}
	return host, port, true
}

// isAddress reports whether s is, or is meant to be, an IP address: its last label
// is a number.
func isAddress(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	s = strings.TrimSuffix(s, ".")
	last := strings.ToLower(s[strings.LastIndexByte(s, '.')+1:])
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// addresses reads an address or a range.
func (p *parser) addresses(s string) (netip.Prefix, bool) {
	var none netip.Prefix
	r, err := netip.ParsePrefix(s)
	if err != nil {
		var a netip.Addr
		if a, err = netip.ParseAddr(s); err == nil {
			if a.Zone() != "" {
				return none, p.fail("the address without %"+a.Zone(), "has an address with a zone")
			}
			r = netip.PrefixFrom(a, a.BitLen())
		}
	}
	switch {
	case err != nil:
		return none, p.fail("an address such as 10.20.0.7 or [fd00::1], or a range such as 10.20.0.0/16", "has %q, which is neither an address nor a range", s)
	case r.Addr().Is4In6():
		return none, p.fail(r.Addr().Unmap().String(), "has an IPv4 address as IPv6")
	case r.Masked() != r:
		return none, p.fail(r.Masked().String(), "has the range %s, whose address is within the range", s)
	case tooWide(r):
		return none, p.fail("the ranges that the service needs, an IPv4 range from /8 on and an IPv6 range from /16 on", "grants too much with %s", s)
	case r.Addr().IsUnspecified():
		return none, p.fail("the address that is meant", "has %s, which is no address to connect to", s)
	}
	return r, true
}

// local are ranges of IPv6 that never leave a network and are allowed as a whole.
var local = []netip.Prefix{netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8")}

// tooWide reports whether a range is a large part of the internet.
func tooWide(r netip.Prefix) bool {
	if r.Addr().Is4() {
		return r.Bits() < 8
	}
	within := func(l netip.Prefix) bool { return l.Bits() <= r.Bits() && l.Contains(r.Addr()) }
	return r.Bits() < 16 && !slices.ContainsFunc(local, within)
}

// name reads the name of a host.
func (p *parser) name(s string) (string, bool) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	bare, wild := strings.CutPrefix(name, "*.")
	switch {
	case name == "":
		return "", p.fail(example, "has no host")
	case name == "*":
		return "", p.fail("the names that the service needs, for example *.example.com", "grants the whole internet")
	case strings.Contains(bare, "*"):
		return "", p.fail("*. and a name, for example *.example.com", "has a * that is not the first label of the name")
	case !ascii(name):
		to, err := idna.Lookup.ToASCII(bare)
		if err != nil {
			to = "the name in ASCII, which begins with xn--"
		}
		return "", p.fail(to, "has a name that is not ASCII")
	case !validName(bare):
		return "", p.fail(example, "has %q, which is not the name of a host", s)
	}
	if wild {
		if suffix, icann := publicsuffix.PublicSuffix(bare); icann && suffix == bare {
			return "", p.fail("the names that the service needs, for example *.example."+bare, "grants every name below %s", bare)
		}
	}
	return name, true
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c > 0x7e }) < 0
}

// validName reports whether s can be the name of a host: labels of letters in
// lower case, digits, hyphens and underscores.
func validName(s string) bool {
	if s == "" || len(s) > maxName || isAddress(s) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// to reads the ranges that a name may lead to.
func (p *parser) to(r *Rule, ranges []string) bool {
	switch {
	case r.Range.IsValid():
		return p.fail("the rule without it", "has %q, which only names have", "to")
	case len(ranges) == 0:
		return p.fail("a range after it, for example to 10.0.0.0/8", "ends with %q", "to")
	case len(ranges) > maxRanges:
		return p.fail("at most "+strconv.Itoa(maxRanges)+" ranges", "has %d ranges", len(ranges))
	}
	for _, s := range ranges {
		a, ok := p.addresses(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
		if !ok {
			return false
		}
		r.To = append(r.To, a)
	}
	slices.SortFunc(r.To, netip.Prefix.Compare)
	r.To = slices.Compact(r.To)
	return true
}

// TargetOf returns the target of a URL, and with a method for http and https. It
// fails with EGRESS_BLOCKED if no rule could match it.
func TargetOf(u *url.URL, method string) (Target, error) {
	e := Target{Scheme: u.Scheme, Port: defaultPort(u.Scheme)}
	if e.Port != 0 {
		if e.Method = method; method == "CONNECT" {
			return e, blocked("a request with the method CONNECT is a tunnel, which services do not get").WithFix("open a connection with tcp or tls")
		}
	}
	if s := u.Port(); s != "" {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			return e, blocked("%q is not the number of a port", fault.Cut(s, 20))
		}
		e.Port = uint16(n)
	}
	if e.Port == 0 {
		return e, blocked("%s needs the number of a port", u.Scheme)
	}
	host := u.Hostname()
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return e, blocked("%s has a zone, which means nothing to the runner", a)
		}
		e.Address = a.Unmap()
		return e, nil
	}
	if !ascii(host) {
		to, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return e, blocked("%q is not the name of a host", fault.Cut(host, 80))
		}
		host = to
	}
	e.Name = strings.ToLower(strings.TrimSuffix(host, "."))
	if isAddress(e.Name) {
		return e, blocked("%q is not a whole address: four numbers from 0 to 255 are expected", fault.Cut(host, 80))
	}
	if !validName(e.Name) {
		return e, blocked("%q is not the name of a host", fault.Cut(host, 80))
	}
	return e, nil
}

func blocked(format string, args ...any) *fault.Error {
	return fault.New(fault.EgressBlocked, format, args...)
}
