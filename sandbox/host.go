package sandbox

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Host functions end a call by panicking with one of these; the runtime hands
// them back as the call's error.
var (
	errStopped = errors.New("the call was stopped")
	errFlooded = errors.New("the output is over its limit")
)

// stop is why the host stopped a call.
type stop uint8

const (
	running      stop = iota
	stopTimeout       // the limit of time
	stopDeadline      // the caller's deadline
	stopCanceled      // the caller is gone
	stopCPU
	stopFuel
	stopHostCalls
	stopStack
)

// maxHead bounds a response head.
const maxHead = 64 << 10

// maxMessage bounds what a guest says about its own failure.
const maxMessage = 4 << 10

// call is the state of one call, as the host functions see it. Only the
// goroutine that runs the guest touches it.
type call struct {
	ctx      context.Context // the caller's
	limits   Limits
	began    time.Time
	deadline time.Time // by the limit of time
	stopped  stop
	asked    int // host calls
	steps    int
	cold     bool // it had to wait for a new instance

	input    []byte // what is not read yet, of size bytes
	size     int
	head     []byte
	output   []byte
	logs     logs
	out, err stream

	contentType string
	headWritten bool
	outputBegun bool
	over        int64   // size of the output that was refused
	failed      *failed // what the guest said about its failure
}

type failed struct {
	code    fault.Code
	message string
}

func newCall(ctx context.Context, l Limits, req Request) *call {
	c := &call{ctx: ctx, limits: l, began: time.Now(), input: req.Input, size: len(req.Input), logs: logs{limit: l.Logs}}
	c.deadline = c.began.Add(l.Timeout)
	c.out.call, c.err.call = c, c
	if req.ID != "" {
		c.head = abi.AppendField(c.head, abi.HeadCallID, req.ID)
	}
	if req.ContentType != "" {
		c.head = abi.AppendField(c.head, abi.HeadContentType, req.ContentType)
	}
	return c
}

// stop ends the call: the guest's code is left for good.
func (c *call) stop(why stop) {
	c.stopped = why
	panic(errStopped)
}

// checkpoint is passed in every host function. It ends the call if its time is
// over, or if it has asked too often.
func (c *call) checkpoint() {
	if c.asked++; c.asked > maxHostCalls {
		c.stop(stopHostCalls)
	}
	c.step(0)
}

// stepsPerLook is after how many steps the clock is looked at, which costs more
// than most of them; a guest that computes between them meets it in refuel.
const stepsPerLook = 64

// step is passed in whatever a host function repeats, with the bytes that it is
// about to move: a KiB of them is a step.
func (c *call) step(bytes int) {
	if c.steps += 1 + bytes>>10; c.steps >= stepsPerLook {
		c.steps = 0
		c.checkpointAt(time.Now())
	}
}

// checkpointAt ends the call if its time is over.
func (c *call) checkpointAt(now time.Time) {
	if err := c.ctx.Err(); err != nil {
		c.stop(c.end(err))
	}
	if !now.Before(c.deadline) {
		c.stop(stopTimeout)
	}
}

// end is what the end of the caller's context means.
func (c *call) end(err error) stop {
	if errors.Is(err, context.DeadlineExceeded) {
		return stopDeadline
	}
	return stopCanceled
}

// close ends what the call has said. The guest has returned.
func (c *call) close() {
	c.out.flush()
	c.err.flush()
	c.logs.finish()
}

// write appends to the output. It is false, once, where that is too much; a
// guest that goes on writing is stopped.
func (c *call) write(p []byte) bool {
	c.outputBegun = true
	if c.over > 0 {
		panic(errFlooded)
	}
	if size := int64(len(c.output)) + int64(len(p)); size > c.limits.Output {
		c.over = size
		return false
	}
	c.output = append(c.output, p...)
	return true
}

