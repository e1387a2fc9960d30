package input

import (
	"bytes"
	"hash/maphash"
	"math/bits"
)

// slot is an entry of a hash table of names.
type slot struct {
	hash uint32
	at   uint32 // 0: empty, as the first entry is never a name
}

// fewNames is the largest number of names that are compared pairwise.
const fewNames = 8

// unique refuses an object in which a name occurs twice.
func (d *Document) unique(at uint32) error {
	count := int(d.values[at].count)
	if count > fewNames {
		return d.uniqueOfMany(at, count)
	}
	var keys [fewNames]uint32
	for n, key := 0, at+1; n < count; n, key = n+1, d.values[key+1].next {
		for _, other := range keys[:n] {
			if d.sameText(key, other) {
				return d.twice(key)
			}
		}
		keys[n] = key
	}
	return nil
}

// uniqueOfMany looks each name up in a table of the names before it. The seed
// of the hash is random, so that a caller cannot choose names that collide.
func (d *Document) uniqueOfMany(at uint32, count int) error {
	size := 1 << bits.Len(uint(2*count))
	if cap(d.table) < size {
		d.table = make([]slot, size)
	}
	table := d.table[:size]
	clear(table)
	for n, key := 0, at+1; n < count; n, key = n+1, d.values[key+1].next {
		hash := uint32(maphash.Bytes(d.seed, d.Text(key)))
		i := int(hash) & (size - 1)
		for ; table[i].at != 0; i = (i + 1) & (size - 1) {
			if table[i].hash == hash && d.sameText(table[i].at, key) {
				return d.twice(key)
			}
		}
		table[i] = slot{hash, key}
	}
	return nil
}

func (d *Document) sameText(a, b uint32) bool {
	v, w := d.values[a], d.values[b]
	if !v.escaped && !w.escaped && v.to-v.from != w.to-w.from {
		return false
	}
	return bytes.Equal(d.Text(a), d.Text(b))
}

func (d *Document) twice(at uint32) error {
	return &Error{Text: "stands more than once in its object", Field: d.write(append(d.path, Member(at)), ""), Limit: "1", Actual: "2"}
}
