// Package abi holds the names and numbers of the contract between a guest and
// its host. The sandbox and the SDK both import it, so that they cannot drift
// apart; docs/abi.md explains it for other languages.
package abi

// Version is the version of the contract. A guest declares it by exporting a
// function named [Marker], so that it can be read without running anything.
const Version = 1

// Marker is the export that declares Version. MarkerPrefix followed by another
// number declares another version.
const (
	MarkerPrefix = "ruedo_abi_"
	Marker       = "ruedo_abi_1"
)

// MarkerHTTP is the export of a guest of kind http, next to Marker: a call is an
// exchange of HTTP. It is never called.
const MarkerHTTP = "ruedo_http"

// Exports of a function guest. Initialize and Warm are optional.
const (
	ExportMemory     = "memory"
	ExportInitialize = "_initialize"
	ExportWarm       = "ruedo_warm"
	ExportCall       = "ruedo_call"
)

// MaxInformational is how many informational heads an answer can have. Together,
// they have at most as many bytes as one head.
const MaxInformational = 64

// ExportStart is the entry of a command.
const ExportStart = "_start"

// HostModule is the import module of the host functions below; WASIModule is
// the only other one that a guest may import from.
const (
	HostModule = "ruedo"
	WASIModule = "wasi_snapshot_preview1"
)

// Host functions. Pointers and lengths are i32. A negative result is one of the
// Err numbers.
const (
	// ImportInputSize is () -> i64: returns the size of the input in bytes; -1 if it
	// streams.
	ImportInputSize = "input_size"
	// ImportInputRead is (ptr, cap) -> i32: reads the next bytes of the input; 0
	// means its end.
	ImportInputRead = "input_read"
	// ImportOutputWrite is (ptr, len) -> i32: appends to the output.
	ImportOutputWrite = "output_write"
	// ImportHeadRead is (ptr, cap) -> i32: reads the next bytes of the request
	// head.
	ImportHeadRead = "head_read"
	// ImportHeadWrite is (ptr, len) -> i32: sets the response head, in one piece,
	// before the first byte of output.
	ImportHeadWrite = "head_write"
	// ImportFail is (code, ptr, len): makes the call fail with a Connect code
	// and a message.
	ImportFail = "fail"
	// ImportLog is (level, ptr, len): writes one log line; level as in log/slog.
	ImportLog = "log"

	// A stream is a descriptor of WASI: fd_read, fd_write, fd_close, sock_shutdown,
	// fd_fdstat_set_flags and poll_oneoff work with it.

	// ImportBodyOpen is () -> i32: returns the descriptor of the call itself. Reading
	// is the request's body, writing the answer's.
	ImportBodyOpen = "body_open"
	// ImportOutputFlush is () -> i32: what was written is to go to the caller.
	ImportOutputFlush = "output_flush"
	// ImportTrailersWrite is (ptr, len) -> i32: sets the trailers of the answer.
	ImportTrailersWrite = "trailers_write"
	// ImportStreamOpen is (ptr, len) -> i32: begins an outbound stream from a head and
	// returns its descriptor.
	ImportStreamOpen = "stream_open"
	// ImportStreamHead is (fd, part, ptr, cap) -> i32: reads the next bytes of a
	// stream's head (part 0) or trailers (part 1).
	ImportStreamHead = "stream_head"
)

// HostImports lists every function of HostModule.
func HostImports() []string {
	return []string{
		ImportInputSize, ImportInputRead, ImportOutputWrite, ImportHeadRead, ImportHeadWrite, ImportFail, ImportLog,
		ImportBodyOpen, ImportOutputFlush, ImportTrailersWrite, ImportStreamOpen, ImportStreamHead,
	}
}

// Errors of host functions.
const (
	// ErrFault: a pointer or a length lies outside the guest's memory.
	ErrFault = -1
	// ErrLimit: the call's output exceeds its limit, or too many streams are open.
	ErrLimit = -2
	// ErrState: not possible now, such as a head after the first byte.
	ErrState = -3
	// ErrInvalid: a malformed head.
	ErrInvalid = -4
	// ErrAgain: not there yet; wait with poll_oneoff.
	ErrAgain = -5
	// ErrBroken: the other side of a stream is gone.
	ErrBroken = -6
)

// Fields of a request head and a response head.
const (
	HeadCallID      = ":call-id"
	HeadCaller      = ":caller" // who calls, such as user/ada; at most MaxCaller bytes
	HeadContentType = "content-type"
)

// MaxCaller is how many bytes the name of a caller can have.
const MaxCaller = 256

// Fields of the heads of kind http. A request also has fields of HTTP, in lower
// case. An answer's head has HeadStatus and fields in any case.
const (
	HeadMethod    = ":method"
	HeadPath      = ":path" // as sent, with the query
	HeadAuthority = ":authority"
	HeadScheme    = ":scheme"
	HeadProto     = ":proto"   // such as HTTP/2.0
	HeadRemote    = ":remote"  // address of the caller
	HeadTimeout   = ":timeout" // in nanoseconds
	HeadStatus    = ":status"
)

// Fields of the head of an outbound stream, next to HeadMethod, and of its answer,
// next to HeadStatus and HeadRemote.
const (
	HeadURL     = ":url"
	HeadLength  = ":length" // of the body in bytes; -1: it streams, 0: there is none
	HeadLocal   = ":local"
	HeadError   = ":error" // a reason
	HeadMessage = ":message"
)

// A head is a sequence of pairs, each a key and a value, each of these a
// little-endian uint32 length and that many bytes.

// AppendField appends one pair to a head.
func AppendField(head []byte, key, value string) []byte {
	head = appendString(head, key)
	return appendString(head, value)
}

// FieldSize returns how many bytes AppendField appends.
func FieldSize(key, value string) int { return 8 + len(key) + len(value) }

// NextField splits the first pair off a head. ok is false at its end and if the
// head is malformed; in the latter case rest is not empty.
func NextField(head []byte) (key, value string, rest []byte, ok bool) {
	k, v, rest, ok := CutField(head)
	return string(k), string(v), rest, ok
}

// CutField is [NextField], and copies nothing: key and value are parts of head.
func CutField[T string | []byte](head T) (key, value, rest T, ok bool) {
	k, r, ok := cutString(head)
	if !ok {
		return key, value, head, false
	}
	v, r, ok := cutString(r)
	if !ok {
		return key, value, head, false
	}
	return k, v, r, true
}

func appendString(b []byte, s string) []byte {
	n := len(s)
	b = append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	return append(b, s...)
}

func cutString[T string | []byte](b T) (s, rest T, ok bool) {
	if len(b) < 4 {
		return s, rest, false
	}
	n := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24
	if n > uint64(len(b)-4) {
		return s, rest, false
	}
	return b[4 : 4+n], b[4+n:], true
}
