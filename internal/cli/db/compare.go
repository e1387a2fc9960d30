package db

import (
	"cmp"
	"context"
	"maps"
	"path"
	"slices"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/archive"
	"github.com/ruedo-dev/ruedo/internal/cli/bundle"
	"github.com/ruedo-dev/ruedo/internal/cli/delta"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/resource"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// id names a resource.
type id struct{ kind, name string }

// catalog is the fields of all services and decorators.
type catalog map[id]map[string]any

func (c catalog) service(s *ruedov1.Service) {
	fields := resource.ServiceFields(s)
	fields["revision"] = float64(s.GetRevision().GetNumber())
	c[id{"service", s.GetName()}] = fields
}

func (c catalog) decorator(d *ruedov1.Decorator) {
	fields := project.Fields(d)
	fields["revision"] = float64(max(d.GetRevision(), 1)) // 0: written before decorators had revisions
	c[id{"decorator", d.GetName()}] = fields
}

// list returns what a cluster has.
func list(ctx context.Context, core *client.Client) (catalog, error) {
	services, err := client.All(core.ListServices(ctx, &ruedov1.ListServicesRequest{}))
	if err != nil {
		return nil, err
	}
	decorators, err := client.All(core.ListDecorators(ctx, &ruedov1.ListDecoratorsRequest{}))
	if err != nil {
		return nil, err
	}
	c := catalog{}
	for _, s := range services {
		c.service(s)
	}
	for _, d := range decorators {
		c.decorator(d)
	}
	return c, nil
}

func (c catalog) begin(archive.Header) error { return nil }

// add adds what an entry of a backup is, if it is live.
func (c catalog) add(e archive.Entry) error {
	service, decorator, err := live(e)
	switch {
	case err != nil:
		return err
	case service != nil:
		c.service(service)
	case decorator != nil:
		c.decorator(decorator)
	}
	return nil
}

// live returns the service or the decorator that an entry of a backup is; neither
// for a module or a numbered revision.
func live(e archive.Entry) (*ruedov1.Service, *ruedov1.Decorator, error) {
	var err error
	dir, name := path.Split(e.Path)
	switch dir {
	case bundle.Services + "/":
		s := &ruedov1.Service{}
		if err = proto.Unmarshal(e.Value, s); err == nil {
			s.Name = name
			return s, nil, nil
		}
	case bundle.Decorators + "/":
		d := &ruedov1.Decorator{}
		if err = proto.Unmarshal(e.Value, d); err == nil {
			d.Name = name
			return nil, d, nil
		}
	default:
		return nil, nil, nil
	}
	return nil, nil, fault.Wrap(err, fault.Integrity, "%s cannot be read", output.Safe(e.Path))
}

// compare returns what becomes of each resource if next replaces now.
func compare(now, next catalog) []change {
	all := maps.Clone(now)
	maps.Copy(all, next)
	sorted := slices.SortedFunc(maps.Keys(all), func(a, b id) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
	var changes []change
	for _, id := range sorted {
		c := change{Kind: id.kind, Name: id.name, Result: unchanged}
		was, has := now[id]
		is, stays := next[id]
		switch {
		case !has:
			c.Result = added
		case !stays:
			c.Result = removal
		default:
			if c.Changes = delta.Of(was, is); len(c.Changes) > 0 {
				c.Result = replacement
			}
		}
		changes = append(changes, c)
	}
	return changes
}
