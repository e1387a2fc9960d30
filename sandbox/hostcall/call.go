package hostcall

import (
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Request is the input of a call.
type Request struct {
	// ID and ContentType can be read by the guest; they may be empty.
	ID, ContentType string
	// Input is neither changed nor retained after the call.
	Input []byte
	// MaxOutput and MaxLogs bound the output and the logs, in bytes.
	MaxOutput, MaxLogs int64
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
	logs        logs
	out, err    stream
	absent      absent
}

// Failure is a guest's description of its failure.
type Failure struct {
	Code    fault.Code
	Message string
}

// Init prepares a zero Call. It fills the call in place, because a copy would
// cost each call some percent.
func (c *Call) Init(req *Request) {
	c.input, c.size, c.maxOutput, c.logs.limit = req.Input, len(req.Input), req.MaxOutput, req.MaxLogs
	if req.ID != "" {
		c.head = abi.AppendField(c.head, abi.HeadCallID, req.ID)
	}
	if req.ContentType != "" {
		c.head = abi.AppendField(c.head, abi.HeadContentType, req.ContentType)
	}
}

// Finish completes the logs after the guest has returned a status or an error. Of
// a call that failed, they end with what it asked for and no guest has.
func (c *Call) Finish(status uint32, err error) {
	c.out.flush(&c.logs)
	c.err.flush(&c.logs)
	c.logs.finish()
	if c.failed(status, err) {
		c.explain()
	}
}

// InputSize returns the size of the whole input in bytes.
func (c *Call) InputSize() int { return c.size }

// Logs returns whole lines, after Finish: what the guest logged and printed, in
// order, up to the limit.
func (c *Call) Logs() []byte { return c.logs.text }

// LogsDropped returns how many bytes of the logs were dropped.
func (c *Call) LogsDropped() int64 { return c.logs.dropped }

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
