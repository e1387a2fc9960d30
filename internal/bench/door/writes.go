package door

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/table"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
)

// writes: what does the transaction of a publish alone pay for its record, also if
// there are several at the same time? Recorded ones of a core go one after the other.
func (b *bench) writes() (err error) {
	etcd, err := etcdembed.Start(b.ctx, etcdembed.Config{Dir: filepath.Join(b.dir, "writes")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, etcd.Close()) }()
	st, err := store.Open(b.ctx, store.Config{Client: etcd.Client(), Check: etcd.Check, Cluster: "bench"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	publishers := map[string][]*publisher{}
	for _, way := range []string{unrecorded, recorded} {
		for i := range slices.Max(concurrencies) {
			publishers[way] = append(publishers[way], &publisher{
				ctx: access.WithPrincipal(b.ctx, "user/bench"), store: st, name: fmt.Sprintf("%s-%d", way, i), recorded: way == recorded,
			})
		}
	}
	return b.record("writes", concurrencies, func(way string, i int) error { return publishers[way][i].publish() })
}

// publisher writes revisions of a service.
type publisher struct {
	ctx      context.Context
	store    *store.Store
	name     string
	recorded bool

	number uint64 // of the last revision
	seen   int64  // the version of the service
}

func (p *publisher) publish() error {
	space := p.store.Cluster().Space()
	p.number++
	key, err := space.Service(p.name)
	if err != nil {
		return err
	}
	revision, err := space.Revision(p.name, p.number)
	if err != nil {
		return err
	}
	now := timestamppb.Now()
	svc := &ruedov1.Service{
		Name: p.name, Description: "Returns its input.", Tags: []string{"bench"}, Latest: p.number, CreateTime: now, UpdateTime: now,
		Revision: &ruedov1.Revision{
			Service: p.name, Number: p.number, Module: strings.Repeat("a", 64), ModuleBytes: 1 << 20, Kind: ruedov1.Kind_KIND_FUNCTION,
			Decorators: []string{"rules"}, CreateTime: now, Origin: "ada@laptop:/src/" + p.name, EffectiveIsolation: ruedov1.Isolation_ISOLATION_PRISTINE,
		},
	}
	value, err := table.Encode(svc)
	if err != nil {
		return err
	}
	record, err := table.Encode(svc.GetRevision())
	if err != nil {
		return err
	}
	what := chain.Entry(chain.Unrecorded{})
	if p.recorded {
		what = chain.Change{Action: "publish", Noun: "service", Name: p.name, Summary: fmt.Sprintf("revision %d", p.number), Before: p.seen}
	}
	done, err := p.store.Guard().Commit(p.ctx, what,
		[]clientv3.Cmp{guard.Unchanged(key, p.seen), guard.Unchanged(revision, 0)},
		[]clientv3.Op{clientv3.OpPut(key, value), clientv3.OpPut(revision, record)}, nil)
	switch {
	case err != nil:
		return err
	case !done.Succeeded:
		return fmt.Errorf("service %s is not at version %d", p.name, p.seen)
	}
	p.seen = done.Header.Revision
	return nil
}
