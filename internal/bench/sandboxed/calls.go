package sandboxed

import (
	"context"
	"errors"
	"fmt"

	"github.com/ruedo-dev/ruedo/internal/bench/contest"
	"github.com/ruedo-dev/ruedo/internal/bench/guests"
	"github.com/ruedo-dev/ruedo/sandbox"
)

const (
	input  = `{"name":"Ada"}`
	output = `{"greeting":"Hello, Ada!"}`
)

// calls: what does one call cost, by language of the guest and isolation?
//
//	warm           plain wazero, one instance for all calls, nothing stops it: the floor
//	closing        the same with WithCloseOnContextDone, the usual way to stop a guest
//	naive          plain wazero, compiled once, instantiated and initialized per call
//	naive-command  the same with a program
//	shared, pristine, fresh, command: Ruedo, metered
//	wasmtime       v39, pooling allocator, InstancePre, per call a fresh instance of the Go guest initialized beforehand
//	wasmtime-init  the same, initialized per call
//	extism         go-sdk, compiled once, a plugin per call
func (b *bench) calls() error {
	for _, language := range []string{"go", "c", "as", "js"} {
		if err := b.callsOf(language); err != nil {
			return fmt.Errorf("%s: %w", language, err)
		}
	}
	return nil
}

func (b *bench) callsOf(language string) (err error) {
	f := &field{ctx: b.ctx}
	defer func() { err = errors.Join(err, f.close()) }()
	var function, command []byte
	switch language {
	case "go":
		if function, _, err = b.goGuest("function"); err != nil {
			return err
		}
		if command, _, err = b.goGuest("command"); err != nil {
			return err
		}
		plugin, _, err := b.goGuest("extism")
		if err != nil {
			return err
		}
		if err := f.addExtism(plugin); err != nil {
			return err
		}
		if err := f.addWasmtime(function); err != nil {
			return err
		}
	case "c":
		if function, err = guests.Kept("c/function"); err != nil {
			return err
		}
		if command, err = guests.Kept("c/command"); err != nil {
			return err
		}
	default:
		if function, err = guests.Kept(language + "/answer"); err != nil {
			return err
		}
	}
	if err := errors.Join(f.addPlain(function, command), f.addRuedo(function, command)); err != nil {
		return err
	}
	t, err := contest.Run(b.ctx, b.Rounds, b.Slice/5, f.contenders)
	if err != nil {
		return err
	}
	prefix := "call/" + language + "/"
	for _, c := range f.contenders {
		b.against(prefix, t, c.Name, "warm")
	}
	for _, pair := range [][2]string{
		{"pristine", "shared"}, {"fresh", "naive"}, {"command", "naive-command"}, {"closing", "pristine"}, {"wasmtime", "pristine"}, {"extism", "pristine"},
	} {
		if len(t[pair[0]]) > 0 {
			b.against(prefix, t, pair[0], pair[1])
		}
	}
	return nil
}

// field is the set of contenders in a contest of calls.
type field struct {
	ctx        context.Context
	contenders []contest.Contender
	closers    []func() error
}

func (f *field) close() error {
	var err error
	for _, c := range f.closers {
		err = errors.Join(err, c())
	}
	return err
}

// add adds a way of calling.
func (f *field) add(name string, call func() ([]byte, error)) {
	f.contenders = append(f.contenders, contest.Contender{Name: name, Do: func(n int) error {
		for range n {
			out, err := call()
			if err != nil {
				return err
			}
			if string(out) != output {
				return fmt.Errorf("the answer is %q, want %q", out, output)
			}
		}
		return nil
	}})
}

// addRuedo adds every isolation.
func (f *field) addRuedo(function, command []byte) error {
	engine, err := sandbox.New(f.ctx, sandbox.Config{})
	if err != nil {
		return err
	}
	f.closers = append(f.closers, func() error { return engine.Close(context.WithoutCancel(f.ctx)) })
	for _, isolation := range []sandbox.Isolation{sandbox.Shared, sandbox.Pristine, sandbox.Fresh, sandbox.PerCall} {
		wasm := function
		if isolation == sandbox.PerCall {
			wasm = command
		}
		if wasm == nil {
			continue
		}
		t, err := engine.Load(f.ctx, sandbox.Spec{Wasm: wasm, Isolation: isolation, Example: []byte(input)})
		if err != nil {
			return err
		}
		if got := t.Report(); got.Isolation != isolation {
			return fmt.Errorf("the isolation is %s and not %s: %s", got.Isolation, isolation, got.IsolationReason)
		}
		f.add(string(isolation), func() ([]byte, error) {
			res, err := t.Call(f.ctx, sandbox.Request{Input: []byte(input)})
			return res.Output, err
		})
	}
	return nil
}

// addPlain adds what is possible with wazero alone.
func (f *field) addPlain(function, command []byte) error {
	var p *plain
	for _, closing := range []bool{true, false} {
		var err error
		if p, err = newPlain(f.ctx, function, closing); err != nil {
			return err
		}
		f.closers = append(f.closers, p.close)
		i, err := p.start(f.ctx)
		if err != nil {
			return err
		}
		name, ctx := "warm", f.ctx
		if closing {
			// wazero watches a context only if it can end.
			var stop context.CancelFunc
			ctx, stop = context.WithCancel(ctx)
			f.closers = append(f.closers, func() error { stop(); return nil })
			name = "closing"
		}
		f.add(name, func() ([]byte, error) { return i.answer(ctx, []byte(input)) })
	}
	f.add("naive", func() ([]byte, error) {
		i, err := p.start(f.ctx)
		if err != nil {
			return nil, err
		}
		out, err := i.answer(f.ctx, []byte(input))
		return out, errors.Join(err, i.module.Close(f.ctx))
	})
	if command == nil {
		return nil
	}
	c, err := newPlain(f.ctx, command, false)
	if err != nil {
		return err
	}
	f.closers = append(f.closers, c.close)
	f.add("naive-command", func() ([]byte, error) { return c.program(f.ctx, []byte(input)) })
	return nil
}
