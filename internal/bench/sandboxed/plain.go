package sandboxed

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// plain is wazero without Ruedo, with the part of the guest contract that the
// benchmarks' guests need.
type plain struct {
	ctx      context.Context
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
}

// newPlain compiles a module. If closing is set, a guest is stopped when its
// context ends.
func newPlain(ctx context.Context, wasm []byte, closing bool) (*plain, error) {
	config := wazero.NewRuntimeConfig().WithCloseOnContextDone(closing).WithDebugInfoEnabled(false)
	p := &plain{ctx: ctx, runtime: wazero.NewRuntimeWithConfig(ctx, config)}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, p.runtime); err != nil {
		return nil, errors.Join(err, p.close())
	}
	i32 := api.ValueTypeI32
	_, err := p.runtime.NewHostModuleBuilder(abi.HostModule).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(inputRead), []api.ValueType{i32, i32}, []api.ValueType{i32}).Export(abi.ImportInputRead).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(outputWrite), []api.ValueType{i32, i32}, []api.ValueType{i32}).Export(abi.ImportOutputWrite).
		Instantiate(ctx)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	if p.compiled, err = p.runtime.CompileModule(ctx, wasm); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *plain) close() error { return p.runtime.Close(context.WithoutCancel(p.ctx)) }

// exchange is the input and the output of one call.
type exchange struct{ input, output []byte }

type exchangeKey struct{}

func inputRead(ctx context.Context, m api.Module, stack []uint64) {
	x := ctx.Value(exchangeKey{}).(*exchange)
	at, limit := uint32(stack[0]), uint32(stack[1])
	n := min(int(limit), len(x.input))
	if !m.Memory().Write(at, x.input[:n]) {
		panic("the input does not fit")
	}
	x.input = x.input[n:]
	stack[0] = uint64(n)
}

func outputWrite(ctx context.Context, m api.Module, stack []uint64) {
	x := ctx.Value(exchangeKey{}).(*exchange)
	out, ok := m.Memory().Read(uint32(stack[0]), uint32(stack[1]))
	if !ok {
		panic("there is no such output")
	}
	x.output = append(x.output, out...)
	stack[0] = uint64(len(out))
}

// instance is a started module.
type instance struct {
	module api.Module
	call   api.Function
}

// start returns an instance that is ready for calls.
func (p *plain) start(ctx context.Context) (*instance, error) {
	config := wazero.NewModuleConfig().WithName("").WithSysNanosleep().WithStartFunctions(abi.ExportInitialize, abi.ExportWarm)
	m, err := p.runtime.InstantiateModule(ctx, p.compiled, config)
	if err != nil {
		return nil, err
	}
	return &instance{m, m.ExportedFunction(abi.ExportCall)}, nil
}

// answer calls the guest.
func (i *instance) answer(ctx context.Context, input []byte) ([]byte, error) {
	x := exchange{input: input}
	res, err := i.call.Call(context.WithValue(ctx, exchangeKey{}, &x))
	if err != nil {
		return nil, err
	}
	if res[0] != 0 {
		return nil, fmt.Errorf("the guest failed with %d", res[0])
	}
	return x.output, nil
}

// program runs a module as a program.
func (p *plain) program(ctx context.Context, input []byte) ([]byte, error) {
	var out bytes.Buffer
	config := wazero.NewModuleConfig().WithName("").WithArgs("service").WithStdin(bytes.NewReader(input)).WithStdout(&out)
	m, err := p.runtime.InstantiateModule(ctx, p.compiled, config)
	if exit, ok := errors.AsType[*sys.ExitError](err); ok && exit.ExitCode() == 0 {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if m != nil {
		err = m.Close(ctx)
	}
	return out.Bytes(), err
}
