package value

import (
	"bytes"
	"strings"
	"testing"
)

// What is looked at eight bytes at a time ends where it ends byte by byte.
func FuzzScan(f *testing.F) {
	for n := range 20 {
		for _, end := range []string{"", `"`, `\"`, `\\"`, "[", "]", "{", "}", "Y", "\x80", "\xff\""} {
			f.Add([]byte(strings.Repeat("x", n) + end + "tail\""))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := StringSize(text), stringSize(text); got != want {
			t.Errorf("%q: a string of %d bytes, want %d", text, got, want)
		}
		plain := Plain(text)
		if i := bytes.IndexAny(text[:plain], `"[]{}`); i >= 0 {
			t.Errorf("%q: byte %d is passed over", text, i)
		}
		if plain < len(text) && bytes.IndexByte([]byte("\"[]{}Y_y\x7f"), text[plain]) < 0 {
			t.Errorf("%q: it stops at byte %d for nothing", text, plain)
		}
	})
}

func stringSize(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(text)
}
