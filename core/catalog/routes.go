package catalog

import (
	"cmp"
	"slices"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/route"
)

// Lookup returns the service whose route matches a request, and reports whether
// there is one; see [route.Table.Lookup]. It takes no lock and, for a host in lower
// case, no memory.
func (c *Catalog) Lookup(host, path, method string) (service string, ok bool) {
	return c.current().routes.Lookup(host, path, method)
}

// HasHost reports whether a service has declared a route of this host; see
// [route.Table.HasHost].
func (c *Catalog) HasHost(host string) bool { return c.current().routes.HasHost(host) }

// routes returns the routes of services, nil if they have none. Publishing admits no
// conflicts; if the store has some, the service that was created first keeps the
// route.
func (c *Catalog) routes(services map[string]*ruedov1.Service) *route.Table {
	var routed []*ruedov1.Service
	for _, s := range services {
		if len(s.GetRevision().GetRoutes()) > 0 {
			routed = append(routed, s)
		}
	}
	if len(routed) == 0 {
		return nil
	}
	slices.SortFunc(routed, func(a, b *ruedov1.Service) int {
		return cmp.Or(a.GetCreateTime().AsTime().Compare(b.GetCreateTime().AsTime()), cmp.Compare(a.GetName(), b.GetName()))
	})
	table := route.NewTable()
	for _, s := range routed {
		for _, r := range s.GetRevision().GetRoutes() {
			if !table.Add(s.GetName(), r) {
				c.log.Error("a route of a service belongs to another one", "service", s.GetName(), "route", route.Text(r))
			}
		}
	}
	return table
}
