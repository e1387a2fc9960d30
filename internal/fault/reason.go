package fault

import (
	"maps"
	"slices"
)

// Reason is a stable word that programs can rely on. Its meaning never changes.
type Reason string

// Error makes a reason usable with errors.Is.
func (r Reason) Error() string { return string(r) }

// The reasons. Each has one row in [table].
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
	NotFound          Reason = "NOT_FOUND"
	ServiceNotFound   Reason = "SERVICE_NOT_FOUND"
	DecoratorNotFound Reason = "DECORATOR_NOT_FOUND"
	RevisionNotFound  Reason = "REVISION_NOT_FOUND"
	ModuleNotFound    Reason = "MODULE_NOT_FOUND"
	PlanNotFound      Reason = "PLAN_NOT_FOUND"
	RunnerNotFound    Reason = "RUNNER_NOT_FOUND"
	RunnerCordoned    Reason = "RUNNER_CORDONED"
	CordonLimit       Reason = "CORDON_LIMIT"
	RunnerLimit       Reason = "RUNNER_LIMIT"
	CoreNotFound      Reason = "CORE_NOT_FOUND"
	JobNotFound       Reason = "JOB_NOT_FOUND"
	AlreadyExists     Reason = "ALREADY_EXISTS"
	Conflict          Reason = "CONFLICT"
	DecoratorInUse    Reason = "DECORATOR_IN_USE"
	DecoratorInvalid  Reason = "DECORATOR_INVALID"
	SchemaInvalid     Reason = "SCHEMA_INVALID"
	SchemaRemoteRef   Reason = "SCHEMA_REMOTE_REF"
	SchemaLimit       Reason = "SCHEMA_LIMIT"

	// Changes of decorators.
	DecoratorBreaksServices Reason = "DECORATOR_BREAKS_SERVICES"
	DecoratorUnchecked      Reason = "DECORATOR_UNCHECKED"

	// The leader.
	NoLeader       Reason = "NO_LEADER"
	NotLeader      Reason = "NOT_LEADER"
	LeadershipLost Reason = "LEADERSHIP_LOST"
	NoSuccessor    Reason = "NO_SUCCESSOR"

	// Modules.
	UploadTooLarge     Reason = "UPLOAD_TOO_LARGE"
	UploadIncomplete   Reason = "UPLOAD_INCOMPLETE"
	UploadBusy         Reason = "UPLOAD_BUSY"
	DigestMismatch     Reason = "DIGEST_MISMATCH"
	Integrity          Reason = "INTEGRITY"
	NotAModule         Reason = "WASM_NOT_A_MODULE"
	Malformed          Reason = "WASM_MALFORMED"
	Component          Reason = "WASM_COMPONENT_UNSUPPORTED"
	WasmLimit          Reason = "WASM_LIMIT"
	WasmLimitMemory    Reason = "WASM_LIMIT_MEMORY"
	WasmUnsupported    Reason = "WASM_UNSUPPORTED"
	WasmReservedName   Reason = "WASM_RESERVED_NAME"
	ImportNotAllowed   Reason = "IMPORT_NOT_ALLOWED"
	ExportsMissing     Reason = "EXPORTS_MISSING"
	ABIMismatch        Reason = "ABI_MISMATCH"
	CompileFailed      Reason = "COMPILE_FAILED"
	CompileTimeout     Reason = "COMPILE_TIMEOUT"
	CompileMemory      Reason = "COMPILE_MEMORY"
	PrepareFailed      Reason = "PREPARE_FAILED"
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

	// Who may do what.
	Unauthenticated  Reason = "UNAUTHENTICATED"
	PermissionDenied Reason = "PERMISSION_DENIED"
	StaleAccess      Reason = "STALE_ACCESS"
	GrantInvalid     Reason = "GRANT_INVALID"
	GrantExceeds     Reason = "GRANT_EXCEEDS"
	UserNotFound     Reason = "USER_NOT_FOUND"
	RoleNotFound     Reason = "ROLE_NOT_FOUND"
	RoleInUse        Reason = "ROLE_IN_USE"
	LastAdmin        Reason = "LAST_ADMIN"
	TokenNotFound    Reason = "TOKEN_NOT_FOUND"
	TokenInvalid     Reason = "TOKEN_INVALID"
	TokenUsed        Reason = "TOKEN_USED"
	PasswordWeak     Reason = "PASSWORD_WEAK"
	LoginLimit       Reason = "LOGIN_LIMIT"
	PrincipalLimit   Reason = "PRINCIPAL_LIMIT"
	AuditBroken      Reason = "AUDIT_BROKEN"

	// Whom to believe.
	PinMismatch      Reason = "PIN_MISMATCH"
	AuthorityUnknown Reason = "AUTHORITY_UNKNOWN"
	PlaintextRefused Reason = "PLAINTEXT_REFUSED"
	SealKeyMissing   Reason = "SEAL_KEY_MISSING"
	SealKeyWrong     Reason = "SEAL_KEY_WRONG"

	// Calls.
	NoRunner         Reason = "NO_RUNNER"
	RunnerLost       Reason = "RUNNER_LOST"
	RunnerDraining   Reason = "RUNNER_DRAINING"
	RunnerDisk       Reason = "RUNNER_DISK"
	QueueFull        Reason = "QUEUE_FULL"
	QueueTimeout     Reason = "QUEUE_TIMEOUT"
	GuestError       Reason = "GUEST_ERROR"
	GuestExit        Reason = "GUEST_EXIT"
	GuestTrap        Reason = "GUEST_TRAP"
	GuestTimeout     Reason = "GUEST_TIMEOUT"
	GuestMemory      Reason = "GUEST_MEMORY"
	GuestOutputLimit Reason = "GUEST_OUTPUT_LIMIT"
	GuestCPU         Reason = "GUEST_CPU"
	GuestFuel        Reason = "GUEST_FUEL"
	HostCallLimit    Reason = "HOST_CALL_LIMIT"
	GuestIdle        Reason = "GUEST_IDLE"
	ConcurrencyLimit Reason = "CONCURRENCY_LIMIT"
	StreamsFull      Reason = "STREAMS_FULL"
	StreamBroken     Reason = "STREAM_BROKEN"
	RunnerOutdated   Reason = "RUNNER_OUTDATED"
	EgressBlocked    Reason = "EGRESS_BLOCKED"
	EgressFailed     Reason = "EGRESS_FAILED"
	EgressLimit      Reason = "EGRESS_LIMIT"
	WrongKind        Reason = "WRONG_KIND"
	LaneLimit        Reason = "LANE_LIMIT"

	// The program and its surroundings.
	StoreUnavailable Reason = "STORE_UNAVAILABLE"
	StoreFormat      Reason = "STORE_FORMAT"
	StoreFull        Reason = "STORE_FULL"
	StoreNearlyFull  Reason = "STORE_NEARLY_FULL"
	StoreEmpty       Reason = "STORE_EMPTY"
	StoreNotEmpty    Reason = "STORE_NOT_EMPTY"
	StoreRestoring   Reason = "STORE_RESTORING"
	StoreMigrating   Reason = "STORE_MIGRATING"
	BackupInvalid    Reason = "BACKUP_INVALID"
	SameStore        Reason = "SAME_STORE"
	StoreNoQuorum    Reason = "STORE_NO_QUORUM"
	StoreAlone       Reason = "STORE_ALONE"
	StoreExternal    Reason = "STORE_EXTERNAL"
	MemberNotFound   Reason = "MEMBER_NOT_FOUND"
	MemberRemoved    Reason = "MEMBER_REMOVED"
	MemberBusy       Reason = "MEMBER_BUSY"
	QuorumAtRisk     Reason = "QUORUM_AT_RISK"
	DataDir          Reason = "DATA_DIR"
	DataDirInUse     Reason = "DATA_DIR_IN_USE"
	DataDirLost      Reason = "DATA_DIR_LOST"
	DataDirReadOnly  Reason = "DATA_DIR_READ_ONLY"
	PortInUse        Reason = "PORT_IN_USE"
	CoreUnreachable  Reason = "CORE_UNREACHABLE"
	ClusterMismatch  Reason = "CLUSTER_MISMATCH"
	LaneProtocol     Reason = "LANE_PROTOCOL"
	CoreBehind       Reason = "CORE_BEHIND"
	StoreBehind      Reason = "STORE_BEHIND"
	ProfileNotFound  Reason = "PROFILE_NOT_FOUND"
	ConfigInvalid    Reason = "CONFIG_INVALID"
	BuildFailed      Reason = "BUILD_FAILED"
	CasesFailed      Reason = "CASES_FAILED"
)

