package door

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/bench/load"
	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

const (
	unrecorded = "unrecorded"
	recorded   = "recorded"
)

// publish: what does a publish pay for its record in the audit? No setting turns that off,
// so this process is a cluster whose store can be reached past the audit: what would be
// written there is left out. The store writes to a disk.
func (b *bench) publish() (err error) {
	etcd, err := etcdembed.Start(b.ctx, etcdembed.Config{Dir: filepath.Join(b.dir, "publish")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, etcd.Close()) }()
	space, err := keys.NewSpace("bench")
	if err != nil {
		return err
	}
	past := &pastAudit{KV: etcd.Client().KV, prefixes: []string{space.Audit(), space.Prefix(keys.KindAuditChain)}}
	reached := clientv3.NewCtxClient(b.ctx)
	reached.Cluster, reached.Maintenance, reached.Lease, reached.Watcher = etcd.Client().Cluster, etcd.Client().Maintenance, etcd.Client().Lease, etcd.Client().Watcher
	reached.KV = past

	run, err := runner.New(b.ctx, runner.Config{Name: "bench", Cluster: "bench", CacheDir: filepath.Join(b.dir, "publish-cache"), Version: "bench"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.Close(context.WithoutCancel(b.ctx))) }()
	c, err := core.New(b.ctx, core.Config{
		Cluster: "bench", Store: store.Config{Client: reached, Check: etcd.Check}, Listen: "127.0.0.1:0", Local: run, Version: "bench",
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(b.ctx)
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx) }()
	defer func() {
		stop()
		err = errors.Join(err, <-served, c.Close(context.WithoutCancel(b.ctx)))
	}()

	api := client.New(c.URL())
	digest, err := api.Upload(b.ctx, ruedotest.Echo(), nil)
	if err != nil {
		return err
	}
	n := 0
	return b.record("publish", []int{1}, func(way string, _ int) error {
		past.on.Store(way == unrecorded)
		n++
		_, err := api.Services.PublishService(b.ctx, &ruedov1.PublishServiceRequest{Name: service, Module: digest, Env: map[string]string{"N": fmt.Sprint(n)}})
		return err
	})
}

// record measures what can be recorded in the audit or not, by one and by more at the
// same time, and adds the rows. The time is that of this process, which is all of the
// cluster.
func (b *bench) record(what string, concurrencies []int, do func(way string, i int) error) error {
	ways := []string{unrecorded, recorded}
	this := []*process.Process{{PID: os.Getpid()}}
	results := map[string][]load.Result{}
	key := func(way string, n int) string { return fmt.Sprintf("door/%s/%s/c=%d", what, way, n) }
	for round := range b.Rounds*shorter + shorter {
		for _, n := range concurrencies {
			for _, way := range turns(ways, round) {
				end := time.Now().Add(b.Slice / shorter)
				r, err := load.Measure(this, n, func(i int) (times []time.Duration, err error) {
					for err == nil && (len(times) == 0 || time.Now().Before(end)) {
						began := time.Now()
						err = do(way, i)
						times = append(times, time.Since(began))
					}
					return times, err
				})
				if err != nil {
					return fmt.Errorf("%s: %w", way, err)
				}
				if round >= shorter { // the first ones warm up
					results[key(way, n)] = append(results[key(way, n)], r)
				}
			}
		}
	}
	for _, n := range concurrencies {
		for _, way := range ways {
			for _, f := range figures {
				b.add(key(way, n)+"/"+f.name, f.unit, f.of(results[key(way, n)]), unrecorded, f.of(results[key(unrecorded, n)]))
			}
		}
	}
	return nil
}

// pastAudit leaves out what is written to the audit, while it is on.
type pastAudit struct {
	clientv3.KV
	prefixes []string // of the keys of the audit
	on       atomic.Bool
}

func (p *pastAudit) Txn(ctx context.Context) clientv3.Txn {
	if !p.on.Load() {
		return p.KV.Txn(ctx)
	}
	return pastTxn{p.KV.Txn(ctx), p}
}

func (p *pastAudit) audits(key []byte) bool {
	return slices.ContainsFunc(p.prefixes, func(prefix string) bool { return bytes.HasPrefix(key, []byte(prefix)) })
}

type pastTxn struct {
	clientv3.Txn
	past *pastAudit
}

func (t pastTxn) If(conditions ...clientv3.Cmp) clientv3.Txn {
	t.Txn = t.Txn.If(slices.DeleteFunc(slices.Clone(conditions), func(c clientv3.Cmp) bool { return t.past.audits(c.KeyBytes()) })...)
	return t
}

func (t pastTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.Txn = t.Txn.Then(slices.DeleteFunc(slices.Clone(ops), func(op clientv3.Op) bool { return t.past.audits(op.KeyBytes()) })...)
	return t
}

func (t pastTxn) Else(ops ...clientv3.Op) clientv3.Txn {
	t.Txn = t.Txn.Else(ops...)
	return t
}
