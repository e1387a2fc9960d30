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
// to be changed. A service or decorator whose stored value cannot be read keeps
// the last value that could; if there is none, it is left out, and
// [Snapshot.ServiceFault] and [Snapshot.DecoratorFault] know it.
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

	// What cannot be read, by name, with the version of it.
	unreadableServices, unreadableDecorators map[string]int64
}

// ServiceFault is INTEGRITY for a service that is stored, but cannot be read
// and never could since this process began; nil otherwise.
func (s *Snapshot) ServiceFault(name string) error {
	return s.fault("service", name, s.unreadableServices)
}

// DecoratorFault is ServiceFault for a decorator.
func (s *Snapshot) DecoratorFault(name string) error {
	return s.fault("decorator", name, s.unreadableDecorators)
}

func (s *Snapshot) fault(what, name string, bad map[string]int64) error {
	if _, ok := bad[name]; !ok {
		return nil
	}
	return unreadable(nil, what, name)
}

func newSnapshot(revision int64) *Snapshot {
	return &Snapshot{
		Revision:   revision,
		Services:   map[string]*ruedov1.Service{},
		Decorators: map[string]*ruedov1.Decorator{},
		Runners:    map[string]*ruedov1.Runner{},
		Cores:      map[string]*ruedov1.Core{},

		unreadableServices:   map[string]int64{},
		unreadableDecorators: map[string]int64{},
	}
}

// draft is a snapshot in the making. Maps that it has not cloned yet are those
// of the snapshot before.
type draft struct {
	*Snapshot
	space  keys.Space
	logger *slog.Logger
	// last is the snapshot before. If everything is listed again, it is where
	// values are kept from that cannot be read now.
	last   *Snapshot
	listed bool
	// Which maps are cloned.
	services, decorators, runners, cores, badServices, badDecorators bool
}

// edit begins the snapshot that comes after s.
func (s *Snapshot) edit(revision int64, space keys.Space, logger *slog.Logger) *draft {
	next := *s
	next.Revision = revision
	return &draft{Snapshot: &next, space: space, logger: logger, last: s}
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
		if v, err = decodeService(k.Name, kv); err != nil {
			d.unreadable(kv, d.last.unreadableServices, edit(&d.unreadableServices, &d.badServices), k.Name)
			if v := d.last.Services[k.Name]; v != nil && d.listed {
				edit(&d.Services, &d.services)[k.Name] = v
			}
			return
		}
		edit(&d.Services, &d.services)[k.Name] = v
		readable(&d.unreadableServices, &d.badServices, k.Name)
	case keys.KindDecorator:
		var v *ruedov1.Decorator
		if v, err = decodeDecorator(k.Name, kv); err != nil {
			d.unreadable(kv, d.last.unreadableDecorators, edit(&d.unreadableDecorators, &d.badDecorators), k.Name)
			if v := d.last.Decorators[k.Name]; v != nil && d.listed {
				edit(&d.Decorators, &d.decorators)[k.Name] = v
			}
			return
		}
		edit(&d.Decorators, &d.decorators)[k.Name] = v
		readable(&d.unreadableDecorators, &d.badDecorators, k.Name)
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
		// A member comes back with its next announcement.
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
		readable(&d.unreadableServices, &d.badServices, k.Name)
	case keys.KindDecorator:
		delete(edit(&d.Decorators, &d.decorators), k.Name)
		readable(&d.unreadableDecorators, &d.badDecorators, k.Name)
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

// unreadable notes a value that cannot be read, and logs it once.
func (d *draft) unreadable(kv *mvccpb.KeyValue, before, bad map[string]int64, name string) {
	if before[name] != kv.ModRevision {
		d.logger.Error("ALARM: a value in the store cannot be read; what is known of it from before is kept", "key", string(kv.Key), "version", kv.ModRevision)
	}
	bad[name] = kv.ModRevision
}

// readable takes a name off those that cannot be read.
func readable(bad *map[string]int64, cloned *bool, name string) {
	if _, ok := (*bad)[name]; ok {
		delete(edit(bad, cloned), name)
	}
}