// row is what a reason determines.
type row struct {
	code Code
	exit int
	text string // the meaning, for documents
}

// The tables of reasons, by what the reasons are about. A reason has one row in
// one of them. `make references` writes them to docs/reference/reasons.md.

var general = map[Reason]row{
	Internal:      {CodeInternal, ExitFailure, "a bug, or a failure of the machine; the log has more under the id in the message"},
	Unimplemented: {CodeUnimplemented, ExitFailure, "this version does not offer what was asked for"},
	Canceled:      {CodeCanceled, ExitInterrupted, "the caller canceled the request"},
	Deadline:      {CodeDeadlineExceeded, ExitUnavailable, "the caller's deadline passed"},
}

var requests = map[Reason]row{
	RequestInvalid: {CodeInvalidArgument, ExitInvalid, "a request violates the rules of its message"},
	InputInvalid:   {CodeInvalidArgument, ExitInvalid, "the input of a service does not match its schema"},
	InputTooLarge:  {CodeResourceExhausted, ExitLimit, "the input is larger than its limit"},
	InputBroken:    {CodeInvalidArgument, ExitInvalid, "the input ended before its announced length, or could not be sent to the runner"},
}

var port = map[Reason]row{
	RequestTooSlow:   {CodeDeadlineExceeded, ExitUnavailable, "a request was sent too slowly"},
	ServerBusy:       {CodeResourceExhausted, ExitUnavailable, "the server has reached its limit of requests, bodies or unread answers"},
	ClusterMismatch:  {CodeFailedPrecondition, ExitConflict, "the runner, the client or the member of the store means another cluster"},
	LaneProtocol:     {CodeInvalidArgument, ExitConflict, "runner and core have no number of the lane protocol in common: one of them is too old"},
	HostNotAllowed:   {CodePermissionDenied, ExitDenied, "the server does not answer to the host name in the request"},
	OriginNotAllowed: {CodePermissionDenied, ExitDenied, "a web page of another origin sent the request"},
}

