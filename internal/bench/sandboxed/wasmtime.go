//go:build cgo

package sandboxed

/*
#include <stddef.h>
#include <stdint.h>

// The parts of wasmtime's C API that its Go package does not offer. The library
// comes with that package.
typedef struct wasmtime_instance { uint64_t store_id; size_t private_; } bench_instance;
void *wasmtime_pooling_allocation_config_new(void);
void wasmtime_pooling_allocation_config_delete(void *);
void wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(void *, size_t);
void wasmtime_pooling_allocation_config_table_keep_resident_set(void *, size_t);
void wasmtime_pooling_allocation_strategy_set(void *config, const void *pooling);
void *wasmtime_linker_instantiate_pre(const void *linker, const void *module, void **pre);
void *wasmtime_instance_pre_instantiate(const void *pre, void *context, bench_instance *, void **trap);
void wasmtime_instance_pre_delete(void *pre);

static void bench_pool(void *config, size_t keep) {
  void *pooling = wasmtime_pooling_allocation_config_new();
  wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pooling, keep);
  wasmtime_pooling_allocation_config_table_keep_resident_set(pooling, keep);
  wasmtime_pooling_allocation_strategy_set(config, pooling);
  wasmtime_pooling_allocation_config_delete(pooling);
}

static int bench_instantiate(const void *pre, void *context, bench_instance *out) {
  void *trap = NULL;
  return wasmtime_instance_pre_instantiate(pre, context, out, &trap) != NULL || trap != NULL;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// keepResident is how much of a slot's memory wasmtime resets by writing rather
// than through the kernel. All the memory of the Go guest is best: 78 us per
// call, compared with 130 to 154 us with less.
const keepResident = 4 << 20

// addWasmtime adds the peer with an optimizing compiler, in its fastest setup
// for clean memory: pooled memories mapped copy-on-write, imports resolved in
// advance, and a store and an instance per call. It runs the guest unmodified,
// and with its start and its warm-up baked in.
func (f *field) addWasmtime(wasm []byte) error {
	baked, err := bake(f.ctx, wasm)
	if err != nil {
		return fmt.Errorf("bake: %w", err)
	}
	if err := f.addWasmtimeModule("wasmtime", baked, ""); err != nil {
		return err
	}
	return f.addWasmtimeModule("wasmtime-init", wasm, abi.ExportInitialize)
}

func (f *field) addWasmtimeModule(name string, wasm []byte, initialize string) error {
	config := wasmtime.NewConfig()
	C.bench_pool(inner(unsafe.Pointer(config)), keepResident)
	engine := wasmtime.NewEngineWithConfig(config)
	module, err := wasmtime.NewModule(engine, wasm)
	if err != nil {
		return err
	}
	linker := wasmtime.NewLinker(engine)
	i32 := wasmtime.NewValType(wasmtime.KindI32)
	two := wasmtime.NewFuncType([]*wasmtime.ValType{i32, i32}, []*wasmtime.ValType{i32})
	var x exchange // there is one call at a time
	err = errors.Join(
		linker.DefineWasi(),
		linker.FuncNew(abi.HostModule, abi.ImportInputRead, two, func(c *wasmtime.Caller, args []wasmtime.Val) ([]wasmtime.Val, *wasmtime.Trap) {
			n := copy(piece(c, args), x.input)
			x.input = x.input[n:]
			return []wasmtime.Val{wasmtime.ValI32(int32(n))}, nil
		}),
		linker.FuncNew(abi.HostModule, abi.ImportOutputWrite, two, func(c *wasmtime.Caller, args []wasmtime.Val) ([]wasmtime.Val, *wasmtime.Trap) {
			x.output = append(x.output, piece(c, args)...)
			return []wasmtime.Val{args[1]}, nil
		}))
	if err != nil {
		return err
	}
	var pre unsafe.Pointer
	if C.wasmtime_linker_instantiate_pre(inner(unsafe.Pointer(linker)), inner(unsafe.Pointer(module)), &pre) != nil {
		return errors.New("wasmtime cannot link the guest")
	}
	f.closers = append(f.closers, func() error {
		C.wasmtime_instance_pre_delete(pre)
		linker.Close()
		module.Close()
		engine.Close()
		return nil
	})
	f.add(name, func() ([]byte, error) {
		store := wasmtime.NewStore(engine)
		defer store.Close()
		store.SetWasi(wasmtime.NewWasiConfig())
		var made C.bench_instance
		if C.bench_instantiate(pre, unsafe.Pointer(store.Context()), &made) != 0 {
			return nil, errors.New("wasmtime cannot make an instance")
		}
		i := (*wasmtime.Instance)(unsafe.Pointer(&made)) // is all that there is in one
		if initialize != "" {
			if _, err := i.GetFunc(store, initialize).Call(store); err != nil {
				return nil, err
			}
		}
		x = exchange{input: []byte(input)}
		status, err := i.GetFunc(store, abi.ExportCall).Call(store)
		if err == nil && status != int32(0) {
			err = fmt.Errorf("the guest failed with %v", status)
		}
		return x.output, err
	})
	return nil
}

// inner is the C object that one of wasmtime's Go objects has as its first
// field.
func inner(object unsafe.Pointer) unsafe.Pointer { return *(*unsafe.Pointer)(object) }

// piece returns the part of the guest's memory that two arguments describe.
func piece(c *wasmtime.Caller, args []wasmtime.Val) []byte {
	at, n := uint32(args[0].I32()), uint32(args[1].I32())
	return c.GetExport(abi.ExportMemory).Memory().UnsafeData(c)[at:][:n]
}
