// Package chain writes the audit: each change of the store and its record are one
// transaction, so that there is neither without the other.
//
//	done, err := c.Append(ctx, chain.Change{Action: "delete", Noun: "service", Name: "greet"},
//		func(p chain.Part) (*clientv3.TxnResponse, error) { ... })
//
// # Chains
//
// A process writes a chain of its own, so that cores do not wait for each other:
// their order is that of the store. A record's MAC is over the record before it,
// too, so that whoever cannot make one can neither change a record nor leave one
// out. The end of a chain is stored once more, under the key of the chain: every
// transaction moves it, on condition that it is where this process left it. So a
// write that arrives late, after its writer gave up, writes nothing unless nothing
// came between. A chain has one key; with another one, a new chain begins.
//
// # Order
//
// The recorded writes of one process go one after the other, which includes
// waiting for the store. After one whose outcome is not known, the end of the chain
// is read before the next.
//
// # A full store
//
// It takes deletions and no records. So there a deletion goes alone; its record is
// owed, and written once there is room, marked as late. It is lost if the process
// ends before.
package chain

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"strings"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

const (
	// maxOwed bounds the records that wait for room in the store.
	maxOwed = 1000
	// tries bounds how often one write can find that an earlier one of this
	// process arrived after all.
	tries = 4
)

// Config configures a Chain.
type Config struct {
	// Cluster is the part of etcd that is written. Required.
	Cluster *fleet.Cluster
	// Key returns the key of the MACs. Nil, or one that returns nil, means
	// [PublicKey].
	Key func() []byte
}

// Chain is what this process writes of the audit. Its methods can be called from
// many goroutines.
type Chain struct {
	cluster *fleet.Cluster
	key     func() []byte
	public  []byte

	// turn is held by the one who writes. It guards what follows.
	turn chan struct{}
	name string
	used []byte // the key of this chain
	end  end
	// unsure says that the end may be another one in the store.
	unsure bool
	owed   []*ruedov1.AuditRecord
	more   uint32 // records that there was no room for in owed

	owes    atomic.Bool
	current atomic.Pointer[string]
}

// end is the end of a chain.
type end struct {
	seq     uint64
	mac     []byte
	version int64 // of its key; zero: none
}

// New returns a chain. It reads nothing.
func New(cfg Config) *Chain {
	c := &Chain{cluster: cfg.Cluster, key: cfg.Key, public: PublicKey(cfg.Cluster.Space()), turn: make(chan struct{}, 1)}
	if c.key == nil {
		c.key = func() []byte { return nil }
	}
	return c
}

// Name returns the name of the chain that this process writes; "" before its first
// record.
func (c *Chain) Name() string {
	if name := c.current.Load(); name != nil {
		return *name
	}
	return ""
}

// Part is what a transaction needs in order to write its records.
type Part struct {
	When []clientv3.Cmp
	Then []clientv3.Op
}

// Append has commit make a transaction with the records of an entry, and returns
// what it returns. It can call commit again, but only after it has returned a
// transaction whose conditions did not hold.
func (c *Chain) Append(ctx context.Context, entry Entry, commit func(Part) (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error) {
	records, err := entry.records(ctx)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return commit(Part{})
	}
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	return c.append(ctx, records, commit)
}

// enter waits for the turn.
func (c *Chain) enter(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Chain) leave() { <-c.turn }

