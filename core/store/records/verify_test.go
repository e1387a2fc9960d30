package records

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/chain/chaintest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Checked is what [Records.Verify] has read.
type Checked struct {
	Chains, Records int
	// Unkeyed are records that everybody who can write to the store could have
	// made: those of before callers had to log in.
	Unkeyed int
}

// Verify reads all chains and checks that no record was changed, moved or removed,
// other than by [Records.Trim]. key is that of the MACs, nil if there is none. It
// fails with AUDIT_BROKEN, which names the chain and the record, and returns what was
// read until then.
//
// Somebody who writes to the store and has the key is not found out, and neither is
// somebody who sets the end of a chain back to an earlier record and removes all that
// came after it, or removes a chain as a whole: that shows against an export.
func (r *Records) Verify(ctx context.Context, key []byte) (Checked, error) {
	heads, revision, err := r.heads(ctx)
	if err != nil {
		return Checked{}, err
	}
	v := &verification{
		Records: r, keys: [][]byte{chain.PublicKey(r.space)}, key: key, revision: revision,
		trims: map[string]trimmed{}, begins: map[string]*mvccpb.KeyValue{},
	}
	if key != nil {
		v.keys = append(v.keys, key)
	}
	if err := v.strays(ctx, heads); err != nil {
		return v.done, err
	}
	for _, h := range heads {
		if err := v.chain(ctx, h); err != nil {
			return v.done, err
		}
		v.done.Chains++
	}
	return v.done, v.beginnings()
}

// verification is one run of Verify, as of one revision of the store.
type verification struct {
	*Records
	keys     [][]byte
	key      []byte
	revision int64
	done     Checked

	trims  map[string]trimmed          // the last of each chain
	begins map[string]*mvccpb.KeyValue // the first record that is left of a chain that was trimmed
}

// strays finds records of chains that have no end.
func (v *verification) strays(ctx context.Context, heads []head) error {
	names := []string{}
	for _, h := range heads {
		names = append(names, h.name)
	}
	from, end := v.space.Audit(), clientv3.GetPrefixRangeEnd(v.space.Audit())
	for _, name := range append(slices.Sorted(slices.Values(names)), "") {
		to, next := end, ""
		if name != "" {
			prefix, err := v.space.AuditRecords(name)
			if err != nil {
				return err
			}
			to, next = prefix, clientv3.GetPrefixRangeEnd(prefix)
		}
		err := v.cluster.Do(ctx, "read the audit", func(ctx context.Context) error {
			got, err := v.cluster.Get(ctx, from, clientv3.WithRange(to), clientv3.WithMaxModRev(v.revision), clientv3.WithLimit(1), clientv3.WithKeysOnly())
			if err != nil || len(got.Kvs) == 0 {
				return err
			}
			k, _ := v.space.Parse(string(got.Kvs[0].Key))
			return (&chaintest.Verifier{Name: k.Name, Seq: k.Number}).Missing()
		})
		if err != nil {
			return err
		}
		from = next
	}
	return nil
}

// chain checks one chain.
func (v *verification) chain(ctx context.Context, h head) error {
	check := &chaintest.Verifier{Keys: v.keys, Name: h.name}
	first, err := v.search(ctx, h, present)
	if err != nil {
		return err
	}
	var last []byte
	for at := first; at <= h.seq; {
		kvs, err := v.page(ctx, h.name, at, h.seq)
		if err != nil {
			return err
		}
		for _, kv := range kvs {
			skipped := at == first && first > 1
			if skipped {
				v.begins[h.name] = kv
				check.Skip(kv)
			}
			rec, err := check.Next(kv)
			if err != nil {
				return err
			}
			if t, ok := trimOf(rec); ok && t.seq > v.trims[rec.GetName()].seq {
				v.trims[rec.GetName()] = t
			}
			v.done.Records++
			if !skipped {
				v.count(check)
			}
			last = kv.Value
			at++
		}
		if len(kvs) == 0 {
			return check.Missing()
		}
	}
	if h.seq == 0 || !bytes.Equal(last, h.value) {
		return check.Missing()
	}
	more, err := v.page(ctx, h.name, h.seq+1, h.seq+1)
	if err == nil && len(more) > 0 && more[0].ModRevision <= v.revision {
		return check.Missing() // the end is not that of the last record
	}
	return err
}

// beginnings checks the first records of chains that were trimmed.
func (v *verification) beginnings() error {
	for name, kv := range v.begins {
		t := v.trims[name]
		check := &chaintest.Verifier{Keys: v.keys, Name: name, Seq: t.seq, MAC: t.mac}
		if _, err := check.Next(kv); err != nil {
			return fault.Wrap(err, fault.AuditBroken, "the beginning of chain %s of the audit is missing, and no record says that it was removed", name).
				With("chain", name).WithFix("compare it with an export")
		}
		v.count(check)
	}
	return nil
}

func (v *verification) count(check *chaintest.Verifier) {
	if v.key != nil && !check.Has(v.key) {
		v.done.Unkeyed++
	}
}

// trimOf returns what a record says was removed, if that is what it is about.
func trimOf(rec *ruedov1.AuditRecord) (t trimmed, ok bool) {
	if rec.GetAction() != actionTrim || rec.GetNoun() != "audit" {
		return t, false
	}
	var mac string
	if n, err := fmt.Sscanf(rec.GetSummary(), "up to record %d, %s", &t.seq, &mac); n != 2 || err != nil {
		return t, false
	}
	t.mac, _ = hex.DecodeString(mac)
	return t, true
}