var missing = map[Reason]row{
	NotFound:          {CodeNotFound, ExitNotFound, "something without a reason of its own does not exist"},
	ServiceNotFound:   {CodeNotFound, ExitNotFound, "the service does not exist"},
	DecoratorNotFound: {CodeNotFound, ExitNotFound, "the decorator does not exist"},
	RevisionNotFound:  {CodeNotFound, ExitNotFound, "the service or decorator has no such revision"},
	ModuleNotFound:    {CodeNotFound, ExitNotFound, "the module was not uploaded"},
}

var leadership = map[Reason]row{
	CoreNotFound:   {CodeNotFound, ExitNotFound, "the core does not exist"},
	JobNotFound:    {CodeNotFound, ExitNotFound, "the job does not exist"},
	NoLeader:       {CodeUnavailable, ExitUnavailable, "no core leads the cluster at present"},
	NotLeader:      {CodeFailedPrecondition, ExitConflict, "only the leader does what was asked for, and another core leads"},
	LeadershipLost: {CodeAborted, ExitConflict, "the core does not lead the cluster any more; what it was about to write was not written"},
	NoSuccessor:    {CodeFailedPrecondition, ExitConflict, "the leadership was not taken over as asked for"},
}

var resources = map[Reason]row{
	AlreadyExists:    {CodeAlreadyExists, ExitConflict, "a resource of this name exists"},
	Conflict:         {CodeAborted, ExitConflict, "somebody else changed the resource in the meantime"},
	DecoratorInUse:   {CodeFailedPrecondition, ExitConflict, "services use the decorator, so it cannot be deleted"},
	DecoratorInvalid: {CodeInvalidArgument, ExitInvalid, "the decorator is not valid"},
	SchemaInvalid:    {CodeInvalidArgument, ExitInvalid, "the schema is not a valid JSON Schema"},
	SchemaRemoteRef:  {CodeInvalidArgument, ExitInvalid, "the schema refers to a document outside of itself"},
	SchemaLimit:      {CodeInvalidArgument, ExitLimit, "the schema is too expensive to compile or to check"},
}

