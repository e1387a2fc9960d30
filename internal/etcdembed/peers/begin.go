package peers

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/backoff"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Beginning is how an etcd with an empty data directory starts.
type Beginning struct {
	// Existing is true if the store exists and this member joins it.
	Existing bool
	// Cluster lists the members in etcd's notation.
	Cluster string
	// Token makes the ids of a new store unique.
	Token string
}

// Begin returns how to start with an empty data directory. To join a store it asks
// a core until ctx ends.
func (c Config) Begin(ctx context.Context) (Beginning, error) {
	switch {
	case c.Cores != nil:
		m, err := c.join(ctx)
		if err != nil {
			return Beginning{}, err
		}
		return Beginning{Existing: true, Cluster: initialCluster(m.Members, c.Name, c.Advertise)}, nil
	case len(c.Initial) > 0:
		var members []Member
		for i, u := range c.Initial {
			members = append(members, Member{ID: uint64(i), URLs: []string{u}})
		}
		return Beginning{Cluster: initialCluster(members, c.Name, c.Advertise), Token: "ruedo-" + c.Cluster}, nil
	}
	return Beginning{Cluster: c.Name + "=" + c.Advertise, Token: rand.Text()}, nil
}

// join asks to be added until it is, or until ctx ends: cores may be starting, and
// members are added one at a time.
func (c Config) join(ctx context.Context) (*Membership, error) {
	retry := backoff.Backoff{Base: 200 * time.Millisecond, Max: 2 * time.Second}
	var failed error
	for {
		err := c.meet(ctx)
		if err == nil {
			var m *Membership
			if m, err = c.Cores.Join(ctx, c.Name, c.Advertise); err == nil {
				return m, nil
			}
		}
		if e := fault.FromError(err); ctx.Err() == nil && e.ConnectCode() != fault.CodeUnavailable && e.ConnectCode() != fault.CodeAborted && e.ConnectCode() != fault.CodeDeadlineExceeded {
			return nil, err
		}
		if failed == nil || ctx.Err() == nil { // one that was cut short says less than the one before
			failed = err
		}
		if retry.Wait(ctx) != nil {
			return nil, failed
		}
	}
}

// meet makes sure that a member of the store answers this one, before anything
// changes.
func (c Config) meet(ctx context.Context) error {
	m, err := c.Cores.Members(ctx)
	if err != nil {
		return err
	}
	var urls []string
	for _, member := range m.Members {
		if !slices.Contains(member.URLs, c.Advertise) {
			urls = append(urls, member.URLs...)
		}
	}
	var cause error
	for _, a := range c.Ask(ctx, urls) {
		if a.Membership != nil {
			return nil
		}
		cause = a.Err
	}
	if len(urls) == 0 {
		return nil // the answer to Join says why this one cannot be added
	}
	return fault.Wrap(cause, fault.StoreUnavailable, "no member of the store answers this one at %s: %v", strings.Join(urls, " "), cause).
		WithFix("check the network between the members, and that their certificates are of one authority")
}
