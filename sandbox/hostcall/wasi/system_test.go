package wasi_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/wasi"
)

// environment returns a function that returns the environment of a guest.
func environment(t *testing.T) func(wazero.ModuleConfig) string {
	t.Helper()
	const at = 1024
	m := w.New()
	get := m.Import(wasi_snapshot_preview1.ModuleName, "environ_get", "ii>i")
	m.Memory(1, -1)
	m.Export("run", m.Func(">", w.CallWith(get, 0, at), w.Drop()))
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	wasi_snapshot_preview1.MustInstantiate(t.Context(), r)
	code, err := r.CompileModule(t.Context(), m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return func(c wazero.ModuleConfig) string {
		t.Helper()
		i, err := r.InstantiateModule(t.Context(), code, c)
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close(t.Context())
		if _, err := i.ExportedFunction("run").Call(t.Context()); err != nil {
			t.Fatal(err)
		}
		text, _ := i.Memory().Read(at, 256)
		text = bytes.TrimRight(text, "\x00")
		return string(bytes.ReplaceAll(text, []byte{0}, []byte{' '}))
	}
}

// Each caller has an environment of its own, however many there are at a time.
func TestEnvironmentOfACaller(t *testing.T) {
	read := environment(t)
	system := wasi.NewSystem(nil, map[string]string{"A": "1", "B": "2", "REMOTE_USER": "made up"})
	ada, bob := system.Config("user/ada"), system.Config("user/bob")
	for want, c := range map[string]wazero.ModuleConfig{
		"A=1 B=2 REMOTE_USER=user/ada": ada,
		"A=1 B=2 REMOTE_USER=user/bob": bob,
		"A=1 B=2 REMOTE_USER=made up":  system.Config(""),
	} {
		if got := read(c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	system = wasi.NewSystem(nil, map[string]string{"A": "1", "B": "2", "C": "3"})
	ada, bob = system.Config("user/ada"), system.Config("user/bob")
	for want, c := range map[string]wazero.ModuleConfig{
		"A=1 B=2 C=3 REMOTE_USER=user/ada": ada,
		"A=1 B=2 C=3 REMOTE_USER=user/bob": bob,
		"A=1 B=2 C=3":                      system.Config("anonymous"),
	} {
		if got := read(c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func BenchmarkConfig(b *testing.B) {
	system := wasi.NewSystem([]string{"x"}, map[string]string{"A": "1", "B": "2", "C": "3"})
	b.ReportAllocs()
	for b.Loop() {
		system.Config("user/ada")
	}
}