var changes = map[Reason]row{
	DecoratorBreaksServices: {CodeFailedPrecondition, ExitConflict, "services that carry the decorator could not run with the change"},
	DecoratorUnchecked:      {CodeFailedPrecondition, ExitConflict, "more services carry the decorator than can be checked before a change, or than could be in time"},
}

var modules = map[Reason]row{
	UploadTooLarge:     {CodeResourceExhausted, ExitLimit, "the upload is larger than its limit"},
	UploadIncomplete:   {CodeInvalidArgument, ExitInvalid, "the upload ended early; nothing was stored"},
	UploadBusy:         {CodeResourceExhausted, ExitLimit, "the core has reached its limit of uploads in progress"},
	DigestMismatch:     {CodeInvalidArgument, ExitInvalid, "the uploaded bytes do not have the announced digest"},
	Integrity:          {CodeDataLoss, ExitFailure, "stored or transferred data is damaged"},
	NotAModule:         {CodeInvalidArgument, ExitInvalid, "the file is not a WebAssembly module"},
	Malformed:          {CodeInvalidArgument, ExitInvalid, "the module is damaged"},
	Component:          {CodeInvalidArgument, ExitInvalid, "the file is a WebAssembly component, not a core module"},
	WasmLimit:          {CodeInvalidArgument, ExitLimit, "the module exceeds a limit"},
	WasmLimitMemory:    {CodeInvalidArgument, ExitLimit, "the module needs more memory than its limit"},
	WasmUnsupported:    {CodeInvalidArgument, ExitInvalid, "the module uses a WebAssembly feature that is not supported"},
	WasmReservedName:   {CodeInvalidArgument, ExitInvalid, "the module uses a name that Ruedo reserves"},
	ImportNotAllowed:   {CodeInvalidArgument, ExitInvalid, "the module imports a function that services must not call"},
	ExportsMissing:     {CodeInvalidArgument, ExitInvalid, "the module does not export what its kind must export"},
	ABIMismatch:        {CodeInvalidArgument, ExitInvalid, "the module was built for another version of the guest contract"},
	CompileFailed:      {CodeInvalidArgument, ExitInvalid, "the module is not valid, or the compiler cannot compile it"},
	CompileTimeout:     {CodeUnavailable, ExitUnavailable, "compiling the module takes longer than its limit; a runner that is less busy may succeed"},
	CompileMemory:      {CodeResourceExhausted, ExitLimit, "compiling the module takes more memory than its limit"},
	PrepareFailed:      {CodeFailedPrecondition, ExitConflict, "no runner could prepare the service"},
	PrepareUnavailable: {CodeUnavailable, ExitUnavailable, "no runner could prepare the service in time; trying again may help"},
}

var moduleLimits = map[Reason]row{
	WasmLimitTypes:      {CodeInvalidArgument, ExitLimit, "the module has too many types"},
	WasmLimitFunctions:  {CodeInvalidArgument, ExitLimit, "the module has too many functions"},
	WasmLimitGlobals:    {CodeInvalidArgument, ExitLimit, "the module has too many globals"},
	WasmLimitTable:      {CodeInvalidArgument, ExitLimit, "the tables of the module are too large"},
	WasmLimitBody:       {CodeInvalidArgument, ExitLimit, "a function of the module is too long"},
	WasmLimitLocals:     {CodeInvalidArgument, ExitLimit, "a function of the module has too many locals"},
	WasmLimitNesting:    {CodeInvalidArgument, ExitLimit, "a function of the module nests too deeply"},
	WasmLimitBrTable:    {CodeInvalidArgument, ExitLimit, "a br_table of the module has too many targets"},
	WasmLimitComplexity: {CodeInvalidArgument, ExitLimit, "a function of the module is too complex to compile"},
}

