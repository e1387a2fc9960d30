package exchange

import (
	"net/http"
	"net/url"
	"strings"
)

// ofOrigin are fields with which an answer would change how a browser treats other
// pages of its host.
var ofOrigin = []string{
	"Accept-Ch", "Alt-Svc", "Clear-Site-Data", "Critical-Ch", "Nel", "Origin-Agent-Cluster", "Public-Key-Pins", "Refresh", "Report-To",
	"Reporting-Endpoints", "Service-Worker-Allowed", "Set-Cookie", "Set-Login", "Speculation-Rules", "Strict-Transport-Security",
}

// ofHost are those of them that are about more of a host than the pages of a
// service, whatever the port.
var ofHost = []string{"Clear-Site-Data", "Public-Key-Pins", "Service-Worker-Allowed", "Strict-Transport-Security"}

// restrict keeps a browser from treating an answer of a service as part of the API
// whose host it comes from: a page of a service runs no scripts there and has an
// origin of its own. On the port for web applications, where services share an
// origin without the API, only what is about the whole host is held back. Services
// with a host of their own are not restricted.
func (x *exchange) restrict(h http.Header) {
	if x.own {
		return
	}
	fields := ofOrigin
	if x.front.apps {
		fields = ofHost
	}
	for _, name := range fields {
		delete(h, name)
	}
	if x.front.apps {
		return
	}
	if sameHost(h.Get("Access-Control-Allow-Origin"), x.r.Host) {
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				delete(h, name)
			}
		}
	}
	h["Content-Security-Policy"] = append(h["Content-Security-Policy"], "sandbox") // policies add up
	h["X-Content-Type-Options"] = []string{"nosniff"}
}

// sameHost reports whether an origin is that of a host.
func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}
