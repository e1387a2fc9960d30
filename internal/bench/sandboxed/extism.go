package sandboxed

import (
	"context"
	"errors"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
)

// addExtism adds the peer that runs plugins on wazero: compiled once, with an
// instance per call, which is how it offers clean memory.
func (f *field) addExtism(wasm []byte) error {
	plugin, err := extism.NewCompiledPlugin(f.ctx,
		extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: wasm}}},
		extism.PluginConfig{EnableWasi: true, RuntimeConfig: wazero.NewRuntimeConfig().WithDebugInfoEnabled(false)}, nil)
	if err != nil {
		return err
	}
	f.closers = append(f.closers, func() error { return plugin.Close(context.WithoutCancel(f.ctx)) })
	f.add("extism", func() ([]byte, error) {
		i, err := plugin.Instance(f.ctx, extism.PluginInstanceConfig{ModuleConfig: wazero.NewModuleConfig()})
		if err != nil {
			return nil, err
		}
		_, out, err := i.CallWithContext(f.ctx, "call", []byte(input))
		out = append([]byte(nil), out...)
		return out, errors.Join(err, i.Close(f.ctx))
	})
	return nil
}