var calls = map[Reason]row{
	NoRunner:         {CodeUnavailable, ExitUnavailable, "no runner is ready for the service"},
	RunnerLost:       {CodeUnavailable, ExitUnavailable, "the connection to the runner broke"},
	RunnerDraining:   {CodeUnavailable, ExitUnavailable, "the runner is stopping and does not accept new calls"},
	RunnerDisk:       {CodeUnavailable, ExitUnavailable, "the runner cannot write to its disk"},
	QueueFull:        {CodeResourceExhausted, ExitLimit, "too many calls are in flight or queued"},
	QueueTimeout:     {CodeUnavailable, ExitUnavailable, "the turn of the call did not come in time, or would not have"},
	GuestError:       {CodeUnknown, ExitGuestError, "the service returned an error"},
	GuestExit:        {CodeUnknown, ExitGuestError, "the service exited"},
	GuestTrap:        {CodeUnknown, ExitGuestTrap, "the service trapped"},
	GuestTimeout:     {CodeDeadlineExceeded, ExitGuestLimit, "the service took longer than its limit"},
	GuestMemory:      {CodeResourceExhausted, ExitGuestLimit, "the service needed more memory than its limit"},
	GuestOutputLimit: {CodeResourceExhausted, ExitGuestLimit, "the output of the service is larger than its limit"},
	GuestCPU:         {CodeResourceExhausted, ExitGuestLimit, "the service used more processor time than its limit"},
	GuestFuel:        {CodeResourceExhausted, ExitGuestLimit, "the service did more work than its limit"},
	GuestIdle:        {CodeDeadlineExceeded, ExitGuestLimit, "the service moved no byte for longer than its limit"},
	HostCallLimit:    {CodeResourceExhausted, ExitGuestLimit, "the service called the host more often than its limit"},
	StreamsFull:      {CodeResourceExhausted, ExitLimit, "too many calls of services that serve HTTP are open"},
	StreamBroken:     {CodeUnavailable, ExitUnavailable, "what streams in a call broke off between core and runner"},
	RunnerOutdated:   {CodeFailedPrecondition, ExitConflict, "the runner is too old for a service of this kind"},
	ConcurrencyLimit: {CodeResourceExhausted, ExitLimit, "the runner executes as many calls of the service as its limit allows"},
	EgressBlocked:    {CodePermissionDenied, ExitDenied, "the service may not connect to what it asked for"},
	EgressFailed:     {CodeUnavailable, ExitUnavailable, "what the service connects to cannot be reached"},
	EgressLimit:      {CodeResourceExhausted, ExitGuestLimit, "the service opened more connections, or moved more bytes over them, than it may"},
	WrongKind:        {CodeFailedPrecondition, ExitInvalid, "the service is of another kind: a function is called with an input, a service of kind http is sent requests"},
}

