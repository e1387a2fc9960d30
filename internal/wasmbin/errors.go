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
	e := fault.New(fault.WasmLimit, "the module has %s: %d, the limit is %d", what, actual, limit).WithFix(smaller)
	switch what {
	case "too many imports":
		e.Fix += raise("imports")
	case "too many exports":
		e.Fix += raise("exports")
	case "too many element segments":
		e.Fix += raise("elements")
	case "too many data segments":
		e.Fix += raise("data")
	case "too many parameters", "too many results":
		e.Fix += raise("params")
	}
	return at(offset, e)
}

// limitError returns the error for a limit that was exceeded by what.
func limitError(reason fault.Reason, offset int64, what string, limit any) error {
	return at(offset, fault.New(reason, "%s, the limit is %v", what, limit).WithFix("%s", fix(reason)))
}

// limited sets the reason of an error about a count.
func limited(err error, reason fault.Reason) error {
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Reason == fault.WasmLimit {
		e.Reason, e.Fix = reason, fix(reason)
	}
	return err
}

const smaller = "make the module smaller: split the service, or leave out what it does not use"

// raise returns the rest of a fix: the setting of a limit.
func raise(setting string) string { return "; or raise module." + setting + " of cores and runners" }

// fix returns what to do about a limit.
func fix(reason fault.Reason) string {
	const function = "split the function: it is often generated code, a large table in code, or a function into which everything was inlined (build with -Os)"
	const jumps = "split the function, or turn a large switch into a table of data"
	switch reason {
	case fault.WasmLimitTypes:
		return smaller + raise("types")
	case fault.WasmLimitFunctions:
		return smaller + raise("functions")
	case fault.WasmLimitGlobals:
		return smaller + raise("globals")
	case fault.WasmLimitTable:
		return "build the module with fewer or smaller tables at its start" + raise("tables or module.table_elements")
	case fault.WasmLimitBody:
		return function + raise("body")
	case fault.WasmLimitLocals:
		return function + raise("locals")
	case fault.WasmLimitComplexity:
		return function + raise("complexity")
	case fault.WasmLimitNesting:
		return jumps + raise("nesting")
	case fault.WasmLimitBrTable:
		return jumps + raise("targets")
	}
	return ""
}
