package hostcall

import (
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Request is what goes into a call.
type Request struct {
	// ID and ContentType can be read by the guest; they may be empty.
	ID, ContentType string
	// Input is not changed and not kept after the call.
	Input []byte
	// MaxOutput and MaxLogs are the limits of what comes out, in bytes.
	MaxOutput, MaxLogs int64
}

// Call is what goes into one call, by Init, and what has come out of it so far.
type Call struct {
	// Output so far.
	Output []byte
	// ContentType that the guest set, or "".
	ContentType string
	// Excess is the size of an output that was refused because it was over the limit,
	// or 0.
	Excess int64
	// Failure is what the guest said about its failure, or nil.
	Failure *Failure

	input       []byte // what is not read yet, of size bytes
	size        int
	maxOutput   int64
	head        []byte // what is not read yet
	headWritten bool
	outputBegun bool
	logs        logs
	out, err    stream
}

// Failure is what a guest said about its failure.
type Failure struct {
	Code    fault.Code
	Message string
}

// Init prepares a zero Call. It fills the call in place, as a copy would cost each
// call some percent.
func (c *Call) Init(req *Request) {
	c.input, c.size, c.maxOutput, c.logs.limit = req.Input, len(req.Input), req.MaxOutput, req.MaxLogs
	if req.ID != "" {
		c.head = abi.AppendField(c.head, abi.HeadCallID, req.ID)
	}
	if req.ContentType != "" {
		c.head = abi.AppendField(c.head, abi.HeadContentType, req.ContentType)
	}
}

// Finish ends what the guest has said, after it returned.
func (c *Call) Finish() {
	c.out.flush(&c.logs)
	c.err.flush(&c.logs)
	c.logs.finish()
}

// InputSize returns the size of the whole input in bytes.
func (c *Call) InputSize() int { return c.size }

// Logs returns whole lines, after Finish: what the guest logged and printed, in
// order, as far as the limit allows.
func (c *Call) Logs() []byte { return c.logs.text }

// LogsDropped returns how many bytes of the logs were dropped.
func (c *Call) LogsDropped() int64 { return c.logs.dropped }

// write appends to the output. It returns false, once, if that is too much; a
// guest that goes on writing is stopped.
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
