package chain

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// macField is what precedes the MAC at the end of an encoded record: the tag of
// field 20, which has the highest number, and its length.
var macField = []byte{20<<3&0x7f | 2 | 0x80, 20 << 3 >> 7, sha256.Size}

// PublicKey returns the key of chains of a cluster without logins. Everybody can
// compute it: such a chain shows damage, and no forgery.
func PublicKey(space keys.Space) []byte {
	sum := sha256.Sum256([]byte("ruedo audit " + space.Cluster()))
	return sum[:]
}

// encode returns a record as it is stored, and its MAC, which is over the one
// before it and all of the record but itself.
func encode(key, before []byte, r *ruedov1.AuditRecord) (value, mac []byte, err error) {
	value, err = proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Internal, "a record of the audit cannot be encoded")
	}
	mac = sum(key, before, value)
	return append(append(value, macField...), mac...), mac, nil
}

func sum(key, before, record []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(before)
	h.Write(record)
	return h.Sum(nil)
}

// split returns the two parts of a stored record.
func split(value []byte) (record, mac []byte, ok bool) {
	at := len(value) - sha256.Size
	if at < len(macField) {
		return nil, nil, false
	}
	record, ok = bytes.CutSuffix(value[:at], macField)
	return record, value[at:], ok
}

// Decode decodes a stored record. It fails with AUDIT_BROKEN if it cannot be read.
func Decode(kv *mvccpb.KeyValue) (*ruedov1.AuditRecord, error) {
	k, _ := keys.Parse(string(kv.Key))
	r := &ruedov1.AuditRecord{}
	if err := proto.Unmarshal(kv.Value, r); err != nil {
		return nil, broken(k.Name, k.Number, "it cannot be read")
	}
	r.Version = kv.ModRevision
	if r.GetCount() == 0 && !r.GetLate() { // a change, which is as old as its record
		r.After = kv.ModRevision
	}
	return r, nil
}

func broken(chain string, seq uint64, how string) *fault.Error {
	return fault.New(fault.AuditBroken, "record %d of chain %s of the audit was changed or removed: %s", seq, chain, how).
		With("chain", chain).WithFix("compare it with an export; somebody has written to the store past Ruedo")
}

// MAC returns the MAC of a stored record; nil if it has none.
func MAC(value []byte) []byte {
	_, mac, _ := split(value)
	return mac
}
