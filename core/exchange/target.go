package exchange

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// prefix is where services of kind http are served by name.
const prefix = "/svc/"

// Routes are the routes that services declare: a catalog.Catalog. It is asked for each
// request that nothing else serves, by many goroutines at the same time.
type Routes interface {
	// Lookup returns the service that a request is for. The host can have a port; ""
	// asks for a route of any host.
	Lookup(host, path, method string) (service string, ok bool)
	// HasHost reports whether a service has declared a route of this host.
	HasHost(host string) bool
}

// target is where a request goes.
type target struct {
	service string
	// path as the service sees it, escaped, with the query; "" if the slash after
	// the name is missing.
	path   string
	prefix string // that was cut off
	// own is set if the service has the host, and so the origin, for itself.
	own bool
	// absent answers callers who may not see the service, and have not named it: as
	// if it had no route.
	absent http.HandlerFunc
}

var errAbsent = errors.New("the caller may not see the service of this route")

// byName serves /svc/{service}/.
func (f *front) byName(w http.ResponseWriter, r *http.Request) { f.serve(w, r, named(r.URL)) }

// named returns where /svc/{service}/ goes.
func named(u *url.URL) (t target) {
	if rest, ok := strings.CutPrefix(u.EscapedPath(), prefix); ok {
		segment, path, slash := strings.Cut(rest, "/")
		t.service, _ = url.PathUnescape(segment) // of a valid path: it cannot fail
		t.prefix = prefix + segment
		if slash {
			t.path = withQuery("/"+path, u)
		}
	}
	return t
}

// onThisHost serves declared routes of hosts that also serve the API.
func (f *front) onThisHost(w http.ResponseWriter, r *http.Request) {
	f.byRoute(w, r, target{absent: port.NotFound})
}

func (f *front) isDeclared(r *http.Request) bool {
	_, ok := f.cfg.Routes.Lookup(r.Host, r.URL.Path, r.Method)
	return ok
}

// onOwnHost serves declared routes of hosts that are not this core's. A service that
// is there only because its route is for any host does not have the origin for
// itself.
func (f *front) onOwnHost(w http.ResponseWriter, r *http.Request) {
	service, _ := f.cfg.Routes.Lookup(r.Host, r.URL.Path, r.Method)
	everywhere, ok := f.cfg.Routes.Lookup("", r.URL.Path, r.Method)
	f.byRoute(w, r, target{own: !ok || service != everywhere, absent: noRoute})
}

// routed returns the service that has declared a route of a request, or "".
func (f *front) routed(r *http.Request) string {
	service, _ := f.cfg.Routes.Lookup(r.Host, r.URL.Path, r.Method)
	return service
}

// hasHost reports whether a host that is not this core's is a service's. Others are
// refused: a web page could have bound its own name to this core's address.
func (f *front) hasHost(r *http.Request) bool { return f.cfg.Routes.HasHost(r.Host) }

func (f *front) byRoute(w http.ResponseWriter, r *http.Request, t target) {
	t.path = withQuery(r.URL.EscapedPath(), r.URL)
	var ok bool
	if t.service, ok = f.cfg.Routes.Lookup(r.Host, r.URL.Path, r.Method); !ok {
		noRoute(w, r)
		return
	}
	f.serve(w, r, t)
}

// noRoute answers requests to the host of a service for which nobody has a route.
func noRoute(w http.ResponseWriter, r *http.Request) {
	port.Count(r.Context(), fault.NotFound)
	e := fault.New(fault.NotFound, "no service has declared a route for %s %s", fault.Cut(r.Method, 32), fault.Cut(r.URL.Path, 256))
	if !faultrpc.WriteRPC(w, r, e) {
		faultrpc.WriteJSON(w, faultrpc.HTTPStatus(e), e)
	}
}

func withQuery(path string, u *url.URL) string {
	if u.ForceQuery || u.RawQuery != "" {
		return path + "?" + u.RawQuery
	}
	return path
}

// errNoSlash is for a path that ends with the name of a service. With the slash,
// relative links of the service's pages work.
var errNoSlash = errors.New("the slash after the name of the service is missing")

// addSlash sends the caller to the path with the slash.
func addSlash(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", withQuery(r.URL.EscapedPath()+"/", r.URL))
	w.WriteHeader(http.StatusTemporaryRedirect)
}
