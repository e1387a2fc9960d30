// Package health answers probes in the form that Kubernetes made common: "ok"
// or the checks that failed, and with ?verbose one line for each check.
//
//	ready := health.Handler("readyz", nil, health.Check{Name: "mirror", Run: loaded})
//
// A probe passes with 200 and fails with 503. ?exclude=NAME leaves out a check;
// it can be repeated. A check runs for each request, so it must be cheap and
// must not wait.
package health

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
)

// Check is one line of a probe.
type Check struct {
	// Name is a word.
	Name string
	// Run returns what the check has found, which can be empty, or why it fails.
	Run func() (detail string, err error)
	// Optional checks are shown when they fail, and do not fail the probe.
	Optional bool
}

// Ping is the check that passes whenever the process answers.
func Ping() Check { return Check{Name: "ping", Run: func() (string, error) { return "", nil }} }

// Handler answers the probe with this name. If notes is not nil, its lines
// follow the "ok" of a probe that passes without ?verbose.
func Handler(name string, notes func() []string, checks ...Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		var lines bytes.Buffer
		failed := false
		for _, c := range checks {
			if slices.Contains(query["exclude"], c.Name) {
				fmt.Fprintf(&lines, "[+]%s excluded: ok\n", c.Name)
				continue
			}
			detail, err := c.Run()
			switch {
			case err == nil && detail == "":
				fmt.Fprintf(&lines, "[+]%s ok\n", c.Name)
			case err == nil:
				fmt.Fprintf(&lines, "[+]%s ok: %s\n", c.Name, detail)
			case c.Optional:
				fmt.Fprintf(&lines, "[-]%s failed, which is tolerated: %v\n", c.Name, err)
			default:
				fmt.Fprintf(&lines, "[-]%s failed: %v\n", c.Name, err)
				failed = true
			}
		}
		for _, excluded := range query["exclude"] {
			if !slices.ContainsFunc(checks, func(c Check) bool { return c.Name == excluded }) {
				fmt.Fprintf(&lines, "warn: there is no check %.40q to exclude\n", excluded)
			}
		}
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		switch {
		case failed:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(&lines, "%s check failed\n", name)
		case query.Has("verbose"):
			fmt.Fprintf(&lines, "%s check passed\n", name)
		default:
			lines.Reset()
			lines.WriteString("ok\n")
			if notes != nil {
				for _, note := range notes() {
					fmt.Fprintln(&lines, note)
				}
			}
		}
		_, _ = w.Write(lines.Bytes()) // an error means that the caller is gone
	})
}
