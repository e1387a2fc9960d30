package peers

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// askTimeout is how long a member has to answer.
const (
	askTimeout  = time.Second
	nearTimeout = 600 * time.Millisecond // in one site
	// verifyTimeout is longer: a member on a busy machine must not be taken for
	// one that does not run. If nobody listens, the answer comes immediately.
	verifyTimeout = 3 * time.Second
)

// maxAnswer bounds the list of members that a member answers with.
const maxAnswer = 256 << 10

// Answer is what a member answers when it is asked who belongs to its store.
type Answer struct {
	URL string
	// Membership is nil if the member does not answer.
	Membership *Membership
	// Err is why it does not answer.
	Err error
}

// Ask asks members at the same time. It takes at most a second.
func (c Config) Ask(ctx context.Context, urls []string) []Answer {
	return c.ask(ctx, urls, askTimeout)
}

func (c Config) ask(ctx context.Context, urls []string, limit time.Duration) []Answer {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answers := make([]Answer, len(urls))
	client, done, err := c.client(limit)
	if err != nil {
		for i, u := range urls {
			answers[i] = Answer{URL: u, Err: err}
		}
		return answers
	}
	defer done()
	var wg sync.WaitGroup
	for i, u := range urls {
		wg.Go(func() {
			answers[i] = Answer{URL: u}
			header, body, err := get(ctx, client, u+"/members", maxAnswer)
			if err != nil {
				answers[i].Err = err
				return
			}
			m := &Membership{}
			if m.Cluster, err = strconv.ParseUint(header.Get("X-Etcd-Cluster-Id"), 16, 64); err == nil {
				err = json.Unmarshal(body, &m.Members)
			}
			if err != nil {
				answers[i].Err = err
				return
			}
			answers[i].Membership = m
		})
	}
	wg.Wait()
	return answers
}

// Reachable returns which of the members answer. It takes at most a second.
func (c Config) Reachable(ctx context.Context, members []Member) map[uint64]bool {
	var urls []string
	var owners []uint64
	for _, m := range members {
		for _, u := range m.URLs {
			urls, owners = append(urls, u), append(owners, m.ID)
		}
	}
	reachable := make(map[uint64]bool)
	for i, a := range c.Ask(ctx, urls) {
		if a.Membership != nil {
			reachable[owners[i]] = true
		}
	}
	return reachable
}

// NoQuorum returns STORE_NO_QUORUM if too few voters answer the member own, and nil
// if enough do. It takes at most a second, and less in one site: a write that
// waits should get this answer before its 2 s are over.
func (c Config) NoQuorum(own uint64, members []Member) error {
	voters := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Learner })
	others := slices.DeleteFunc(slices.Clone(voters), func(m Member) bool { return m.ID == own })
	limit := nearTimeout
	if c.Tick == "wan" {
		limit = askTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	answering := len(c.Reachable(ctx, others)) + len(voters) - len(others)
	needed := len(voters)/2 + 1
	if answering >= needed || len(voters) == 0 {
		return nil
	}
	return fault.New(fault.StoreNoQuorum, "the store has no quorum: %d of %d voters answer, and a write needs %d", answering, len(voters), needed).
		WithFix("start the other members: writes are accepted again on their own; if they are lost for good, recover the store from one of those that are left").
		With("voters", len(voters), "answering", answering, "needed", needed)
}

// Verify refuses a data directory that must not be started: that of a member that
// runs already, of one that was removed, or of another store. What no member can
// tell is not refused.
func (c Config) Verify(ctx context.Context, id Identity) error {
	if id.Cluster == 0 {
		return nil
	}
	own, others := []string{c.Advertise}, slices.Clone(c.Initial)
	for _, m := range id.Members {
		if m.ID == id.Member {
			own = append(own, m.URLs...)
		} else {
			others = append(others, m.URLs...)
		}
	}
	own = unique(own)
	others = slices.DeleteFunc(unique(others), func(u string) bool { return slices.Contains(own, u) })
	heard := 0
	var answered []Answer
	for i, a := range c.ask(ctx, slices.Concat(own, others), verifyTimeout) {
		switch {
		case a.Membership == nil:
		case i < len(own):
			return id.runs(a)
		default:
			heard++
			answered = append(answered, a)
		}
	}
	if c.Cores != nil && heard == 0 {
		m, err := c.Cores.Members(ctx)
		switch {
		case err == nil:
			answered = append(answered, Answer{URL: "store.join", Membership: m})
		case len(id.Members) <= 1:
			// This directory has never belonged to a store with others.
			return err
		}
	}
	// The database can lag behind the log, and not know its own member yet. The
	// others know the addresses at which this member is reached.
	var told []string
	for _, a := range answered {
		for _, m := range a.Membership.Members {
			if m.ID == id.Member && a.Membership.Cluster == id.Cluster {
				told = append(told, m.URLs...)
			}
		}
	}
	told = slices.DeleteFunc(unique(told), func(u string) bool { return slices.Contains(own, u) })
	for _, a := range c.ask(ctx, told, verifyTimeout) {
		if a.Membership != nil {
			return id.runs(a)
		}
	}
	return id.check(answered)
}

// runs returns the error for a directory whose member answers, or whose address is
// another member's.
func (id Identity) runs(a Answer) error {
	url := a.URL
	for _, m := range a.Membership.Members {
		if m.ID != id.Member && slices.Contains(m.URLs, url) {
			return fault.New(fault.AlreadyExists, "member %s of a store answers at %s, so the member of data directory %s cannot listen there", cmp.Or(m.Name, Text(m.ID)), url, id.Path).
				WithFix("give this member the peer address that it had, or another one")
		}
	}
	return fault.New(fault.AlreadyExists, "the member of data directory %s runs already: it answers at %s", id.Path, url).
		WithFix("stop one of the two; a copy of a data directory cannot be a member of its own")
}

// check judges what others answered. A member that lags behind may not know this
// one yet, so one answer in favor is enough.
func (id Identity) check(answered []Answer) error {
	var foreign, removed *Answer
	for _, a := range answered {
		switch {
		case a.Membership.Cluster != id.Cluster:
			foreign = &a
		case slices.ContainsFunc(a.Membership.Members, func(m Member) bool { return m.ID == id.Member }):
			return nil
		default:
			removed = &a
		}
	}
	switch {
	case removed != nil:
		return Removed(id.Path, id.Member)
	case foreign != nil:
		return fault.New(fault.ClusterMismatch, "data directory %s holds another store (%s) than the one at %s (%s)", id.Path, Text(id.Cluster), foreign.URL, Text(foreign.Membership.Cluster)).
			WithFix("choose an empty data directory to join that store, or correct the addresses").With("path", id.Path)
	}
	return nil
}

// Removed returns the error of a member that was removed from its store.
func Removed(path string, member uint64) *fault.Error {
	return fault.New(fault.MemberRemoved, "member %s was removed from its store; data directory %s is stale", Text(member), path).
		WithFix("to join again, stop this core, empty the data directory and start it with store.join").With("path", path)
}

// Text returns an id of etcd as it is shown.
func Text(id uint64) string { return strconv.FormatUint(id, 16) }

// initialCluster returns members in etcd's notation. self is the name of the member with
// the URL advertise; etcd needs it and compares the others by their URLs.
func initialCluster(members []Member, self, advertise string) string {
	var parts []string
	for _, m := range members {
		name := "member-" + Text(m.ID)
		if slices.Contains(m.URLs, advertise) {
			name = self
		}
		for _, u := range m.URLs {
			parts = append(parts, name+"="+u)
		}
	}
	return strings.Join(parts, ",")
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
