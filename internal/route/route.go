// Package route is the routes of services of kind http: where requests reach a
// service, besides /svc/NAME/.
//
//	r, err := route.Parse("GET,POST shop.example.com/api/")
//	err = route.Check(r)
//	route.Conflict(r, other)
//	table := route.NewTable()
//	table.Add("shop", r)
//	service, ok := table.Lookup("shop.example.com", "/api/items", "GET")
//
// A route has a host, or none, which means any host; a path, which is a prefix if it
// ends with a slash; and methods, or none, which means all. GET covers HEAD.
package route

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Example is a route as Parse reads it, for errors and help.
const Example = "GET,POST shop.example.com/api/"

// Parse reads a route: methods, if it has any, joined by commas and followed by a
// space; a host, if it has one; and a path. It fails with REQUEST_INVALID.
func Parse(text string) (*ruedov1.Route, error) {
	r := &ruedov1.Route{}
	place := strings.TrimSpace(text)
	if methods, rest, ok := strings.Cut(place, " "); ok {
		r.Methods = strings.Split(methods, ",")
		place = strings.TrimSpace(rest)
	}
	at := strings.IndexByte(place, '/')
	if at < 0 {
		return nil, invalid("route %q has no path", fault.Cut(text, 80)).WithFix("write it as %s, where the methods and the host can be left out", Example)
	}
	r.Host, r.Path = place[:at], place[at:]
	return r, Check(r)
}

// Text returns a route as [Parse] reads it.
func Text(r *ruedov1.Route) string {
	text := r.GetHost() + r.GetPath()
	if len(r.GetMethods()) > 0 {
		text = strings.Join(r.GetMethods(), ",") + " " + text
	}
	return text
}

const (
	maxHost = 253
	maxPath = 1024
)

var (
	hostPattern   = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	pathPattern   = regexp.MustCompile(`^/[-A-Za-z0-9._~!$&'()+,;=:@/]*$`)
	methodPattern = regexp.MustCompile(`^[A-Z]{1,32}$`)
)

// Check returns REQUEST_INVALID if a route is not valid, or if a request for the
// API could match it. api are the hosts that serve the API; a route without a host is
// served there, too.
func Check(r *ruedov1.Route, api ...string) error {
	text := fault.Cut(Text(r), 80)
	if err := checkHost(r.GetHost()); err != nil {
		return invalid("route %q: %s", text, err).WithFix("%s", fault.FromError(err).Fix)
	}
	for i, m := range r.GetMethods() {
		switch {
		case !methodPattern.MatchString(m):
			return invalid("route %q: %q is not a method", text, fault.Cut(m, 40)).WithFix("write methods in capitals, such as GET,POST")
		case slices.Contains(r.GetMethods()[:i], m):
			return invalid("route %q: the method %s is there twice", text, m)
		}
	}
	path := r.GetPath()
	switch {
	case !strings.HasPrefix(path, "/"):
		return invalid("route %q: the path has to begin with a slash", text)
	case len(path) > maxPath:
		return invalid("the path of a route has %d bytes, over the limit of %d", len(path), maxPath)
	case strings.ContainsAny(path, "*{}"):
		return invalid("route %q: a path has no wildcards", text).WithFix("end it with a slash: it is a prefix then")
	case !pathPattern.MatchString(path):
		return invalid("route %q: the path has characters that a route cannot have", text).WithFix("use letters, digits, slashes and -._~!$&'()+,;=:@, without a query")
	case strings.Contains(path, "//") || slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." }):
		return invalid("route %q: the path has an empty segment, or . or ..", text)
	case Reserved(path) && (r.GetHost() == "" || slices.Contains(api, r.GetHost())):
		return invalid("route %q: requests for the API could match it", text).WithFix("choose another path, or give the route a host of its own")
	}
	return nil
}

// checkHost returns why a host cannot be that of a route.
func checkHost(host string) error {
	switch _, err := netip.ParseAddr(strings.Trim(host, "[]")); {
	case host == "", len(host) <= maxHost && hostPattern.MatchString(host):
		return nil
	case host == "http:", host == "https:":
		return invalid("a route has no scheme").WithFix("leave out %s//: the route holds for http and https", host)
	case strings.ToLower(host) != host:
		return invalid("the host has to be in lower case").WithFix("write it as %s", strings.ToLower(host))
	case err == nil, !strings.Contains(host, "."):
		return invalid("the host has to be a name with a dot: addresses and short names reach the API").WithFix("use a name such as shop.example.com")
	case strings.Contains(host, ":"):
		return invalid("a host has no port").WithFix("leave the port out: the route holds for any")
	case strings.Contains(host, "*"):
		return invalid("a host has no wildcards").WithFix("write a route for each host, or one without a host")
	}
	return invalid("the host is not the name of a host").WithFix("use a name such as shop.example.com")
}

// Reserved reports whether a path is the API's, or a prefix of the API's paths.
func Reserved(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "", "call", "svc", "metrics", "livez", "healthz", "readyz", "leader-check":
		return true
	}
	return strings.HasPrefix(first, "ruedo.") || strings.HasPrefix(first, "grpc.")
}

// Conflict reports whether two routes claim the same requests: they have the same
// host and path, and a method in common. Of other routes that match a request, the
// one with a host comes first, then the longest path.
func Conflict(a, b *ruedov1.Route) bool {
	return a.GetHost() == b.GetHost() && a.GetPath() == b.GetPath() && (overlap(a.GetMethods(), b.GetMethods()) || overlap(b.GetMethods(), a.GetMethods()))
}

// overlap reports whether one of the methods of a, or any method if it has none, is
// covered by b.
func overlap(a, b []string) bool {
	return len(a) == 0 || slices.ContainsFunc(a, func(m string) bool { return covers(b, m) })
}

// covers reports whether a route with these methods matches a method. As in
// net/http, GET covers HEAD.
func covers(methods []string, method string) bool {
	return len(methods) == 0 || slices.Contains(methods, method) || method == "HEAD" && slices.Contains(methods, "GET")
}

func invalid(format string, args ...any) *fault.Error {
	return fault.New(fault.RequestInvalid, format, args...)
}
