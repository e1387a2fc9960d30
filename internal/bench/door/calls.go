package door

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/bench/cluster"
	"github.com/ruedo-dev/ruedo/internal/bench/load"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

// service echoes, and grants is how many grants its callers have: the last one counts.
const (
	service = "echo"
	grants  = 20
	input   = `{"name":"Ada"}`
)

// site is a cluster with a service.
type site struct {
	*cluster.Cluster
	tls   *tls.Config // nil: its core has no TLS
	token string      // of a program with as many grants as there should be; "" without logins
}

// manyGrants returns grants of which only the last allows calls of the service.
func manyGrants() (all []string) {
	for i := range grants - 1 {
		all = append(all, fmt.Sprintf("call service team-%d-*", i))
	}
	return append(all, "call service "+service)
}

// furnish publishes the service, and makes a caller in a cluster with logins. There,
// whoever shows no token may call it, too.
func furnish(ctx context.Context, c *cluster.Cluster, name string) (*site, error) {
	s := &site{Cluster: c}
	if err := c.Publish(service, ruedotest.Echo()); err != nil || name == none {
		return s, err
	}
	admin, err := c.Admin()
	if err != nil {
		return nil, err
	}
	for _, u := range []*ruedov1.User{
		{Name: "bench", Machine: true, Grants: manyGrants()},
		{Name: "anonymous", Grants: []string{"call service " + service}},
	} {
		if _, err := admin.Users.CreateUser(ctx, &ruedov1.CreateUserRequest{User: u}); err != nil {
			return nil, err
		}
	}
	made, err := admin.Tokens.CreateToken(ctx, &ruedov1.CreateTokenRequest{User: "bench"})
	if err != nil {
		return nil, err
	}
	s.token = made.GetSecret()
	if name == secure {
		s.tls, err = c.TLS()
	}
	return s, err
}

// subject is a way to call the service.
type subject struct {
	name string
	load.Target
}

// subjects returns all ways to call the service.
func (b *bench) subjects() ([]*subject, error) {
	var all []*subject
	for _, way := range []struct {
		name, site string
		token      bool
	}{
		{"none", none, false},
		{"anonymous", logins, false},
		{"token", logins, true},
		{"tls", secure, true},
	} {
		s, err := b.open(way.site)
		if err != nil {
			return nil, err
		}
		var fields []string
		if way.token {
			fields = append(fields, "Authorization: Bearer "+s.token)
		}
		all = append(all, &subject{way.name, load.Target{
			Name: way.name, URL: s.URL, TLS: s.tls, Requests: [][]byte{load.Post("/call/"+service, input, fields...)}, Want: input, Processes: s.Processes,
		}})
	}
	return all, nil
}

var concurrencies = []int{1, 16}

// A round has so many shorter ones, because what is compared differs by little: the
// closer in time two measurements are, the less else has changed.
const shorter = 10

// calls: what does a call cost by each way, over connections that are kept?
func (b *bench) calls() error {
	open := map[string][]*load.Conn{}
	defer func() {
		for _, conns := range open {
			load.Close(conns)
		}
	}()
	return b.compare("calls", concurrencies, func(s *subject, n int) (_ load.Result, err error) {
		key := fmt.Sprintf("%s/%d", s.name, n)
		if open[key] == nil {
			if open[key], err = s.Open(n); err != nil {
				return load.Result{}, err
			}
		}
		return load.Over(b.ctx, &s.Target, open[key], b.Slice/shorter)
	})
}

// connected is how many connections a measurement makes.
const connected = 50

// connections: what does it cost if each call has a connection of its own?
func (b *bench) connections() error {
	return b.compare("connections", concurrencies[:1], func(s *subject, n int) (load.Result, error) { return load.Connect(&s.Target, n, connected) })
}

// compare measures all subjects in turns. Each is compared with that without logins, and
// TLS with the same without it.
func (b *bench) compare(what string, concurrencies []int, measure func(s *subject, n int) (load.Result, error)) error {
	subjects, err := b.subjects()
	if err != nil {
		return err
	}
	for range shorter { // warms up
		for _, s := range subjects {
			for _, n := range concurrencies {
				if _, err := measure(s, n); err != nil {
					return err
				}
			}
		}
	}
	results := map[string][]load.Result{}
	key := func(subject string, n int) string { return fmt.Sprintf("door/%s/%s/c=%d", what, subject, n) }
	for round := range b.Rounds * shorter {
		for _, n := range concurrencies {
			for _, s := range turns(subjects, round) {
				r, err := measure(s, n)
				if err != nil {
					return err
				}
				results[key(s.name, n)] = append(results[key(s.name, n)], r)
			}
		}
		if done := round + 1; done%shorter == 0 {
			fmt.Fprintf(os.Stderr, "round %d of %d\n", done/shorter, b.Rounds)
		}
	}
	for _, n := range concurrencies {
		for _, s := range subjects {
			by := []string{"none"}
			if s.name == "tls" {
				by = append(by, "token")
			}
			for _, baseline := range by {
				mine, theirs := results[key(s.name, n)], results[key(baseline, n)]
				for _, f := range figures {
					b.add(key(s.name, n)+"/"+f.name, f.unit, f.of(mine), baseline, f.of(theirs))
				}
			}
		}
	}
	return nil
}

// figures are what is reported of calls.
var figures = []figure{
	{"p50", "us", func(r load.Result) float64 { return r.P50 }},
	{"p99", "us", func(r load.Result) float64 { return r.P99 }},
	{"cpu", "cpu us", func(r load.Result) float64 { return r.CPU }},
}

type figure struct {
	name, unit string
	one        func(load.Result) float64
}

func (f figure) of(results []load.Result) (values []float64) {
	for _, r := range results {
		values = append(values, f.one(r))
	}
	return values
}
