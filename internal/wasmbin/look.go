package wasmbin

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/guess"
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
			Message: "not a WebAssembly module: " + guess.File(b),
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

// printable quotes a name from a module for messages: shortened and harmless.
func printable(s string) string {
	const maxShown = 80
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	q := strconv.QuoteToASCII(s)
	return q
}
