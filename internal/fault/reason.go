package fault

import "connectrpc.com/connect"

// Reason is a stable word that programs may rely on. It never changes its
// meaning.
type Reason string

// Error makes a reason usable with errors.Is.
func (r Reason) Error() string { return string(r) }

// The reasons. Each has one row in the table below.
const (
	Internal      Reason = "INTERNAL"
	Unimplemented Reason = "UNIMPLEMENTED"
	Canceled      Reason = "CANCELED"
	Deadline      Reason = "DEADLINE"
	Usage         Reason = "USAGE"

	// Requests.
	RequestInvalid Reason = "REQUEST_INVALID"
	InputInvalid   Reason = "INPUT_INVALID"
	InputTooLarge  Reason = "INPUT_TOO_LARGE"
	InputBroken    Reason = "INPUT_BROKEN"

	// The port.
	RequestTooSlow   Reason = "REQUEST_TOO_SLOW"
	ServerBusy       Reason = "SERVER_BUSY"
	HostNotAllowed   Reason = "HOST_NOT_ALLOWED"
	OriginNotAllowed Reason = "ORIGIN_NOT_ALLOWED"

	// Resources.
	NotFound          Reason = "NOT_FOUND" // of what has no reason of its own
	ServiceNotFound   Reason = "SERVICE_NOT_FOUND"
	DecoratorNotFound Reason = "DECORATOR_NOT_FOUND"
	RevisionNotFound  Reason = "REVISION_NOT_FOUND"
	ModuleNotFound    Reason = "MODULE_NOT_FOUND"
	PlanNotFound      Reason = "PLAN_NOT_FOUND"
	RunnerNotFound    Reason = "RUNNER_NOT_FOUND"
	AlreadyExists     Reason = "ALREADY_EXISTS"
	Conflict          Reason = "CONFLICT"
	DecoratorInUse    Reason = "DECORATOR_IN_USE"
	DecoratorInvalid  Reason = "DECORATOR_INVALID"
	SchemaInvalid     Reason = "SCHEMA_INVALID"
	SchemaRemoteRef   Reason = "SCHEMA_REMOTE_REF"
	SchemaLimit       Reason = "SCHEMA_LIMIT"

	// Modules.
	UploadTooLarge   Reason = "UPLOAD_TOO_LARGE"
	UploadIncomplete Reason = "UPLOAD_INCOMPLETE"
	UploadBusy       Reason = "UPLOAD_BUSY"
	DigestMismatch   Reason = "DIGEST_MISMATCH"
	Integrity        Reason = "INTEGRITY"
	NotAModule       Reason = "WASM_NOT_A_MODULE"
	Malformed        Reason = "WASM_MALFORMED"
	Component        Reason = "WASM_COMPONENT_UNSUPPORTED"
	WasmLimit        Reason = "WASM_LIMIT"
	WasmLimitMemory  Reason = "WASM_LIMIT_MEMORY"
	WasmUnsupported  Reason = "WASM_UNSUPPORTED"
	WasmReservedName Reason = "WASM_RESERVED_NAME"
	ImportNotAllowed Reason = "IMPORT_NOT_ALLOWED"
	ExportsMissing   Reason = "EXPORTS_MISSING"
	ABIMismatch      Reason = "ABI_MISMATCH"
	CompileFailed    Reason = "COMPILE_FAILED"
	CompileTimeout   Reason = "COMPILE_TIMEOUT"
	CompileMemory    Reason = "COMPILE_MEMORY"
	PrepareFailed    Reason = "PREPARE_FAILED"
	// PrepareUnavailable is PREPARE_FAILED for reasons that pass: the runners were
	// lost, are draining, or did not answer in time.
	PrepareUnavailable Reason = "PREPARE_UNAVAILABLE"

	// Limits of modules.
	WasmLimitTypes      Reason = "WASM_LIMIT_TYPES"
	WasmLimitFunctions  Reason = "WASM_LIMIT_FUNCTIONS"
	WasmLimitGlobals    Reason = "WASM_LIMIT_GLOBALS"
	WasmLimitTable      Reason = "WASM_LIMIT_TABLE"
	WasmLimitBody       Reason = "WASM_LIMIT_BODY"
	WasmLimitLocals     Reason = "WASM_LIMIT_LOCALS"
	WasmLimitNesting    Reason = "WASM_LIMIT_NESTING"
	WasmLimitBrTable    Reason = "WASM_LIMIT_BRTABLE"
	WasmLimitComplexity Reason = "WASM_LIMIT_COMPLEXITY"

	// Calls.
	NoRunner         Reason = "NO_RUNNER"
	RunnerLost       Reason = "RUNNER_LOST"
	RunnerDraining   Reason = "RUNNER_DRAINING"
	RunnerDisk       Reason = "RUNNER_DISK"
	QueueFull        Reason = "QUEUE_FULL"
	GuestError       Reason = "GUEST_ERROR"
	GuestExit        Reason = "GUEST_EXIT"
	GuestTrap        Reason = "GUEST_TRAP"
	GuestTimeout     Reason = "GUEST_TIMEOUT"
	GuestMemory      Reason = "GUEST_MEMORY"
	GuestOutputLimit Reason = "GUEST_OUTPUT_LIMIT"
	GuestCPU         Reason = "GUEST_CPU"
	GuestFuel        Reason = "GUEST_FUEL"
	HostCallLimit    Reason = "HOST_CALL_LIMIT"
	ConcurrencyLimit Reason = "CONCURRENCY_LIMIT"
	LaneLimit        Reason = "LANE_LIMIT"

	// The program and its surroundings.
	StoreUnavailable Reason = "STORE_UNAVAILABLE"
	StoreFormat      Reason = "STORE_FORMAT"
	StoreFull        Reason = "STORE_FULL"
	StoreEmpty       Reason = "STORE_EMPTY"
	DataDir          Reason = "DATA_DIR"
	DataDirInUse     Reason = "DATA_DIR_IN_USE"
	DataDirLost      Reason = "DATA_DIR_LOST"
	PortInUse        Reason = "PORT_IN_USE"
	CoreUnreachable  Reason = "CORE_UNREACHABLE"
	ClusterMismatch  Reason = "CLUSTER_MISMATCH"
	ConfigInvalid    Reason = "CONFIG_INVALID"
	BuildFailed      Reason = "BUILD_FAILED"
)

