package wasmbin_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

func TestAdmitSaysWhatAModuleIs(t *testing.T) {
	info, err := wasmbin.Admit(everything(), wasmbin.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if info.Kind != wasmbin.Function || info.ABI != abi.Version || info.MemoryMin != 65536 || info.MemoryMax != 4*65536 ||
		!slices.Equal(info.Imports, []string{"ruedo.output_write", "wasi_snapshot_preview1.proc_exit"}) ||
		!slices.Contains(info.Exports, "_initialize") || slices.Contains(info.Exports, "ruedo_warm") || info.Functions != 3 {
		t.Errorf("got %+v", info)
	}
	m := w.New()
	m.Memory(2, -1)
	m.Export("_start", m.Func(">"))
	info, err = wasmbin.Admit(m.Bytes(), wasmbin.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if info.Kind != wasmbin.Command || info.ABI != 0 || info.MemoryMin != 2*65536 || info.MemoryMax != 4<<30 {
		t.Errorf("got %+v", info)
	}
}

func TestAdmitRefuses(t *testing.T) {
	// with builds a function guest, modified by f.
	with := func(f func(*w.Module)) []byte {
		m := w.New()
		f(m)
		return m.Bytes()
	}
	call := func(m *w.Module) { m.AsFunction(m.Func(">i", w.I32(0))) }
	guest := w.Function(w.I32(0)).Bytes()
	for _, c := range []struct {
		name   string
		reason fault.Reason
		text   string
		in     []byte
		limits wasmbin.Limits
	}{
		{"empty", "WASM_NOT_A_MODULE", "looks like an empty file", nil, wasmbin.Limits{}},
		{"gzip", "WASM_NOT_A_MODULE", "looks like gzip", []byte("\x1f\x8b\x08\x00\x00"), wasmbin.Limits{}},
		{"zstd", "WASM_NOT_A_MODULE", "looks like zstd", []byte("\x28\xb5\x2f\xfd\x00"), wasmbin.Limits{}},
		{"zip", "WASM_NOT_A_MODULE", "looks like zip", []byte("PK\x03\x04...."), wasmbin.Limits{}},
		{"ELF", "WASM_NOT_A_MODULE", "looks like ELF", []byte("\x7fELF\x02\x01\x01"), wasmbin.Limits{}},
		{"Mach-O", "WASM_NOT_A_MODULE", "looks like Mach-O", []byte("\xcf\xfa\xed\xfe...."), wasmbin.Limits{}},
		{"PE", "WASM_NOT_A_MODULE", "looks like PE", []byte("MZ\x90\x00"), wasmbin.Limits{}},
		{"script", "WASM_NOT_A_MODULE", "looks like a shell script", []byte("#!/bin/sh\n"), wasmbin.Limits{}},
		{"HTML", "WASM_NOT_A_MODULE", "looks like HTML", []byte("\n <!DOCTYPE html><html>"), wasmbin.Limits{}},
		{"text format", "WASM_NOT_A_MODULE", "looks like Wasm text format", []byte("(module\n (func))"), wasmbin.Limits{}},
		{"noise", "WASM_NOT_A_MODULE", "begins with the bytes de ad be ef", []byte("\xde\xad\xbe\xef\x00"), wasmbin.Limits{}},
		{"component", "WASM_COMPONENT_UNSUPPORTED", "component", []byte("\x00asm\x0d\x00\x01\x00"), wasmbin.Limits{}},
		{"version 2", "WASM_COMPONENT_UNSUPPORTED", "version 2", []byte("\x00asm\x02\x00\x00\x00"), wasmbin.Limits{}},
		{"header cut off", "WASM_MALFORMED", "within its header", []byte("\x00asm\x01"), wasmbin.Limits{}},
		{"size", "WASM_LIMIT", "bytes long, the limit is 20", guest, wasmbin.Limits{Size: 20}},
		{"functions", "WASM_LIMIT_FUNCTIONS", "too many functions: 2, the limit is 1", guest, wasmbin.Limits{Functions: 1}},
		{"a million functions", "WASM_LIMIT_FUNCTIONS", "too many functions: 1000000, the limit is 100000", w.Cat(w.Header(), w.Section(1, w.Vec([]byte{0x60, 0, 0})), w.Section(3, w.Cat(w.U32(1_000_000), make([]byte, 1_000_000)))), wasmbin.Limits{}},
		{"memory over the limit", "WASM_LIMIT_MEMORY", "requires 62.5 MiB of memory at its start, the limit is 6.2 MiB", with(func(m *w.Module) { m.Memory(1000, -1); call(m) }), wasmbin.Limits{MemoryPages: 100}},
		{"shared memory", "WASM_UNSUPPORTED", "shared memory", with(func(m *w.Module) { m.MemoryRaw([]byte{3, 1, 2}); call(m) }), wasmbin.Limits{}},
		{"64-bit memory", "WASM_UNSUPPORTED", "64-bit memory", with(func(m *w.Module) { m.MemoryRaw([]byte{4, 1}); call(m) }), wasmbin.Limits{}},
		{"two memories", "WASM_UNSUPPORTED", "defines 2 memories", with(func(m *w.Module) { m.Memory(1, 1); m.Memory(1, 1); call(m) }), wasmbin.Limits{}},
		{"imported memory", "WASM_UNSUPPORTED", "imports a memory", with(func(m *w.Module) { m.ImportRaw("env", "memory", []byte{2, 0, 1}); call(m) }), wasmbin.Limits{}},
		{"imported table", "WASM_UNSUPPORTED", "imports a table", with(func(m *w.Module) { m.ImportRaw("env", "t", []byte{1, 0x70, 0, 1}); call(m) }), wasmbin.Limits{}},
		{"imported global", "WASM_UNSUPPORTED", "imports a global", with(func(m *w.Module) { m.ImportRaw("env", "g", []byte{3, 0x7f, 0}); call(m) }), wasmbin.Limits{}},
		{"imports", "IMPORT_NOT_ALLOWED", "env.system, ruedo.nope, \"\\u202e\".x", with(func(m *w.Module) {
			m.Import("env", "system", "i>i")
			m.Import("ruedo", "nope", ">")
			m.Import("ruedo", "log", "iii>")
			m.Import("\u202e", "x", ">")
			m.Memory(1, 1)
			call(m)
		}), wasmbin.Limits{}},
		{"network", "IMPORT_NOT_ALLOWED", "wasi_snapshot_preview1.sock_open", with(func(m *w.Module) {
			m.Import("wasi_snapshot_preview1", "sock_open", "iii>i")
			m.Memory(1, 1)
			call(m)
		}), wasmbin.Limits{}},
		{"signature of an import", "IMPORT_NOT_ALLOWED", "ruedo.input_read with the signature (i32) -> (i32) (the host's is (i32, i32) -> (i32))", with(func(m *w.Module) {
			m.Import("ruedo", "input_read", "i>i")
			m.Memory(1, 1)
			call(m)
		}), wasmbin.Limits{}},
		{"no exports", "EXPORTS_MISSING", "neither ruedo_call (a function) nor _start (a command); it exports nothing", w.Header(), wasmbin.Limits{}},
		{"no memory", "EXPORTS_MISSING", "does not export its memory", with(func(m *w.Module) { call(m) }), wasmbin.Limits{}},
		{"memory that is a function", "EXPORTS_MISSING", "does not export its memory", with(func(m *w.Module) { m.Export("memory", 0); call(m) }), wasmbin.Limits{}},
		{"call with parameters", "EXPORTS_MISSING", "ruedo_call with the signature (i32) -> (i32); it must be () -> (i32)", with(func(m *w.Module) { m.Memory(1, 1); m.AsFunction(m.Func("i>i", w.I32(0))) }), wasmbin.Limits{}},
		{"initialize with a result", "EXPORTS_MISSING", "_initialize with the signature", with(func(m *w.Module) { m.Memory(1, 1); call(m); m.Export("_initialize", 0) }), wasmbin.Limits{}},
		{"warm with a result", "EXPORTS_MISSING", "ruedo_warm with the signature", with(func(m *w.Module) { m.Memory(1, 1); call(m); m.Export("ruedo_warm", 0) }), wasmbin.Limits{}},
		{"start with a result", "EXPORTS_MISSING", "_start with the signature", with(func(m *w.Module) { m.Memory(1, 1); m.Export("_start", m.Func(">i", w.I32(0))) }), wasmbin.Limits{}},
		{"function and command", "EXPORTS_MISSING", "can only be one of them", with(func(m *w.Module) { m.Memory(1, 1); call(m); m.Export("_start", m.Func(">")) }), wasmbin.Limits{}},
		{"start that is a memory", "EXPORTS_MISSING", "_start as a memory", with(func(m *w.Module) { m.Memory(1, 1); m.ExportKind("_start", 2, 0) }), wasmbin.Limits{}},
		{"no marker", "ABI_MISMATCH", "not ruedo_abi_1", with(func(m *w.Module) { m.Memory(1, 1); m.Export("ruedo_call", m.Func(">i", w.I32(0))) }), wasmbin.Limits{}},
		{"newer marker", "ABI_MISMATCH", "\"ruedo_abi_2\", this host speaks 1", with(func(m *w.Module) {
			m.Memory(1, 1)
			m.Export("ruedo_call", m.Func(">i", w.I32(0)))
			m.Export("ruedo_abi_2", m.Func(">"))
		}), wasmbin.Limits{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrivesAnyhow(t, c.in, c.limits)
			_, err := wasmbin.Admit(c.in, c.limits)
			if err == nil {
				t.Fatal("no error")
			}
			e := asError(t, err)
			if e.Reason != c.reason || !strings.Contains(e.Message, c.text) {
				t.Errorf("got %s %q, want %s with %q", e.Reason, e.Message, c.reason, c.text)
			}
			t.Logf("%s: %s\nfix: %s", e.Reason, e.Message, e.Fix)
		})
	}
}

func TestEveryHostFunctionIsAllowed(t *testing.T) {
	got := wasmbin.HostFunctions(abi.HostModule)
	for _, name := range abi.HostImports() {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is in the contract and cannot be imported", name)
		}
	}
	if len(got) != len(abi.HostImports()) {
		t.Errorf("more can be imported than the contract has: %v", got)
	}
	if wasmbin.HostFunctions("env") != nil {
		t.Error("env has functions")
	}
}

// TestRealModules admits what the Go tool builds, as a command and as a
// function, with the packages that have the most imports.
func TestRealModules(t *testing.T) {
	for _, c := range []struct {
		name, mode, source string
		kind               wasmbin.Kind
	}{
		{"command", "default", `package main
import ("encoding/json"; "fmt"; "net/http"; "os")
func main() { json.NewEncoder(os.Stdout).Encode(os.Args); fmt.Println(http.Get("http://localhost")) }`, wasmbin.Command},
		{"function", "c-shared", `package main
import "encoding/json"
//go:wasmimport ruedo input_size
func inputSize() int64
//go:wasmexport ruedo_abi_1
func marker() {}
//go:wasmexport ruedo_call
func call() int32 { b, _ := json.Marshal(inputSize()); return int32(len(b)) }
func main() {}`, wasmbin.Function},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("go.mod", "module guest\n\ngo 1.26\n")
			write("main.go", c.source)
			cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildmode="+c.mode, "-o", "guest.wasm", ".")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			b, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
			if err != nil {
				t.Fatal(err)
			}
			arrivesAnyhow(t, b, wasmbin.Limits{})
			info, err := wasmbin.Admit(b, wasmbin.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if info.Kind != c.kind || info.Size != int64(len(b)) || info.Functions == 0 || len(info.Imports) == 0 {
				t.Errorf("got %+v", info)
			}
			// A truncated module is refused, wherever it is cut.
			for n := 8; n < len(b); n += len(b)/500 + 1 {
				if _, err := wasmbin.Admit(b[:n], wasmbin.Limits{}); err == nil && n < len(b)/2 {
					t.Errorf("the first %d of %d bytes are admitted", n, len(b))
				}
			}
		})
	}
}