var access = map[Reason]row{
	Unauthenticated:  {CodeUnauthenticated, ExitDenied, "the request shows no credential that is good, and not everybody may do this"},
	PermissionDenied: {CodePermissionDenied, ExitDenied, "the caller may not do this"},
	StaleAccess:      {CodeUnavailable, ExitUnavailable, "the core has not heard from the store for so long that it cannot tell who may do what"},
	GrantInvalid:     {CodeInvalidArgument, ExitInvalid, "a grant is not a verb, a noun and a pattern"},
	GrantExceeds:     {CodePermissionDenied, ExitDenied, "somebody would be given more than the caller holds"},
	UserNotFound:     {CodeNotFound, ExitNotFound, "the user does not exist"},
	RoleNotFound:     {CodeNotFound, ExitNotFound, "the role does not exist"},
	RoleInUse:        {CodeFailedPrecondition, ExitConflict, "users have the role, so it cannot be deleted"},
	LastAdmin:        {CodeFailedPrecondition, ExitConflict, "nobody would be left who may do everything"},
	TokenNotFound:    {CodeNotFound, ExitNotFound, "the token does not exist"},
	TokenInvalid:     {CodeInvalidArgument, ExitInvalid, "a text is not a token or a link: it is cut off or mistyped"},
	TokenUsed:        {CodeFailedPrecondition, ExitConflict, "the invite was used already"},
	PasswordWeak:     {CodeInvalidArgument, ExitInvalid, "the password is too short, or too easy to guess"},
	LoginLimit:       {CodeResourceExhausted, ExitLimit, "too many attempts to log in"},
	PrincipalLimit:   {CodeResourceExhausted, ExitLimit, "the cluster has as many users, roles, tokens or links as it can have"},
	AuditBroken:      {CodeDataLoss, ExitFailure, "records of the audit were changed or removed"},
}

var trust = map[Reason]row{
	PinMismatch:      {CodeFailedPrecondition, ExitDenied, "the core is not of the cluster that the link or the profile is for"},
	AuthorityUnknown: {CodeFailedPrecondition, ExitDenied, "nothing says that the certificate of the core can be believed"},
	PlaintextRefused: {CodeFailedPrecondition, ExitDenied, "a secret would be sent without TLS, or to another host than it is for"},
	SealKeyMissing:   {CodeFailedPrecondition, ExitConflict, "the key that opens the secrets of the cluster is not there"},
	SealKeyWrong:     {CodeFailedPrecondition, ExitConflict, "the key that should open the secrets of the cluster does not"},
}

var runners = map[Reason]row{
	PlanNotFound:   {CodeNotFound, ExitNotFound, "the core does not know the plan that a runner asked for"},
	RunnerNotFound: {CodeNotFound, ExitNotFound, "the runner does not exist"},
	RunnerCordoned: {CodeFailedPrecondition, ExitConflict, "somebody else has cordoned the runner"},
	CordonLimit:    {CodeResourceExhausted, ExitLimit, "the cluster has too many cordons"},
	RunnerLimit:    {CodeResourceExhausted, ExitLimit, "the cluster has as many runners as its limit allows"},
	LaneLimit:      {CodeResourceExhausted, ExitLimit, "the core, or one address, has too many lanes"},
}

