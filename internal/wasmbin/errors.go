package wasmbin

import (
	"errors"
	"fmt"
)

// Reasons of an [Error]. They equal the reasons that callers see.
const (
	ReasonNotAModule       = "WASM_NOT_A_MODULE"
	ReasonMalformed        = "WASM_MALFORMED"
	ReasonComponent        = "WASM_COMPONENT_UNSUPPORTED"
	ReasonLimit            = "WASM_LIMIT"
	ReasonLimitMemory      = "WASM_LIMIT_MEMORY"
	ReasonLimitTypes       = "WASM_LIMIT_TYPES"
	ReasonLimitFunctions   = "WASM_LIMIT_FUNCTIONS"
	ReasonLimitGlobals     = "WASM_LIMIT_GLOBALS"
	ReasonLimitTable       = "WASM_LIMIT_TABLE"
	ReasonLimitBody        = "WASM_LIMIT_BODY"
	ReasonLimitLocals      = "WASM_LIMIT_LOCALS"
	ReasonLimitNesting     = "WASM_LIMIT_NESTING"
	ReasonLimitBrTable     = "WASM_LIMIT_BRTABLE"
	ReasonLimitComplexity  = "WASM_LIMIT_COMPLEXITY"
	ReasonReservedName     = "WASM_RESERVED_NAME"
	ReasonUnsupported      = "WASM_UNSUPPORTED"
	ReasonImportNotAllowed = "IMPORT_NOT_ALLOWED"
	ReasonExportsMissing   = "EXPORTS_MISSING"
	ReasonABIMismatch      = "ABI_MISMATCH"
)

// errClosed ends the reading of an [Arrival] that was closed. Nobody sees it.
var errClosed = errors.New("closed")

// howToBuild is the fix for most of what is wrong with a module as a whole.
const howToBuild = "build a core module for WASI preview 1, for example with `GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared`"

// Error says why a module is refused.
type Error struct {
	// Reason is one of the Reason constants.
	Reason string
	// Offset in the file where reading stopped, or -1 where the reason is not
	// at one place.
	Offset int64
	// Message says what is wrong, with limit and actual value.
	Message string
	// Fix says what to do. May be empty.
	Fix string
}

// Error gives the message alone.
func (e *Error) Error() string { return e.Message }

func malformed(offset int64, format string, args ...any) error {
	return &Error{
		Reason:  ReasonMalformed,
		Offset:  offset,
		Message: fmt.Sprintf("malformed module at byte %d: ", offset) + fmt.Sprintf(format, args...),
		Fix:     "the file is damaged or was cut off: build or upload it again",
	}
}

func unsupported(offset int64, format string, args ...any) error {
	return &Error{
		Reason:  ReasonUnsupported,
		Offset:  offset,
		Message: fmt.Sprintf(format, args...),
		Fix:     "build for WebAssembly 2.0 without threads, 64-bit memories, exceptions and garbage collection",
	}
}

func overLimit(offset int64, what string, actual, limit uint64) error {
	return &Error{
		Reason:  ReasonLimit,
		Offset:  offset,
		Message: fmt.Sprintf("the module has %s: %d, the limit is %d", what, actual, limit),
		Fix:     "make the module smaller: split the service, or leave out what it does not use",
	}
}

// limitError says which limit what passes.
func limitError(reason string, offset int64, what string, limit uint64) error {
	return &Error{Reason: reason, Offset: offset, Message: fmt.Sprintf("%s, the limit is %d", what, limit), Fix: fix(reason)}
}

// limited gives an error about a count the reason of its kind.
func limited(err error, reason string) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Reason == ReasonLimit {
		e.Reason, e.Fix = reason, fix(reason)
	}
	return err
}

// fix says what to do about a limit.
func fix(reason string) string {
	switch reason {
	case ReasonLimitTypes, ReasonLimitFunctions, ReasonLimitGlobals:
		return "make the module smaller: split the service, or leave out what it does not use"
	case ReasonLimitTable:
		return "build the module with a smaller table at its start"
	case ReasonLimitBody, ReasonLimitLocals, ReasonLimitComplexity:
		return "split the function: it is often generated code, a large table in code, or a function into which everything was inlined (build with -Os)"
	case ReasonLimitNesting, ReasonLimitBrTable:
		return "split the function, or turn a large switch into a table of data"
	}
	return ""
}
