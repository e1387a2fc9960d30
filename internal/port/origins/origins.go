// Package origins decides which web pages can use a server: those of its own origin,
// and those of the origins that it allows.
//
//	allowed, err := origins.Parse([]string{"https://app.example.com"})
//	err = allowed.Protection().Check(r) // can a page have sent this request that must not?
//	h = allowed.Readable(h)             // pages of these origins can read what h answers
//
// A browser sends requests for any page. It shows an answer to a page of another origin
// only if the answer allows that, and asks first, with a preflight, before it sends
// what a form could not (CORS). Answers allow it only to requests without cookies and
// certificates of the browser: a page shows a token, or is anonymous.
package origins

import (
	"net/http"
	"net/url"
	"strings"

	connectcors "connectrpc.com/cors"
	"github.com/rs/cors"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

// maxAge is for how many seconds a browser can remember the answer to a preflight: two
// hours, which is as long as all of them allow.
const maxAge = 7200

// Allowed are origins, besides a server's own, whose pages can use it. The zero value
// has none.
type Allowed struct {
	list []string
	cors *cors.Cors // nil if there are none
}

// Parse reads origins: scheme://host, with a port unless it is the scheme's own. It
// fails with CONFIG_INVALID.
func Parse(texts []string) (Allowed, error) {
	var a Allowed
	for _, text := range texts {
		origin, why := parse(text)
		if why != "" {
			return Allowed{}, fault.New(fault.ConfigInvalid, "%q is not an origin: %s", fault.Cut(text, 128), why).
				WithFix("write each origin as browsers do, such as https://app.example.com or http://localhost:5173")
		}
		a.list = append(a.list, origin)
	}
	if len(a.list) > 0 { // to the library, an empty list means all
		a.cors = cors.New(cors.Options{
			AllowedOrigins: a.list,
			AllowedMethods: append(connectcors.AllowedMethods(), http.MethodHead),
			AllowedHeaders: append(connectcors.AllowedHeaders(), append(own(headers.Requests()), "Authorization")...),
			ExposedHeaders: append(connectcors.ExposedHeaders(), append(own(headers.Answers()), "Retry-After")...),
			MaxAge:         maxAge,
		})
	}
	return a, nil
}

// own returns the names of those fields that are Ruedo's own.
func own(fields []headers.Field) (names []string) {
	for _, f := range fields {
		if strings.HasPrefix(f.Name, headers.Prefix) {
			names = append(names, f.Name)
		}
	}
	return names
}

// parse returns an origin, or why a text is none.
func parse(text string) (origin, why string) {
	u, err := url.Parse(text)
	switch {
	case text == "null":
		return "", "pages of any site can have that one"
	case strings.Contains(text, "*"):
		return "", "it is a pattern, and each origin has to be named"
	case strings.ContainsAny(text, ",;"):
		return "", "origins are separated by spaces"
	case err != nil || u.Scheme == "" || u.Opaque != "":
		return "", "scheme://host is expected"
	case u.Hostname() == "":
		return "", "it has no host"
	case u.User != nil:
		return "", "it has a user"
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return "", "it has more than a scheme, a host and a port"
	case strings.HasSuffix(u.Host, ":"):
		return "", "the port is missing"
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r > 0x7e }):
		return "", "browsers write this host in ASCII, with xn--"
	}
	host := strings.ToLower(u.Host)
	if port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; port != "" {
		host = strings.TrimSuffix(host, port)
	}
	return u.Scheme + "://" + host, ""
}

// Protection returns what refuses requests that can change something and come from a
// page of another origin.
func (a Allowed) Protection() *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	for _, origin := range a.list {
		if err := p.AddTrustedOrigin(origin); err != nil {
			panic(err) // parse returns no such origin
		}
	}
	return p
}

// Readable returns a handler that lets pages of these origins read the answers of h,
// and answers preflights in its place. It is h itself if there are no origins.
func (a Allowed) Readable(h http.Handler) http.Handler {
	if a.cors == nil {
		return h
	}
	readable := a.cors.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions && r.ContentLength != 0 {
			h.ServeHTTP(w, r) // no preflight has a body, which h bounds
			return
		}
		readable.ServeHTTP(w, r)
	})
}
