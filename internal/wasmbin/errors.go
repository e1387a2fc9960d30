package wasmbin

import (
	"errors"
	"fmt"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// errClosed ends the reading of an [Admission] that was closed. No caller sees
// it.
var errClosed = errors.New("closed")

// howToBuild is the fix for most errors of a module as a whole.
const howToBuild = "build a core module for WASI preview 1, for example with `GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared`"

// at adds the offset at which reading stopped, unless it is negative.
func at(offset int64, e *fault.Error) *fault.Error {
	if offset >= 0 {
		e.With("offset", offset)
	}
	return e
}

func malformed(offset int64, format string, args ...any) error {
	return at(offset, fault.New(fault.Malformed, "malformed module at byte %d: %s", offset, fmt.Sprintf(format, args...)).
		WithFix("the file is damaged or was cut off: build or upload it again"))
}

func unsupported(offset int64, format string, args ...any) error {
	return at(offset, fault.New(fault.WasmUnsupported, format, args...).
		WithFix("build for WebAssembly 2.0 without threads, 64-bit memories, exceptions and garbage collection"))
}

func overLimit(offset int64, what string, actual, limit uint64) error {
	return at(offset, fault.New(fault.WasmLimit, "the module has %s: %d, the limit is %d", what, actual, limit).
		WithFix("make the module smaller: split the service, or leave out what it does not use"))
}

// limitError returns the error for a limit that was exceeded by what.
func limitError(reason fault.Reason, offset int64, what string, limit uint64) error {
	return at(offset, fault.New(reason, "%s, the limit is %d", what, limit).WithFix("%s", fix(reason)))
}

// limited sets the reason of an error about a count.
func limited(err error, reason fault.Reason) error {
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Reason == fault.WasmLimit {
		e.Reason, e.Fix = reason, fix(reason)
	}
	return err
}

// fix returns what to do about a limit.
func fix(reason fault.Reason) string {
	switch reason {
	case fault.WasmLimitTypes, fault.WasmLimitFunctions, fault.WasmLimitGlobals:
		return "make the module smaller: split the service, or leave out what it does not use"
	case fault.WasmLimitTable:
		return "build the module with a smaller table at its start"
	case fault.WasmLimitBody, fault.WasmLimitLocals, fault.WasmLimitComplexity:
		return "split the function: it is often generated code, a large table in code, or a function into which everything was inlined (build with -Os)"
	case fault.WasmLimitNesting, fault.WasmLimitBrTable:
		return "split the function, or turn a large switch into a table of data"
	}
	return ""
}
