package hostcall

import (
	"bytes"
	"context"
	"log/slog"
	"math"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/logs"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

const (
	// maxMessage bounds a guest's message about its own failure.
	maxMessage = 4 << 10
)

// instantiateContract instantiates the functions of the guest contract.
func instantiateContract(ctx context.Context, r wazero.Runtime) error {
	const i, l = api.ValueTypeI32, api.ValueTypeI64
	pair, one, none := []api.ValueType{i, i}, []api.ValueType{i}, []api.ValueType(nil)
	b := r.NewHostModuleBuilder(abi.HostModule)
	for _, f := range []struct {
		name            string
		fn              func(*Guest, api.Memory, []uint64)
		params, results []api.ValueType
	}{
		{abi.ImportInputSize, inputSize, none, []api.ValueType{l}},
		{abi.ImportInputRead, inputRead, pair, one},
		{abi.ImportOutputWrite, outputWrite, pair, one},
		{abi.ImportHeadRead, headRead, pair, one},
		{abi.ImportHeadWrite, headWrite, pair, one},
		{abi.ImportFail, fail, []api.ValueType{i, i, i}, none},
		{abi.ImportLog, logLine, []api.ValueType{i, i, i}, none},
		{abi.ImportBodyOpen, bodyOpen, none, one},
		{abi.ImportOutputFlush, outputFlush, none, one},
		{abi.ImportTrailersWrite, trailersWrite, pair, one},
		{abi.ImportStreamOpen, streamOpen, pair, one},
		{abi.ImportStreamHead, streamHead, []api.ValueType{i, i, i, i}, one},
	} {
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			f.fn(enter(ctx), m.Memory(), stack)
		}), f.params, f.results).Export(f.name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// i32 arguments arrive with undefined upper halves.
func arg(stack []uint64, i int) uint32 { return uint32(stack[i]) }

func result(stack []uint64, v int32) { stack[0] = uint64(uint32(v)) }

func inputSize(g *Guest, _ api.Memory, stack []uint64) {
	c := g.call
	if c.exchange != nil && c.exchange.Streams() {
		stack[0] = math.MaxUint64 // -1
		return
	}
	stack[0] = uint64(c.size)
}

// inputRead waits if the input streams and nothing has arrived.
func inputRead(g *Guest, mem api.Memory, stack []uint64) {
	c := g.call
	if x := c.exchange; x == nil || x.body == nil && !x.Streams() && !x.Gone() {
		result(stack, copyToGuest(&c.input, mem, arg(stack, 0), arg(stack, 1)))
		return
	}
	to, ok := mem.Read(arg(stack, 0), arg(stack, 1))
	if !ok {
		result(stack, abi.ErrFault)
		return
	}
	result(stack, readBody(g, to))
}

func headRead(g *Guest, mem api.Memory, stack []uint64) {
	result(stack, copyToGuest(&g.call.head, mem, arg(stack, 0), arg(stack, 1)))
}

// copyToGuest moves the next bytes into the guest's memory.
func copyToGuest(from *[]byte, mem api.Memory, ptr, size uint32) int32 {
	to, ok := mem.Read(ptr, size)
	if !ok {
		return abi.ErrFault
	}
	n := copy(to[:min(len(to), math.MaxInt32)], *from)
	*from = (*from)[n:]
	return int32(n)
}

func outputWrite(g *Guest, mem api.Memory, stack []uint64) {
	c := g.call
	p, ok := mem.Read(arg(stack, 0), arg(stack, 1))
	switch {
	case !ok || len(p) > math.MaxInt32:
		result(stack, abi.ErrFault)
	case c.exchange != nil:
		result(stack, writeAnswer(g, p))
	case !c.write(p):
		result(stack, abi.ErrLimit)
	default:
		result(stack, int32(len(p)))
	}
}

// headWrite takes the whole head in one piece. Of a function, it ignores fields
// that this host does not know.
func headWrite(g *Guest, mem api.Memory, stack []uint64) {
	c := g.call
	p, ok := mem.Read(arg(stack, 0), arg(stack, 1))
	switch {
	case !ok:
		result(stack, abi.ErrFault)
		return
	case c.outputBegun || c.headWritten:
		result(stack, abi.ErrState)
		return
	case len(p) > stream.MaxHead:
		result(stack, abi.ErrLimit)
		return
	case c.exchange != nil && c.exchange.http:
		g.meter.Step(len(p))
		result(stack, g.respondHead(p))
		return
	}
	n, contentType := int32(len(p)), ""
	for len(p) > 0 {
		key, value, rest, ok := abi.NextField(p)
		if !ok || !stream.Plain(key) || !stream.Plain(value) {
			result(stack, abi.ErrInvalid)
			return
		}
		if key == abi.HeadContentType {
			contentType = value
		}
		p = rest
	}
	c.ContentType, c.headWritten = contentType, true
	result(stack, n)
}

// respondHead takes the head of an answer of kind http. An informational one is
// handed over, and another head follows it.
func (g *Guest) respondHead(p []byte) int32 {
	c, size := g.call, int32(len(p))
	r, err := stream.CheckResponse(p)
	if err != nil {
		return headError(err)
	}
	p = bytes.Clone(p)
	if !r.Informational() {
		c.exchange.head, c.ContentType, c.headWritten = p, r.ContentType, true
		return size
	}
	taken, ok := c.exchange.Inform(p)
	if !ok {
		return abi.ErrLimit
	}
	if taken != nil {
		g.wait(taken, forever)
	}
	return size
}

// fail records the guest's first description of its failure. The guest
// continues, to clean up; the call has failed whatever the guest returns.
func fail(g *Guest, mem api.Memory, stack []uint64) {
	c := g.call
	code, ptr, size := fault.Code(arg(stack, 0)), arg(stack, 1), arg(stack, 2)
	if c.Failure != nil {
		return
	}
	if !code.Valid() {
		code = fault.CodeUnknown
	}
	c.Failure = &Failure{Code: code, Message: "(the message lies outside of the guest's memory)"}
	if p, ok := mem.Read(ptr, size); ok {
		c.Failure.Message = logs.CleanLines(string(p[:min(len(p), 2*maxMessage)]), maxMessage)
	}
}

// logLine adds a line to the logs. If the message is outside the guest's
// memory, it logs that instead and continues.
func logLine(g *Guest, mem api.Memory, stack []uint64) {
	c := g.call
	level := slog.Level(int32(arg(stack, 0)))
	p, ok := mem.Read(arg(stack, 1), arg(stack, 2))
	if !ok {
		p = []byte("(a message outside of the guest's memory)")
	}
	c.logs.Line(min(max(level, slog.LevelDebug), slog.LevelError+4), p)
}
