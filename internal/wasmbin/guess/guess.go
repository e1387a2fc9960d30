// Package guess says what somebody did who has no module for this host: what the
// file is instead, or what the module was built for.
//
//	what := guess.File(b) // "looks like gzip; unpack it first"
//
//	var build guess.Build
//	build.Import("env", "abort")
//	fix := build.Fix()
package guess

import (
	"fmt"
	"slices"
	"strings"
)

// File says what a file is that is not a module: one of those that are most often
// mistaken for one.
func File(b []byte) string {
	if len(b) == 0 {
		return "looks like an empty file"
	}
	for _, k := range []struct{ prefix, name string }{
		{"\x1f\x8b", "gzip; unpack it first"},
		{"\x28\xb5\x2f\xfd", "zstd; unpack it first"},
		{"\xfd7zXZ\x00", "xz; unpack it first"},
		{"BZh", "bzip2; unpack it first"},
		{"PK\x03\x04", "zip; unpack it first"},
		{"PK\x05\x06", "zip; unpack it first"},
		{"\x7fELF", "ELF, a native program"},
		{"\xfe\xed\xfa\xce", "Mach-O, a native program"},
		{"\xfe\xed\xfa\xcf", "Mach-O, a native program"},
		{"\xce\xfa\xed\xfe", "Mach-O, a native program"},
		{"\xcf\xfa\xed\xfe", "Mach-O, a native program"},
		{"\xca\xfe\xba\xbe", "Mach-O (universal) or a Java class"},
		{"MZ", "PE, a Windows program"},
		{"#!", "a shell script"},
		{"!<arch>\n", "a static library (ar)"},
		{"BC\xc0\xde", "LLVM bitcode"},
		{"%PDF", "PDF"},
		{"\x89PNG", "PNG"},
	} {
		if strings.HasPrefix(string(b[:min(len(b), 16)]), k.prefix) {
			return "looks like " + k.name
		}
	}
	text := strings.ToLower(strings.TrimLeft(strings.TrimPrefix(string(b[:min(len(b), 512)]), "\ufeff"), " \t\r\n"))
	switch {
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"):
		return "looks like HTML; was an error page downloaded?"
	case strings.HasPrefix(text, "<"):
		return "looks like XML or HTML"
	case strings.HasPrefix(text, "(module"), strings.HasPrefix(text, "(component"), strings.HasPrefix(text, ";;"), strings.HasPrefix(text, "(;"):
		return "looks like Wasm text format; assemble it first, for example with wat2wasm"
	case strings.HasPrefix(text, "{"):
		return "looks like JSON"
	case strings.HasPrefix(text, "package ") || strings.HasPrefix(text, "// "):
		return "looks like source code; build it first"
	case strings.HasPrefix(text, "version https://git-lfs"):
		return "looks like a Git LFS pointer; fetch the file first"
	}
	return fmt.Sprintf("it begins with the bytes % x instead of 00 61 73 6d", b[:min(len(b), 4)])
}

// Build guesses from the imports that are refused how a module was built. Its zero
// value has seen none.
type Build struct {
	rank int
	fix  string
}

// Import takes a refused import into account. The most telling one counts.
func (h *Build) Import(module, name string) {
	rank, fix := 0, ""
	begins := func(prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	switch {
	case strings.HasPrefix(module, "extism:") || module == "extism" || begins("extism_"):
		rank, fix = 4, "it is an Extism plug-in, which needs Extism as its host: write its function with the Ruedo SDK, or build a program that reads stdin and writes stdout"
	case module == "gojs" || module == "go":
		rank, fix = 3, "it was built for a browser: build with GOOS=wasip1"
	case module == "wbg" || strings.HasPrefix(module, "__wbindgen"):
		rank, fix = 3, "it was built with wasm-bindgen for a browser: build for wasm32-wasip1"
	case module == "wasi_unstable":
		rank, fix = 3, "it was built for an old WASI: build for preview 1"
	case strings.HasPrefix(module, "wasi:"):
		rank, fix = 3, "it was built for WASI preview 2: build for preview 1"
	case module == "env" && begins("emscripten_", "_emscripten_", "__syscall_", "__cxa_", "invoke_", "setThrew", "segfault") || len(module) == 1 && len(name) <= 2:
		rank, fix = 3, "it was built with Emscripten for a web page: link with -sSTANDALONE_WASM and without JavaScript, or build with wasi-sdk"
	case module == "env" && name == "abort":
		rank, fix = 2, "it was built with AssemblyScript: add --use abort= to asc, and a failed assertion becomes a trap"
	case module == "env":
		rank, fix = 1, "it expects functions of an embedder (env): build for WASI, with everything linked in"
	}
	if rank > h.rank {
		h.rank, h.fix = rank, fix
	}
}

// Fix says how to build it instead.
func (h *Build) Fix() string {
	if h.fix == "" {
		return "build for WASI preview 1; docs/abi.md lists what a module can import"
	}
	return h.fix
}
