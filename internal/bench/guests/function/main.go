//go:build wasip1

// The Go guest as a function. It speaks the guest contract itself and uses only
// two of its imports, so that every host of the benchmarks can drive it.
package main

import (
	"unsafe"

	"github.com/ruedo-dev/ruedo/internal/bench/guests/answer"
)

//go:wasmimport ruedo input_read
func inputRead(p unsafe.Pointer, n uint32) int32

//go:wasmimport ruedo output_write
func outputWrite(p unsafe.Pointer, n uint32) int32

//go:wasmexport ruedo_abi_1
func marker() {}

var input [4096]byte

//go:wasmexport ruedo_call
func call() int32 {
	n := inputRead(unsafe.Pointer(&input), uint32(len(input)))
	out := answer.To(input[:n])
	outputWrite(unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out)))
	return 0
}

func main() {}
