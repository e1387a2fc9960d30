package sandbox

import (
	"context"
	"errors"
	"log/slog"
	"math"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Host functions end a call by panicking with one of these; the runtime hands
// them back as the call's error.
var (
	errStopped = errors.New("the call's time is over")
	errFlooded = errors.New("the output is over its limit")
)

// errTimeout is the cause of a context that ended by the limit of the call.
var errTimeout = errors.New("the limit of time is used up")

// maxHead bounds a response head.
const maxHead = 64 << 10

// maxMessage bounds what a guest says about its own failure.
const maxMessage = 4 << 10

// call is the state of one call, as the host functions see it. Only the
// goroutine that runs the guest touches it.
type call struct {
	ctx    context.Context
	limits Limits

	input    []byte // what is not read yet, of size bytes
	size     int
	head     []byte
	output   []byte
	logs     logs
	out, err stream

	contentType string
	headWritten bool
	began       bool    // output has begun
	over        int64   // size of the output that was refused
	failed      *failed // what the guest said about its failure
}

type failed struct {
	code    uint32
	message string
}

// newCall needs a context that ends with the call.
func newCall(ctx context.Context, l Limits, req Request) *call {
	c := &call{ctx: ctx, limits: l, input: req.Input, size: len(req.Input), logs: logs{limit: l.Logs}}
	c.out.call, c.err.call = c, c
	if req.ID != "" {
		c.head = abi.AppendField(c.head, abi.HeadCallID, req.ID)
	}
	if req.ContentType != "" {
		c.head = abi.AppendField(c.head, abi.HeadContentType, req.ContentType)
	}
	return c
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

func callOf(ctx context.Context) *call {
	return ctx.Value(callKey{}).(*call)
}

// checkpoint ends the call if its time is over.
func (c *call) checkpoint() {
	if c.ctx.Err() != nil {
		panic(errStopped)
	}
}

// write appends to the output. It is false, once, where that is too much; a
// guest that goes on writing is stopped.
func (c *call) write(p []byte) bool {
	c.began = true
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
	case c.began || c.headWritten:
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
	code, ptr, size := arg(stack, 0), arg(stack, 1), arg(stack, 2)
	if c.failed != nil {
		return
	}
	if code < 1 || code > 16 {
		code = 2 // unknown
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
