package egress

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Default in a deny list stands for what is always dangerous: the addresses where
// clouds give credentials to their machines, and what the runner belongs to.
const Default = "default"

// metadata are the addresses of [Default].
var metadata = []string{"169.254.169.254", "fd00:ec2::254"}

// entry is an item of a deny list.
type entry struct {
	text  string
	name  string       // in lower case; "" if there is a range, or neither
	net   netip.Prefix // valid if the item is an address or a range
	self  bool         // the item is this machine
	port  uint16       // 0 means all
	known *resolved    // of name
}

// parseEntry reads NAME, ADDRESS or RANGE, each with or without :PORT, or :PORT
// alone, which is a port of this machine.
func parseEntry(s string) (entry, bool) {
	e := entry{text: s}
	host, port := s, ""
	if inside, ok := strings.CutPrefix(s, "["); ok {
		var rest string
		if host, rest, ok = strings.Cut(inside, "]"); !ok || rest != "" && rest[0] != ':' {
			return e, false
		}
		port = strings.TrimPrefix(rest, ":")
	} else if strings.Count(s, ":") == 1 {
		host, port, _ = strings.Cut(s, ":")
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return e, false
		}
		e.port = uint16(n)
	}
	if p, err := netip.ParsePrefix(host); err == nil && p.Masked() == p && !p.Addr().Is4In6() {
		e.net = p
	} else if a, err := netip.ParseAddr(host); err == nil && a.Zone() == "" {
		a = a.Unmap()
		e.net = netip.PrefixFrom(a, a.BitLen())
		e.self = a.IsUnspecified()
	} else if host == "" {
		e.self = true
		return e, e.port != 0
	} else {
		e.name = strings.ToLower(strings.TrimSuffix(host, "."))
		e.known = &resolved{}
		return e, !strings.ContainsAny(e.name, "/:%@*[] ,;")
	}
	return e, true
}

// hostsOf returns entries for URLs and for host:port.
func hostsOf(list []string) (entries []entry) {
	for _, s := range list {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			port := u.Port()
			if port == "" {
				port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
			}
			s = net.JoinHostPort(u.Hostname(), port)
		}
		if e, ok := parseEntry(s); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

// deny is what no service reaches, whatever it was granted. It is safe for
// concurrent use.
type deny struct {
	resolver *net.Resolver
	fixed    []entry
	cores    atomic.Pointer[[]entry]
}

// newDeny reads a deny list; empty means [Default]. own are what the runner
// belongs to, each as a URL or host:port.
func newDeny(list, own []string, resolver *net.Resolver) (*deny, error) {
	d := &deny{resolver: resolver}
	if len(list) == 0 {
		list = []string{Default}
	}
	for _, s := range list {
		if s == Default {
			d.fixed = append(d.fixed, hostsOf(slices.Concat(metadata, own))...)
			d.cores.Store(new([]entry))
			continue
		}
		e, ok := parseEntry(s)
		if !ok {
			return nil, fault.New(fault.ConfigInvalid, "%.80q is not an item of a deny list for egress", s).
				WithFix("write a name, an address or a range, each with or without a port, for example 10.0.0.0/8 or db.example.com:5432; or %s", Default)
		}
		d.fixed = append(d.fixed, e)
	}
	return d, nil
}

// setCores sets the addresses of the runner's cores. They count only if the list
// has [Default].
func (d *deny) setCores(urls []string) {
	if d.cores.Load() != nil {
		entries := hostsOf(urls)
		d.cores.Store(&entries)
	}
}

// entries returns the items for a port.
func (d *deny) entries(port uint16) (list []entry) {
	all := d.fixed
	if cores := d.cores.Load(); cores != nil {
		all = slices.Concat(all, *cores)
	}
	for _, e := range all {
		if e.port == 0 || e.port == port {
			list = append(list, e)
		}
	}
	return list
}

// name returns the item that has a name, if there is one.
func (d *deny) name(name string, port uint16) (item string, denied bool) {
	for _, e := range d.entries(port) {
		if e.name != "" && e.name == name {
			return e.text, true
		}
	}
	return "", false
}

// address returns the item that an address belongs to, if there is one. A name that
// cannot be resolved may have any address.
func (d *deny) address(ctx context.Context, a netip.Addr, port uint16) (item string, denied bool) {
	here := sync.OnceValue(func() bool { return isLocal(a) })
	forms := embedded(a)
	in := func(p netip.Prefix) bool {
		return slices.ContainsFunc(forms, p.Contains) ||
			// Another address of the machine that has this one.
			p.IsSingleIP() && isLocal(p.Addr()) && here()
	}
	for _, e := range d.entries(port) {
		switch {
		case e.self && here(), e.net.IsValid() && (e.port != 0 && in(e.net) || slices.ContainsFunc(forms, e.net.Contains)):
			return e.text, true
		case e.name != "":
			addrs, err := e.known.lookup(ctx, d.resolver, e.name)
			if err != nil {
				return e.text, true
			}
			for _, x := range addrs {
				if p := netip.PrefixFrom(x, x.BitLen()); e.port != 0 && in(p) || slices.Contains(forms, x) {
					return e.text, true
				}
			}
		}
	}
	return "", false
}

// isLocal reports whether an address is this machine's.
func isLocal(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(addrs, func(x net.Addr) bool {
		p, err := netip.ParsePrefix(x.String())
		return err == nil && p.Addr().Unmap() == a
	})
}

// carriers are ranges of IPv6 whose addresses carry one of IPv4, and where in them
// it begins.
var carriers = []struct {
	net netip.Prefix
	at  int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},   // NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12}, // NAT64 of one's own
	{netip.MustParsePrefix("2002::/16"), 2},       // 6to4
	{netip.MustParsePrefix("::/96"), 12},          // IPv4-compatible
}

// embedded returns an address and the IPv4 address that it carries, if it does.
func embedded(a netip.Addr) []netip.Addr {
	list := []netip.Addr{a}
	if !a.Is6() {
		return list
	}
	b := a.As16()
	for _, c := range carriers {
		if c.net.Contains(a) {
			list = append(list, netip.AddrFrom4([4]byte(b[c.at:])))
		}
	}
	return list
}

const (
	// freshFor is how long the addresses of a name in a deny list are remembered.
	freshFor = 10 * time.Second
	// maxLookup bounds looking them up.
	maxLookup = 5 * time.Second
)

// resolved remembers the addresses of a name.
type resolved struct {
	mu    sync.Mutex
	addrs []netip.Addr
	at    time.Time
}

func (r *resolved) lookup(ctx context.Context, resolver *net.Resolver, name string) ([]netip.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) < freshFor {
		return r.addrs, nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxLookup)
	defer cancel()
	addrs, err := resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, err
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap().WithZone("")
	}
	r.addrs, r.at = addrs, time.Now()
	return addrs, nil
}
