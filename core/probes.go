package core

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ruedo-dev/ruedo/core/health"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// maxBehind is how long a mirror can lag behind a store that answers before its
// core should get no traffic: the other cores have a newer catalog.
const maxBehind = 10 * time.Second

// mountProbes mounts the endpoints that say how this core is. The process lives
// as long as it answers. See "Why does a core without a store stay ready?" in
// docs/RATIONALE.md.
func (c *Core) mountProbes() {
	c.probe("GET /livez", "livez", health.Handler("livez", nil, health.Ping()))
	c.probe("GET /healthz", "healthz", health.Handler("healthz", nil, health.Ping()))
	c.probe("GET /readyz", "readyz", health.Handler("readyz", c.alarmNotes,
		health.Ping(),
		health.Check{Name: "shutdown", Run: c.checkShutdown},
		health.Check{Name: "mirror", Run: c.checkMirror},
		health.Check{Name: "runners", Run: c.checkRunners},
		health.Check{Name: "store", Run: c.checkStore, Optional: true},
		health.Check{Name: "writes", Run: c.checkWrites, Optional: true},
	))
	c.probe("GET /leader-check", "leader-check", http.HandlerFunc(c.leaderCheck))
	c.probe("GET /leader-check/{otherwise}", "leader-check", http.HandlerFunc(c.leaderCheck))
}

// probe mounts a probe. One that answers "no" has succeeded: counting it as a
// failure would raise alarms about each core that does not lead.
func (c *Core) probe(pattern, name string, answer http.Handler) {
	c.port.Handle(pattern, name, access.Open(), port.Bounds{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		port.Count(r.Context(), "")
		answer.ServeHTTP(w, r)
	}))
}

// leaderCheck answers 200 if this core leads, and otherwise 404, or the status at
// the end of the path.
func (c *Core) leaderCheck(w http.ResponseWriter, r *http.Request) {
	otherwise := http.StatusNotFound
	if code := r.PathValue("otherwise"); code != "" {
		var err error
		if otherwise, err = strconv.Atoi(code); err != nil || otherwise < 300 || otherwise > 599 {
			http.Error(w, "the status for a core that does not lead is a number from 300 to 599", http.StatusBadRequest)
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	who := "no core leads"
	switch l := c.elector.Leader(); {
	case c.elector.Leads():
		who = "this core leads: " + c.ID()
	case l != nil:
		w.WriteHeader(otherwise)
		who = "another core leads: " + l.GetCore()
	default:
		w.WriteHeader(otherwise)
	}
	_, _ = fmt.Fprintln(w, who) // an error means that the caller is gone
}

// alarmNotes returns a line for each alarm of the store. Calls go on in spite of
// them.
func (c *Core) alarmNotes() []string {
	var notes []string
	for _, e := range c.mirror.Alarms() {
		notes = append(notes, fmt.Sprintf("alarm %s: %s", e.Reason, e.Message))
	}
	return notes
}

func (c *Core) checkShutdown() (string, error) {
	if c.draining.Load() {
		return "", errors.New("this core is going down")
	}
	return "", nil
}

// checkMirror fails if this core shows an older catalog than the store, although
// the store answers. A store that does not answer is another check: then every
// core shows what it has.
func (c *Core) checkMirror() (string, error) {
	if behind := c.mirror.Behind(); behind > maxBehind {
		return "", fmt.Errorf("the catalog of this core has been older than the store's for %s", behind.Round(time.Second))
	}
	s := c.mirror.Snapshot()
	return fmt.Sprintf("%s at revision %d", text.Count(len(s.Services), "service"), s.Revision), nil
}

func (c *Core) checkRunners() (string, error) {
	n, err := c.dispatcher.Ready()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d ready", n), nil
}

func (c *Core) checkStore() (string, error) {
	if age := c.mirror.Age(); c.mirror.Stale() {
		return "", fmt.Errorf("the store has not answered for %s; calls continue from memory, writes fail", age.Round(time.Second))
	}
	return "", nil
}

func (c *Core) checkWrites() (string, error) {
	for _, e := range c.mirror.Alarms() {
		return "", fmt.Errorf("%s: %s", e.Reason, e.Message)
	}
	return "", nil
}
