package front

import (
	"net/http"
	"strings"
)

// routes are the handlers of plain requests.
type routes struct {
	prefix string
	named  http.Handler // of the paths that are prefix and a name; nil: there are none
	// procedures are those of whole paths.
	procedures map[string]http.Handler
}

// any reports whether any request can be plain.
func (r routes) any() bool { return r.named != nil || len(r.procedures) > 0 }

// Handle has a handler answer plain requests, whose path is prefix and a name, with a
// status that has a body. It must not use a request, its body or the ResponseWriter when
// it has returned. Call it before Serve.
func (f *Front) Handle(prefix string, h http.Handler) { f.routes.prefix, f.routes.named = prefix, h }

// HandleProcedure is Handle for a unary procedure of Connect with this path.
func (f *Front) HandleProcedure(path string, h http.Handler) { f.routes.procedures[path] = h }

// find returns the handler of a path, nil if there is none, and whether it is that of a
// procedure.
func (r routes) find(path string) (h http.Handler, procedure bool) {
	if h := r.procedures[path]; h != nil {
		return h, true
	}
	if name, ok := strings.CutPrefix(path, r.prefix); ok && isName(name) {
		return r.named, false
	}
	return nil, false
}
