package wasmbin

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// header checks the first eight bytes. If they are wrong, it says what the file
// is instead.
func header(b []byte) error {
	magic := []byte("\x00asm")
	if len(b) > 0 && len(b) < 8 && (bytes.HasPrefix(magic, b) || bytes.HasPrefix(b, magic)) {
		return malformed(int64(len(b)), "the file ends within its header")
	}
	if !bytes.HasPrefix(b, magic) {
		return at(0, &fault.Error{
			Reason:  fault.NotAModule,
			Message: "not a WebAssembly module: " + lookalike(b),
			Fix:     howToBuild,
		})
	}
	version, layer := uint16(b[4])|uint16(b[5])<<8, uint16(b[6])|uint16(b[7])<<8
	switch {
	case layer == 1:
		return at(4, &fault.Error{
			Reason:  fault.Component,
			Message: "the file is a WebAssembly component; only core modules are supported",
			Fix:     howToBuild + "; with Rust use the target wasm32-wasip1, not wasm32-wasip2",
		})
	case layer != 0 || version != 1:
		return at(4, &fault.Error{
			Reason:  fault.Component,
			Message: fmt.Sprintf("the file has version %d, layer %d; only core modules (version 1, layer 0) are supported", version, layer),
			Fix:     howToBuild,
		})
	}
	return nil
}

// lookalike recognizes the files that are most often mistaken for a module.
func lookalike(b []byte) string {
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

// printable quotes a name from a module for messages: shortened and harmless.
func printable(s string) string {
	const maxShown = 80
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	q := strconv.QuoteToASCII(s)
	return q
}
