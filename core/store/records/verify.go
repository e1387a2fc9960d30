package records

import (
	"bytes"
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/ruedo-dev/ruedo/core/store/chain"
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
// Somebody who writes to the store, and has the key or cuts off the newest records
// and the end of their chain with them, is not found out.
func (r *Records) Verify(ctx context.Context, key []byte) (done Checked, err error) {
	heads, _, err := r.heads(ctx)
	if err != nil {
		return done, err
	}
	all := [][]byte{chain.PublicKey(r.space)}
	if key != nil {
		all = append(all, key)
	}
	trims := map[string]trimmed{}           // the last of each chain
	begins := map[string]*mvccpb.KeyValue{} // the first record that is left of a chain that was trimmed
	for _, h := range heads {
		v := &chain.Verifier{Keys: all, Name: h.name}
		first, err := r.search(ctx, h, present)
		if err != nil {
			return done, err
		}
		var last []byte
		for at := first; at <= h.seq; {
			kvs, err := r.page(ctx, h.name, at, h.seq)
			if err != nil {
				return done, err
			}
			for _, kv := range kvs {
				if at == first && first > 1 && begins[h.name] == nil {
					begins[h.name] = kv
					v.Skip(kv)
				}
				rec, err := v.Next(kv)
				if err != nil {
					return done, err
				}
				if t, ok := trimOf(rec); ok && t.seq > trims[rec.GetName()].seq {
					trims[rec.GetName()] = t
				}
				last = kv.Value
				done.Records++
				if key != nil && !v.Has(key) {
					done.Unkeyed++
				}
				at++
			}
			if len(kvs) == 0 {
				return done, v.Missing()
			}
		}
		if h.seq == 0 || !bytes.Equal(last, h.value) {
			return done, v.Missing()
		}
		done.Chains++
	}
	for name, kv := range begins {
		t := trims[name]
		v := &chain.Verifier{Keys: all, Name: name, Seq: t.seq, MAC: t.mac}
		if _, err := v.Next(kv); err != nil {
			return done, fault.Wrap(err, fault.AuditBroken, "the beginning of chain %s of the audit is missing, and no record says that it was removed", name).
				With("chain", name).WithFix("compare it with an export")
		}
	}
	return done, nil
}
