package store

import (
	"log/slog"
	"maps"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Snapshot is the catalog and the members as they were at one revision of the
// store. It is shared by all who read it: neither the maps nor the messages are
// to be changed. What cannot be read in the store is left out.
type Snapshot struct {
	// Revision of the store that the snapshot is of.
	Revision int64
	// Services by name.
	Services map[string]*ruedov1.Service
	// Decorators by name.
	Decorators map[string]*ruedov1.Decorator
	// Runners by id.
	Runners map[string]*ruedov1.Runner
	// Cores by id.
	Cores map[string]*ruedov1.Core
}

func newSnapshot(revision int64) *Snapshot {
	return &Snapshot{
		Revision:   revision,
		Services:   map[string]*ruedov1.Service{},
		Decorators: map[string]*ruedov1.Decorator{},
		Runners:    map[string]*ruedov1.Runner{},
		Cores:      map[string]*ruedov1.Core{},
	}
}

// draft is a snapshot in the making. Maps that it has not cloned yet are those
// of the snapshot before.
type draft struct {
	*Snapshot
	space                                keys.Space
	logger                               *slog.Logger
	services, decorators, runners, cores bool // cloned
}

// edit begins the snapshot that comes after s.
func (s *Snapshot) edit(revision int64, space keys.Space, logger *slog.Logger) *draft {
	next := *s
	next.Revision = revision
	return &draft{Snapshot: &next, space: space, logger: logger}
}

func (d *draft) apply(e *clientv3.Event) {
	if e.Type == clientv3.EventTypeDelete {
		d.remove(e.Kv)
		return
	}
	d.put(e.Kv)
}

func (d *draft) put(kv *mvccpb.KeyValue) {
	k, ok := d.space.Parse(string(kv.Key))
	if !ok {
		d.logger.Warn("a key in the store is none of ruedo's", "key", keys.Quote(string(kv.Key)))
		return
	}
	var err error
	switch k.Kind {
	case keys.KindService:
		var v *ruedov1.Service
		if v, err = decodeService(k.Name, kv); err == nil {
			edit(&d.Services, &d.services)[k.Name] = v
		}
	case keys.KindDecorator:
		var v *ruedov1.Decorator
		if v, err = decodeDecorator(k.Name, kv); err == nil {
			edit(&d.Decorators, &d.decorators)[k.Name] = v
		}
	case keys.KindRunner:
		v := &ruedov1.Runner{}
		if err = proto.Unmarshal(kv.Value, v); err == nil {
			v.Id = k.Name
			edit(&d.Runners, &d.runners)[k.Name] = v
		}
	case keys.KindCore:
		v := &ruedov1.Core{}
		if err = proto.Unmarshal(kv.Value, v); err == nil {
			v.Id = k.Name
			edit(&d.Cores, &d.cores)[k.Name] = v
		}
	}
	if err != nil {
		// What it was before is no longer what is stored.
		d.logger.Warn("a value in the store cannot be read", "key", string(kv.Key))
		d.remove(kv)
	}
}

func (d *draft) remove(kv *mvccpb.KeyValue) {
	k, ok := d.space.Parse(string(kv.Key))
	if !ok {
		return
	}
	switch k.Kind {
	case keys.KindService:
		delete(edit(&d.Services, &d.services), k.Name)
	case keys.KindDecorator:
		delete(edit(&d.Decorators, &d.decorators), k.Name)
	case keys.KindRunner:
		delete(edit(&d.Runners, &d.runners), k.Name)
	case keys.KindCore:
		delete(edit(&d.Cores, &d.cores), k.Name)
	}
}

// edit gives the draft's own copy of a map, which the first call makes.
func edit[V any](m *map[string]V, cloned *bool) map[string]V {
	if !*cloned {
		*m, *cloned = maps.Clone(*m), true
	}
	return *m
}