var program = map[Reason]row{
	Usage:            {CodeInvalidArgument, ExitUsage, "a CLI command was used incorrectly"},
	StoreUnavailable: {CodeUnavailable, ExitUnavailable, "the store does not answer"},
	StoreFormat:      {CodeFailedPrecondition, ExitConflict, "the store was written by another version of Ruedo"},
	StoreFull:        {CodeResourceExhausted, ExitLimit, "the store has no space left"},
	StoreNearlyFull:  {CodeResourceExhausted, ExitLimit, "the store has used most of its quota; this is a warning, and writes go on"},
	StoreNoQuorum:    {CodeUnavailable, ExitUnavailable, "more than half of the store's members are needed for a write, and fewer answer"},
	StoreAlone:       {CodeFailedPrecondition, ExitConflict, "the embedded store listens for no other members"},
	StoreExternal:    {CodeFailedPrecondition, ExitConflict, "the store is an etcd of its own, which its own tools manage"},
	MemberNotFound:   {CodeNotFound, ExitNotFound, "the store has no member of that name or id"},
	MemberRemoved:    {CodeFailedPrecondition, ExitConflict, "the member was removed from the store, so its data is stale"},
	MemberBusy:       {CodeUnavailable, ExitUnavailable, "the member cannot do that yet; the same request can succeed a moment later"},
	QuorumAtRisk:     {CodeFailedPrecondition, ExitConflict, "the change would leave the store without enough members for a write"},
	StoreEmpty:       {CodeFailedPrecondition, ExitConflict, "the store lost its data"},
	StoreNotEmpty:    {CodeFailedPrecondition, ExitConflict, "a backup would replace what the store has"},
	StoreRestoring:   {CodeUnavailable, ExitUnavailable, "the store is being restored, or a restore was interrupted"},
	StoreMigrating:   {CodeUnavailable, ExitUnavailable, "the store is being migrated to a newer format, or a migration was interrupted"},
	BackupInvalid:    {CodeInvalidArgument, ExitInvalid, "a backup is cut off, damaged, or none"},
	SameStore:        {CodeFailedPrecondition, ExitConflict, "a store would be migrated onto itself"},
	DataDir:          {CodeInternal, ExitFailure, "a directory or a file of the program cannot be used"},
	DataDirInUse:     {CodeFailedPrecondition, ExitConflict, "another process uses the data directory"},
	DataDirLost:      {CodeFailedPrecondition, ExitConflict, "the data directory disappeared while it was in use"},
	DataDirReadOnly:  {CodeFailedPrecondition, ExitConflict, "the data directory became read-only while it was in use"},
	PortInUse:        {CodeFailedPrecondition, ExitConflict, "another process listens on the port"},
	CoreUnreachable:  {CodeUnavailable, ExitUnavailable, "no core answers"},
	CoreBehind:       {CodeUnavailable, ExitUnavailable, "the core has not seen yet what the caller has written; trying again, or at another core, helps"},
	StoreBehind:      {CodeFailedPrecondition, ExitConflict, "the store lacks what the caller has written: it was restored from an older copy"},
	ProfileNotFound:  {CodeNotFound, ExitNotFound, "there is no profile of this name on this machine"},
	ConfigInvalid:    {CodeInvalidArgument, ExitUsage, "a setting is not valid"},
	BuildFailed:      {CodeInternal, ExitFailure, "the service could not be built"},
	CasesFailed:      {CodeFailedPrecondition, ExitFailure, "calls of a check returned something else than expected"},
}

// area is reasons that are about one thing.
type area struct {
	title string
	rows  map[Reason]row
	// calls says that a call can fail for them.
	calls bool
}

// areas are all tables, in the order of documents.
var areas = []area{
	{"Calls", calls, true},
	{"Requests", requests, true},
	{"The port", port, true},
	{"What does not exist", missing, true},
	{"Who may do what", access, true},
	{"Whom to believe", trust, false},
	{"Resources", resources, false},
	{"Changes of decorators", changes, false},
	{"Modules", modules, false},
	{"Limits of modules", moduleLimits, false},
	{"Runners", runners, false},
	{"The leader", leadership, false},
	{"The program and its surroundings", program, false},
	{"Everything else", general, true},
}

// table is all of them.
var table = func() map[Reason]row {
	all := make(map[Reason]row)
	for _, a := range areas {
		maps.Copy(all, a.rows)
	}
	return all
}()

func rowOf(r Reason) row {
	if known, ok := table[r]; ok {
		return known
	}
	return table[Internal]
}

// Known reports whether a request can fail with r. Other processes may send
// words that are not in the table.
func (r Reason) Known() bool { return r == Internal || rowOf(r).code != CodeInternal }

// Code returns the code of a reason.
func (r Reason) Code() Code { return rowOf(r).code }

// ExitCode returns the exit code that the CLI ends with.
func (r Reason) ExitCode() int { return rowOf(r).exit }

// Meaning returns what a reason means, for documents.
func (r Reason) Meaning() string { return rowOf(r).text }

// Area is reasons that are about one thing, in the order of the alphabet.
type Area struct {
	Title   string
	Reasons []Reason
	// Calls says that calls of services can fail for them.
	Calls bool
}

// Areas returns all reasons.
func Areas() []Area {
	var list []Area
	for _, a := range areas {
		list = append(list, Area{a.title, slices.Sorted(maps.Keys(a.rows)), a.calls})
	}
	return list
}

// OfGuest reports whether the guest itself is the cause: it failed, trapped or
// exceeded a limit, and would do so on any runner.
func (r Reason) OfGuest() bool {
	switch r.ExitCode() {
	case ExitGuestError, ExitGuestTrap, ExitGuestLimit:
		return true
	}
	return false
}
