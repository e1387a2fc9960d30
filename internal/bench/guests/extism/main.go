//go:build wasip1

// The Go guest as an Extism plugin: the same answer through Extism's kernel.
package main

import (
	"encoding/binary"

	"github.com/ruedo-dev/ruedo/internal/bench/guests/answer"
)

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env input_load_u8
func inputLoadU8(at uint64) uint32

//go:wasmimport extism:host/env input_load_u64
func inputLoadU64(at uint64) uint64

//go:wasmimport extism:host/env alloc
func alloc(n uint64) uint64

//go:wasmimport extism:host/env store_u8
func storeU8(at uint64, v uint32)

//go:wasmimport extism:host/env store_u64
func storeU64(at, v uint64)

//go:wasmimport extism:host/env output_set
func outputSet(at, n uint64)

//go:wasmexport call
func call() int32 {
	input := make([]byte, inputLength())
	n := 0
	for ; n+8 <= len(input); n += 8 {
		binary.LittleEndian.PutUint64(input[n:], inputLoadU64(uint64(n)))
	}
	for ; n < len(input); n++ {
		input[n] = byte(inputLoadU8(uint64(n)))
	}
	out := answer.To(input)
	at := alloc(uint64(len(out)))
	for n = 0; n+8 <= len(out); n += 8 {
		storeU64(at+uint64(n), binary.LittleEndian.Uint64(out[n:]))
	}
	for ; n < len(out); n++ {
		storeU8(at+uint64(n), uint32(out[n]))
	}
	outputSet(at, uint64(len(out)))
	return 0
}

func main() {}
