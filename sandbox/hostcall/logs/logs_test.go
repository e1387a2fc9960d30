package logs

import (
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"
)

func newLogs(limit int64) (*Logs, *Printed) { return &Logs{Limit: limit}, &Printed{} }

// TestStreamInPieces writes a text in pieces of every size: the result does not
// depend on where it was cut.
func TestStreamInPieces(t *testing.T) {
	text := "plain ñ € 🐂\nend\r\x1b[2J\u0085\u2028\U000e0001 \xff\xc3( \xe2\x82\nlast \xf0\x9f"
	want := "plain ñ € 🐂\nend\\r\\x1b[2J\\u0085\\u2028\\U000e0001 \\xff\\xc3( \\xe2\\x82\nlast \\xf0\\x9f\n"
	for size := 1; size <= len(text); size++ {
		l, s := newLogs(1000)
		for b := []byte(text); len(b) > 0; {
			n := min(size, len(b))
			s.Write(l, b[:n])
			b = b[n:]
		}
		s.Flush(l)
		l.Finish()
		if got := string(l.Text); got != want {
			t.Errorf("in pieces of %d: got %q, want %q", size, got, want)
		}
	}
}

func TestLogLimit(t *testing.T) {
	for limit := int64(1); limit < 60; limit++ {
		l, s := newLogs(limit)
		l.Line(slog.LevelInfo, []byte("eine Zeile mit ü"))
		s.Write(l, []byte("gedruckt\x00\nund mehr"))
		l.Line(slog.LevelError, []byte("ende"))
		kept := int64(len(l.Text))
		l.Finish()
		text := string(l.Text)
		if kept > limit+1 || !utf8.ValidString(text) || strings.Contains(text, "\x00") || !strings.HasSuffix(text, "\n") {
			t.Errorf("limit %d: %d bytes kept: %q", limit, kept, text)
		}
		if limit < 50 && l.Dropped == 0 {
			t.Errorf("limit %d: nothing was dropped: %q", limit, text)
		}
	}
	l, _ := newLogs(100)
	l.Line(slog.LevelDebug, []byte("a"))
	l.Line(slog.LevelInfo+1, nil)
	l.Finish()
	if got := string(l.Text); got != "DEBUG a\nINFO+1 \n" {
		t.Errorf("got %q", got)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "two\nlines\n": `two\nlines`, "\x1b]0;x\x07": `\x1b]0;x\x07`, "cut\xe2\x82": `cut\xe2\x82`,
		strings.Repeat("x", 200): strings.Repeat("x", 100) + "...",
	} {
		if got := Clean(in, 100); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTail(t *testing.T) {
	long := strings.Repeat("ñ", 10)
	for in, want := range map[string]string{
		"": "", "a\n": "a\n", "one\ntwoo\nthree\n": "three\n", long + "\n": "ññññ\n", long + "\nend\n": "end\n",
	} {
		if got := Tail([]byte(in), 10); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
