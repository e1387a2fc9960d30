// Package grant reads the rules that say what services may connect to, and
// matches targets against them.
//
//	r, err := grant.Parse("GET,POST https://api.example.com")
//	rules, err := grant.New([]string{"tcp://10.20.0.0/16:22", "https://*.corp.example:8443 to 10.0.0.0/8"})
//	t, err := grant.TargetOf(u, "GET")
//	m, ok := rules.Match(t) // by name, before it is resolved
//	m.Leads(address)        // by address, before it is connected to
//
// # Rules
//
// A rule is "[METHOD[,METHOD] ]SCHEME://HOST[:PORT][ to RANGE[,RANGE]]".
//
//   - SCHEME is http, https, tcp, tls or udp. Only http and https have methods, and
//     a port by default.
//   - HOST is a name; "*." and a name, which stands for all names below that one; an
//     address; or a range of addresses such as 10.20.0.0/16 or [fd00::/64].
//   - "to" says to which ranges that are not public a name may lead.
//
// An address matches only rules that have an address or a range, so no name leads
// to a private network unless the rule says to which one.
//
// # Canonical text
//
// Each rule has one text, [Rule.String]. Stored rules have it, sorted and each
// once, as [Canonical] returns them.
package grant

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Schemes of a rule.
const (
	HTTP  = "http"
	HTTPS = "https"
	TCP   = "tcp"
	TLS   = "tls"
	UDP   = "udp"
)

// Bounds of rules.
const (
	// MaxRules is how many rules a decorator can have.
	MaxRules = 64
	// MaxLength of a rule, in bytes.
	MaxLength = 512
)

// Rule says what may be connected to.
type Rule struct {
	// Methods are in upper case and sorted. None means all.
	Methods []string
	// Scheme is one of the constants.
	Scheme string
	// Name of the host in lower case; with "*." in front, all names below it. Empty
	// if Range is set.
	Name string
	// Range of addresses; of one bit less than all if it is one address.
	Range netip.Prefix
	// Port is never 0.
	Port uint16
	// To are ranges that Name may lead to although they are not public, sorted.
	To []netip.Prefix
}

// String returns the canonical text of the rule.
func (r Rule) String() string {
	var b strings.Builder
	if len(r.Methods) > 0 {
		b.WriteString(strings.Join(r.Methods, ",") + " ")
	}
	b.WriteString(r.Scheme + "://" + r.host())
	if r.Port != defaultPort(r.Scheme) {
		b.WriteString(":" + strconv.Itoa(int(r.Port)))
	}
	for i, p := range r.To {
		b.WriteString([]string{",", " to "}[btoi(i == 0)] + rangeText(p))
	}
	return b.String()
}

func (r Rule) host() string {
	switch {
	case !r.Range.IsValid():
		return r.Name
	case r.Range.Addr().Is4():
		return rangeText(r.Range)
	}
	return "[" + rangeText(r.Range) + "]"
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// rangeText returns a range as it is written: an address alone if it is one.
func rangeText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// defaultPort is the port that a rule or a URL need not name; 0 if there is none.
func defaultPort(scheme string) uint16 {
	switch scheme {
	case HTTP:
		return 80
	case HTTPS:
		return 443
	}
	return 0
}

// Canonical returns the canonical texts of rules, sorted, each once. It fails with
// DECORATOR_INVALID, which names the first rule that is wrong by its place in the
// list and says what to write instead.
func Canonical(rules []string) ([]string, error) {
	if len(rules) > MaxRules {
		return nil, fault.New(fault.DecoratorInvalid, "grants.egress has %d rules, and at most %d are possible", len(rules), MaxRules).
			With("limit", MaxRules, "actual", len(rules)).WithFix("use ranges and names with *., or divide the rules among several decorators")
	}
	var texts []string
	for i, s := range rules {
		r, err := Parse(s)
		if err != nil {
			e := *fault.FromError(err)
			place := fmt.Sprintf("grants.egress[%d]", i)
			e.Fields = []fault.Field{{Path: place, Description: e.Message}}
			e.Message = place + ": " + e.Message
			return nil, &e
		}
		texts = append(texts, r.String())
	}
	return Union(texts), nil
}

// Union returns texts sorted, each once; nil if there are none.
func Union(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	if all = slices.Compact(all); len(all) == 0 {
		return nil
	}
	return all
}

// Rules are the rules of one service.
type Rules []Rule

// New reads rules. It fails as [Parse] does.
func New(texts []string) (Rules, error) {
	var rules Rules
	for _, s := range texts {
		r, err := Parse(s)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// Match is why a target may be connected to.
type Match struct {
	// Rule is the first rule that matches.
	Rule string
	// To are the ranges that are not public to which the target may lead.
	To []netip.Prefix
}

// Leads reports whether the rules name an address. If they do not, it may be
// connected to only if it is public.
func (m Match) Leads(a netip.Addr) bool {
	return slices.ContainsFunc(m.To, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Match returns the rules that match a target. It resolves nothing.
func (rs Rules) Match(t Target) (m Match, ok bool) {
	for _, r := range rs {
		if !r.matches(t) {
			continue
		}
		if !ok {
			m, ok = Match{Rule: r.String()}, true
		}
		if r.Range.IsValid() {
			m.To = append(m.To, r.Range)
		}
		m.To = append(m.To, r.To...)
	}
	return m, ok
}

func (r Rule) matches(t Target) bool {
	if r.Scheme != t.Scheme || r.Port != t.Port || len(r.Methods) > 0 && !slices.Contains(r.Methods, t.Method) {
		return false
	}
	if t.Address.IsValid() || r.Range.IsValid() {
		return r.Range.IsValid() && r.Range.Contains(t.Address)
	}
	if below, ok := strings.CutPrefix(r.Name, "*"); ok {
		return len(t.Name) > len(below) && strings.HasSuffix(t.Name, below)
	}
	return r.Name == t.Name
}

// Target is what a service wants to connect to.
type Target struct {
	Scheme string
	// Name of the host, in lower case and ASCII; empty if Address is valid.
	Name string
	// Address is valid if the host is one. It is never IPv4 in IPv6.
	Address netip.Addr
	Port    uint16
	// Method of an HTTP request; else empty.
	Method string
}

// Host returns the name or the address.
func (e Target) Host() string {
	if e.Address.IsValid() {
		return e.Address.String()
	}
	return e.Name
}

// HostPort returns the host and the port, as package net takes them.
func (e Target) HostPort() string {
	return net.JoinHostPort(e.Host(), strconv.Itoa(int(e.Port)))
}

// String returns the target for a log: it has neither credentials nor a path.
func (e Target) String() string {
	s := e.Scheme + "://" + e.HostPort()
	if e.Method != "" {
		s = e.Method + " " + s
	}
	return s
}

// Rule returns the rule that grants the target and nothing else.
func (e Target) Rule() string {
	r := Rule{Scheme: e.Scheme, Name: e.Name, Port: e.Port}
	if e.Method != "" {
		r.Methods = []string{e.Method}
	}
	if e.Address.IsValid() {
		r.Range = netip.PrefixFrom(e.Address, e.Address.BitLen())
	}
	return r.String()
}