func (c *Chain) append(ctx context.Context, records []*ruedov1.AuditRecord, commit func(Part) (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error) {
	for range tries {
		if err := c.settle(ctx); err != nil {
			return nil, err
		}
		part, next, err := c.part(records)
		if err != nil {
			return nil, err
		}
		c.unsure = true
		done, err := commit(part)
		switch {
		case err != nil:
			return done, err
		case done.Succeeded:
			c.end = next
			c.end.version = done.Header.Revision
			c.unsure = false
			return done, nil
		}
		was, name := c.end.version, c.name
		if err := c.settle(ctx); err != nil {
			return nil, err
		}
		if c.end.version == was && c.name == name { // another condition did not hold
			return done, nil
		}
	}
	return nil, fault.New(fault.StoreUnavailable, "earlier writes of this core arrive late, again and again").WithFix("try again")
}

// settle makes the end what it is in the store, and begins a chain if there is none
// or if the key is another one.
func (c *Chain) settle(ctx context.Context) error {
	if key := c.keyNow(); c.name == "" || !hmac.Equal(key, c.used) {
		c.begin(key)
		return nil
	}
	if !c.unsure {
		return nil
	}
	key, err := c.cluster.Space().Key(keys.KindAuditChain, c.name)
	if err != nil {
		return err
	}
	got, err := c.cluster.Get(ctx, key)
	if err != nil {
		return err
	}
	c.unsure = false
	if len(got.Kvs) == 0 {
		if c.end.version != 0 { // it was removed
			c.begin(c.used)
		}
		return nil
	}
	kv := got.Kvs[0]
	if kv.ModRevision == c.end.version {
		return nil
	}
	r := &ruedov1.AuditRecord{}
	if _, mac, ok := split(kv.Value); ok && proto.Unmarshal(kv.Value, r) == nil && r.GetChain() == c.name {
		c.end = end{r.GetSeq(), mac, kv.ModRevision}
		return nil
	}
	c.begin(c.used) // somebody else has written there
	return nil
}

func (c *Chain) keyNow() []byte {
	if key := c.key(); key != nil {
		return key
	}
	return c.public
}

// begin begins a chain.
func (c *Chain) begin(key []byte) {
	name := strings.ToLower(rand.Text()[:16])
	c.name, c.used, c.end, c.unsure = name, key, end{}, false
	c.current.Store(&name)
}

// part returns the part of a transaction that writes records at the end of the
// chain, and the end that it then has.
func (c *Chain) part(records []*ruedov1.AuditRecord) (Part, end, error) {
	space := c.cluster.Space()
	head, err := space.Key(keys.KindAuditChain, c.name)
	if err != nil {
		return Part{}, end{}, err
	}
	p := Part{When: []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(head), "=", c.end.version)}}
	next := c.end
	var value []byte
	for _, r := range records {
		next.seq++
		r.Chain, r.Seq = c.name, next.seq
		if value, next.mac, err = encode(c.used, next.mac, r); err != nil {
			return Part{}, end{}, err
		}
		key, err := space.AuditRecord(c.name, next.seq)
		if err != nil {
			return Part{}, end{}, err
		}
		p.Then = append(p.Then, clientv3.OpPut(key, string(value)))
	}
	p.Then = append(p.Then, clientv3.OpPut(head, string(value)))
	return p, next, nil
}

// Owe keeps the records of a change that was made without them, by a transaction
// with this revision of the store, until [Chain.Pay]. Of very many only the number
// is kept.
func (c *Chain) Owe(ctx context.Context, entry Entry, revision int64) {
	records, err := entry.records(ctx)
	if err != nil || len(records) == 0 || c.enter(context.WithoutCancel(ctx)) != nil {
		return
	}
	defer c.leave()
	for _, r := range records {
		if len(c.owed) == maxOwed {
			c.more++
			continue
		}
		r.Late, r.After = true, revision
		c.owed = append(c.owed, r)
	}
	c.owes.Store(true)
}

// Owes reports whether records are owed.
func (c *Chain) Owes() bool { return c.owes.Load() }

// Pay has commit write some of the records that are owed, as Append does.
func (c *Chain) Pay(ctx context.Context, commit func(Part) (*clientv3.TxnResponse, error)) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	if len(c.owed) == 0 {
		return nil
	}
	n := min(len(c.owed), MaxNotes)
	if last := c.owed[n-1]; n == len(c.owed) && c.more > 0 {
		last.Count += c.more // as many more were done after it
		c.more = 0
	}
	done, err := c.append(ctx, c.owed[:n:n], commit)
	if err == nil && done.Succeeded {
		c.owed = c.owed[n:]
		c.owes.Store(len(c.owed) > 0)
	}
	return err
}