// Exit codes of the CLI, as docs/errors.md lists them.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitDenied      = 4
	ExitConflict    = 5
	ExitUnavailable = 6
	ExitLimit       = 7
	ExitInvalid     = 8
	ExitGuestError  = 10
	ExitGuestTrap   = 11
	ExitGuestLimit  = 12
	ExitInterrupted = 130
	ExitBrokenPipe  = 141
)

type row struct {
	code connect.Code
	exit int
}

func rowOf(r Reason) row {
	switch r {
	case Canceled:
		return row{connect.CodeCanceled, ExitInterrupted}
	case Deadline, RequestTooSlow:
		return row{connect.CodeDeadlineExceeded, ExitUnavailable}
	case ServerBusy:
		return row{connect.CodeResourceExhausted, ExitUnavailable}
	case HostNotAllowed, OriginNotAllowed:
		return row{connect.CodePermissionDenied, ExitDenied}
	case Unimplemented:
		return row{connect.CodeUnimplemented, ExitFailure}
	case Usage:
		return row{connect.CodeInvalidArgument, ExitUsage}
	case RequestInvalid, InputInvalid, DecoratorInvalid, SchemaInvalid, SchemaRemoteRef,
		NotAModule, Malformed, Component, WasmUnsupported, WasmReservedName, ImportNotAllowed, ExportsMissing, ABIMismatch,
		DigestMismatch, UploadIncomplete, CompileFailed, InputBroken:
		return row{connect.CodeInvalidArgument, ExitInvalid}
	case WasmLimit, WasmLimitMemory, WasmLimitTypes, WasmLimitFunctions, WasmLimitGlobals, WasmLimitTable, WasmLimitBody,
		WasmLimitLocals, WasmLimitNesting, WasmLimitBrTable, WasmLimitComplexity, SchemaLimit:
		return row{connect.CodeInvalidArgument, ExitLimit}
	case InputTooLarge, UploadTooLarge, UploadBusy, QueueFull, ConcurrencyLimit, LaneLimit, StoreFull, CompileTimeout, CompileMemory:
		return row{connect.CodeResourceExhausted, ExitLimit}
	case NotFound, ServiceNotFound, DecoratorNotFound, RevisionNotFound, ModuleNotFound, PlanNotFound, RunnerNotFound:
		return row{connect.CodeNotFound, ExitNotFound}
	case AlreadyExists:
		return row{connect.CodeAlreadyExists, ExitConflict}
	case Conflict:
		return row{connect.CodeAborted, ExitConflict}
	case DecoratorInUse, PrepareFailed, StoreFormat, StoreEmpty, DataDirLost, ClusterMismatch:
		return row{connect.CodeFailedPrecondition, ExitConflict}
	case Integrity:
		return row{connect.CodeDataLoss, ExitFailure}
	case NoRunner, RunnerLost, RunnerDraining, RunnerDisk, PrepareUnavailable, StoreUnavailable, CoreUnreachable:
		return row{connect.CodeUnavailable, ExitUnavailable}
	case GuestError:
		return row{connect.CodeUnknown, ExitGuestError}
	case GuestExit:
		return row{connect.CodeUnknown, ExitGuestError}
	case GuestTrap:
		return row{connect.CodeUnknown, ExitGuestTrap}
	case GuestTimeout:
		return row{connect.CodeDeadlineExceeded, ExitGuestLimit}
	case GuestMemory, GuestOutputLimit, GuestCPU, GuestFuel, HostCallLimit:
		return row{connect.CodeResourceExhausted, ExitGuestLimit}
	case ConfigInvalid:
		return row{connect.CodeInvalidArgument, ExitUsage}
	}
	return row{connect.CodeInternal, ExitFailure}
}

// Known tells whether a reason is one that a request may fail with: it has a row
// in the table. What other processes say need not be.
func (r Reason) Known() bool { return r == Internal || rowOf(r).code != connect.CodeInternal }

// Code is the Connect code of a reason.
func (r Reason) Code() connect.Code { return rowOf(r).code }

// ExitCode is the exit code that the CLI ends with.
func (r Reason) ExitCode() int { return rowOf(r).exit }

// OfGuest tells whether the guest itself is the cause: it failed, trapped or hit
// a limit, and would do so on any runner.
func (r Reason) OfGuest() bool {
	switch r {
	case GuestError, GuestExit, GuestTrap, GuestTimeout, GuestMemory, GuestOutputLimit, GuestCPU, GuestFuel, HostCallLimit:
		return true
	}
	return false
}