// hostModule instantiates the functions of the guest contract.
func hostModule(ctx context.Context, r wazero.Runtime) error {
	const i, l = api.ValueTypeI32, api.ValueTypeI64
	pair, one, none := []api.ValueType{i, i}, []api.ValueType{i}, []api.ValueType(nil)
	b := r.NewHostModuleBuilder(abi.HostModule)
	for _, f := range []struct {
		name            string
		fn              func(*call, api.Memory, []uint64)
		params, results []api.ValueType
	}{
		{abi.ImportInputSize, inputSize, none, []api.ValueType{l}},
		{abi.ImportInputRead, inputRead, pair, one},
		{abi.ImportOutputWrite, outputWrite, pair, one},
		{abi.ImportHeadRead, headRead, pair, one},
		{abi.ImportHeadWrite, headWrite, pair, one},
		{abi.ImportFail, fail, []api.ValueType{i, i, i}, none},
		{abi.ImportLog, logLine, []api.ValueType{i, i, i}, none},
	} {
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			c := callOf(ctx)
			c.checkpoint()
			f.fn(c, m.Memory(), stack)
		}), f.params, f.results).Export(f.name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// i32 arguments arrive with anything in their upper half.
func arg(stack []uint64, i int) uint32 { return uint32(stack[i]) }

func result(stack []uint64, v int32) { stack[0] = uint64(uint32(v)) }

func inputSize(c *call, _ api.Memory, stack []uint64) {
	stack[0] = uint64(c.size)
}

func inputRead(c *call, mem api.Memory, stack []uint64) {
	result(stack, take(&c.input, mem, arg(stack, 0), arg(stack, 1)))
}

func headRead(c *call, mem api.Memory, stack []uint64) {
	result(stack, take(&c.head, mem, arg(stack, 0), arg(stack, 1)))
}

// take moves the next bytes into the guest's memory.
func take(from *[]byte, mem api.Memory, ptr, size uint32) int32 {
	to, ok := mem.Read(ptr, size)
	if !ok {
		return abi.ErrFault
	}
	n := copy(to[:min(len(to), math.MaxInt32)], *from)
	*from = (*from)[n:]
	return int32(n)
}

func outputWrite(c *call, mem api.Memory, stack []uint64) {
	p, ok := mem.Read(arg(stack, 0), arg(stack, 1))
	switch {
	case !ok || len(p) > math.MaxInt32:
		result(stack, abi.ErrFault)
	case !c.write(p):
		result(stack, abi.ErrLimit)
	default:
		result(stack, int32(len(p)))
	}
}

// headWrite takes the whole head at once. Fields that this host does not know
// are left out.
func headWrite(c *call, mem api.Memory, stack []uint64) {
	p, ok := mem.Read(arg(stack, 0), arg(stack, 1))
	switch {
	case !ok:
		result(stack, abi.ErrFault)
		return
	case c.outputBegun || c.headWritten:
		result(stack, abi.ErrState)
		return
	case len(p) > maxHead:
		result(stack, abi.ErrLimit)
		return
	}
	n, contentType := int32(len(p)), ""
	for len(p) > 0 {
		key, value, rest, ok := abi.NextField(p)
		if !ok || !token(key) || !token(value) {
			result(stack, abi.ErrInvalid)
			return
		}
		if key == abi.HeadContentType {
			contentType = value
		}
		p = rest
	}
	c.contentType, c.headWritten = contentType, true
	result(stack, n)
}

// token is what can stand in an HTTP header without harm.
func token(s string) bool {
	if len(s) > 8<<10 {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// fail keeps the first thing that the guest says about its failure. The guest
// goes on, to clean up; the call has failed whatever it answers.
func fail(c *call, mem api.Memory, stack []uint64) {
	code, ptr, size := fault.Code(arg(stack, 0)), arg(stack, 1), arg(stack, 2)
	if c.failed != nil {
		return
	}
	if !code.Valid() {
		code = fault.CodeUnknown
	}
	c.failed = &failed{code: code, message: "(the message lies outside of the guest's memory)"}
	if p, ok := mem.Read(ptr, size); ok {
		c.failed.message = clean(string(p[:min(len(p), 2*maxMessage)]), maxMessage)
	}
}

// logLine ignores a message outside of the guest's memory but for saying so.
func logLine(c *call, mem api.Memory, stack []uint64) {
	level := slog.Level(int32(arg(stack, 0)))
	p, ok := mem.Read(arg(stack, 1), arg(stack, 2))
	if !ok {
		p = []byte("(a message outside of the guest's memory)")
	}
	c.logs.line(min(max(level, slog.LevelDebug), slog.LevelError+4), p)
}
