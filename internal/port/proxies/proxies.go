// Package proxies finds out where a request came from that came by way of proxies.
//
//	trusted, err := proxies.Parse([]string{"10.0.0.0/8", "192.168.1.7"})
//	from := trusted.Client("10.0.0.2", header) // what 10.0.0.2 says in X-Forwarded-For
//
// Anybody can send X-Forwarded-For. So it is read from its end, where the last proxy
// has written who asked it, and no further than to the first address that is not one
// of a trusted proxy.
package proxies

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxHops bounds how many proxies a request can have come by.
const maxHops = 16

// Trusted are the addresses of proxies that are believed. The zero value is nobody.
type Trusted []netip.Prefix

// Parse reads addresses and networks. It fails with CONFIG_INVALID.
func Parse(texts []string) (Trusted, error) {
	var all Trusted
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			var ip netip.Addr
			if ip, err = netip.ParseAddr(text); err == nil {
				network, err = ip.Unmap().Prefix(ip.Unmap().BitLen())
			}
		}
		if err != nil {
			return nil, fault.New(fault.ConfigInvalid, "%q is neither an address nor a network", fault.Cut(text, 64)).
				WithFix("write the addresses of proxies, such as 10.0.0.2 or 10.0.0.0/8")
		}
		all = append(all, network.Masked())
	}
	return all, nil
}

func (t Trusted) has(address string) bool {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(t, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// Client returns the address, without a port, of whoever has sent a request that
// arrived from an address.
func (t Trusted) Client(from string, h http.Header) string {
	if len(t) == 0 {
		return from
	}
	forwarded := h["X-Forwarded-For"]
	for range maxHops {
		if !t.has(from) || len(forwarded) == 0 {
			break
		}
		last := len(forwarded) - 1
		rest, address := "", forwarded[last]
		comma := strings.LastIndexByte(address, ',')
		if comma >= 0 {
			rest, address = address[:comma], address[comma+1:]
		}
		ip, ok := parse(strings.TrimSpace(address))
		if !ok {
			break // a proxy that says nothing of use
		}
		from = ip
		if comma >= 0 {
			forwarded = append(slices.Clone(forwarded[:last]), rest)
		} else {
			forwarded = forwarded[:last]
		}
	}
	return from
}

// parse reads an address as proxies write it: some add the port.
func parse(text string) (string, bool) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap().String(), true
	}
	ip, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return ip.Unmap().String(), err == nil
}
