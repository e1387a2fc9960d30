//go:build wasip1

// Loads that keep a processor busy, as compiled by Go.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"
)

type item struct {
	ID   int               `json:"id"`
	Name string            `json:"name"`
	Tags []string          `json:"tags"`
	Meta map[string]string `json:"meta"`
}

// encode goes n times from values to JSON and back.
//
//go:wasmexport encode
func encode(n uint32) uint32 {
	items := make([]item, 20)
	for i := range items {
		items[i] = item{i, "item", []string{"one", "two"}, map[string]string{"k": "v"}}
	}
	sum := 0
	for range n {
		b, err := json.Marshal(items)
		if err != nil {
			return 0
		}
		var back []item
		if err := json.Unmarshal(b, &back); err != nil {
			return 0
		}
		sum += len(b) + len(back)
	}
	return uint32(sum)
}

//go:wasmexport hash
func hash(n uint32) uint32 {
	block := make([]byte, 4096)
	for range n {
		sum := sha256.Sum256(block)
		copy(block, sum[:])
	}
	return binary.LittleEndian.Uint32(block)
}

//go:wasmexport order
func order(n uint32) uint32 {
	values := make([]uint32, n)
	x := uint32(1)
	for i := range values {
		x = x*1664525 + 1013904223
		values[i] = x
	}
	slices.Sort(values)
	return values[n/2]
}

func main() {}
