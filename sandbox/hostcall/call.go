package hostcall

import (
	"errors"
	"time"

	"github.com/tetratelabs/wazero/sys"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/logs"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// Request is the input of a call.
type Request struct {
	// ID, Caller and ContentType can be read by the guest; they may be empty.
	ID, Caller, ContentType string
	// Input is neither changed nor retained after the call.
	Input []byte
	// MaxOutput and MaxLogs bound the output and the logs, in bytes.
	MaxOutput, MaxLogs int64
	// Head of the request, for kind http. It is not changed.
	Head []byte
	// HTTP says that the call is of kind http.
	HTTP bool
	// Exchange of kind http, or of a call with a body that streams or an opener. Nil
	// costs nothing: such a call gets one, without a network, if it asks for a stream.
	Exchange *stream.Exchange
	// MaxIdle is how long a guest with an Exchange can wait without a byte moving in
	// either direction; 0 means any time.
	MaxIdle time.Duration
}

// Call is the input of one call, set by Init, and its results so far.
type Call struct {
	// Output so far.
	Output []byte
	// ContentType that the guest set, or "".
	ContentType string
	// Excess is the size of an output that was refused because it was over the limit,
	// or 0.
	Excess int64
	// Failure is the guest's description of its failure, or nil.
	Failure *Failure

	input       []byte // not read yet; size is that of the whole input
	size        int
	maxOutput   int64
	head        []byte // not read yet
	headWritten bool
	outputBegun bool
	logs        logs.Logs
	out, err    logs.Printed
	absent      logs.Absent
	exchange    *exchange // nil until there is one
}

// Failure is a guest's description of its failure.
type Failure struct {
	Code    fault.Code
	Message string
}

// Init prepares a zero Call. It fills the call in place, because a copy would
// cost each call some percent.
func (c *Call) Init(req *Request) {
	c.input, c.size, c.maxOutput, c.logs.Limit = req.Input, len(req.Input), req.MaxOutput, req.MaxLogs
	if req.Exchange != nil {
		c.exchange = &exchange{Exchange: req.Exchange, http: req.HTTP, maxIdle: req.MaxIdle}
	}
	fields := [...]struct{ key, value string }{
		{abi.HeadCallID, req.ID}, {abi.HeadCaller, req.Caller}, {abi.HeadContentType, req.ContentType},
	}
	size := len(req.Head)
	for _, f := range fields {
		size += abi.FieldSize(f.key, f.value)
	}
	c.head = append(make([]byte, 0, size), req.Head...)
	for _, f := range fields {
		if f.value != "" {
			c.head = abi.AppendField(c.head, f.key, f.value)
		}
	}
}

// Finish completes the logs after the guest has returned a status or an error. Of
// a call that failed, they end with what it asked for and no guest has.
func (c *Call) Finish(status uint32, err error) {
	c.out.Flush(&c.logs)
	c.err.Flush(&c.logs)
	c.logs.Finish()
	if c.failed(status, err) {
		failure := ""
		if c.Failure != nil {
			failure = c.Failure.Message
		}
		c.logs.Explain(&c.absent, failure)
	}
}

// InputSize returns the size of the whole input in bytes.
func (c *Call) InputSize() int { return c.size }

// Logs returns whole lines, after Finish: what the guest logged and printed, in
// order, up to the limit.
func (c *Call) Logs() []byte { return c.logs.Text }

// LogsDropped returns how many bytes of the logs were dropped.
func (c *Call) LogsDropped() int64 { return c.logs.Dropped }

// write appends to the output. It returns false, once, if that is too much; a
// guest that continues to write is stopped.
func (c *Call) write(p []byte) bool {
	c.outputBegun = true
	if c.Excess > 0 {
		panic(errFlooded)
	}
	if size := int64(len(c.Output)) + int64(len(p)); size > c.maxOutput {
		c.Excess = size
		return false
	}
	c.Output = append(c.Output, p...)
	return true
}

// failed reports whether a call failed, from what its function returned.
func (c *Call) failed(status uint32, err error) bool {
	if exit, ok := errors.AsType[*sys.ExitError](err); ok && exit.ExitCode() == 0 {
		err = nil
	}
	return err != nil || status != 0 || c.Failure != nil || c.Excess > 0
}
