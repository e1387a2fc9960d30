package wasmbin

import "fmt"

// Reasons of an [Error]. They equal the reasons that callers see.
const (
	ReasonNotAModule       = "WASM_NOT_A_MODULE"
	ReasonMalformed        = "WASM_MALFORMED"
	ReasonComponent        = "WASM_COMPONENT_UNSUPPORTED"
	ReasonLimit            = "WASM_LIMIT"
	ReasonLimitMemory      = "WASM_LIMIT_MEMORY"
	ReasonUnsupported      = "WASM_UNSUPPORTED"
	ReasonImportNotAllowed = "IMPORT_NOT_ALLOWED"
	ReasonExportsMissing   = "EXPORTS_MISSING"
	ReasonABIMismatch      = "ABI_MISMATCH"
)

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
