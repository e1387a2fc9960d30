// Package chaintest checks the chains of the audit as somebody would who has their key,
// for tests.
package chaintest

import (
	"crypto/hmac"
	"crypto/sha256"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Verifier checks the records of one chain, one after the other.
type Verifier struct {
	// Name of the chain.
	Name string
	// Keys are those that the chain can have. The first record decides.
	Keys [][]byte
	// Seq and MAC are those of the record before the next.
	Seq uint64
	MAC []byte

	key  []byte
	skip bool
}

// Skip makes a record the next one that is read, wherever it is, and does not check
// what came before it.
func (v *Verifier) Skip(kv *mvccpb.KeyValue) {
	k, _ := keys.Parse(string(kv.Key))
	v.Seq, v.skip = k.Number-1, true
}

// Next checks the next record. It fails with AUDIT_BROKEN.
func (v *Verifier) Next(kv *mvccpb.KeyValue) (*ruedov1.AuditRecord, error) {
	at := v.Seq + 1
	if k, ok := keys.Parse(string(kv.Key)); !ok || k.Kind != keys.KindAuditRecord || k.Name != v.Name || k.Number != at {
		return nil, v.Missing()
	}
	r, err := chain.Decode(kv)
	if err != nil {
		return nil, err
	}
	mac := chain.MAC(kv.Value)
	if mac == nil || r.GetChain() != v.Name || r.GetSeq() != at {
		return nil, v.broken("it is another one")
	}
	if v.skip {
		v.skip, v.Seq, v.MAC = false, at, mac
		return r, nil
	}
	for _, key := range v.Keys {
		if v.key == nil && v.fits(key, kv.Value, mac) {
			v.key = key
		}
	}
	if v.key == nil || !v.fits(v.key, kv.Value, mac) {
		return nil, v.broken("its authentication code is not right")
	}
	v.Seq, v.MAC = at, mac
	return r, nil
}

// field is the length of what precedes the MAC in a stored record: a tag of two bytes,
// and a length of one.
const field = 3

// fits reports whether a MAC is that of a stored record, which ends with it, under a
// key.
func (v *Verifier) fits(key, stored, mac []byte) bool {
	h := hmac.New(sha256.New, key)
	h.Write(v.MAC)
	h.Write(stored[:len(stored)-len(mac)-field])
	return hmac.Equal(h.Sum(nil), mac)
}

// Missing returns AUDIT_BROKEN for the next record, which is not there.
func (v *Verifier) Missing() error { return v.broken("it is missing") }

func (v *Verifier) broken(how string) error {
	return fault.New(fault.AuditBroken, "record %d of chain %s: %s", v.Seq+1, v.Name, how)
}

// Has reports whether the chain has a key.
func (v *Verifier) Has(key []byte) bool { return v.key != nil && hmac.Equal(v.key, key) }
