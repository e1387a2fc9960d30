package sandbox

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"
)

func newStream(limit int64) (*call, *stream) {
	c := newCall(context.Background(), Limits{Logs: limit}, Request{})
	return c, &c.out
}

// TestStreamInPieces writes a text in pieces of every size: what is kept does
// not depend on where it was cut.
func TestStreamInPieces(t *testing.T) {
	text := "plain ñ € 🐂\nend\r\x1b[2J\u0085\u2028\U000e0001 \xff\xc3( \xe2\x82\nlast \xf0\x9f"
	want := "plain ñ € 🐂\nend\\r\\x1b[2J\\u0085\\u2028\\U000e0001 \\xff\\xc3( \\xe2\\x82\nlast \\xf0\\x9f\n"
	for size := 1; size <= len(text); size++ {
		c, s := newStream(1000)
		for b := []byte(text); len(b) > 0; {
			n := min(size, len(b))
			s.write(b[:n])
			b = b[n:]
		}
		s.flush()
		c.logs.finish()
		if got := string(c.logs.text); got != want {
			t.Errorf("in pieces of %d: got %q, want %q", size, got, want)
		}
	}
}

func TestLogLimit(t *testing.T) {
	for limit := int64(1); limit < 60; limit++ {
		c, s := newStream(limit)
		c.logs.line(slog.LevelInfo, []byte("eine Zeile mit ü"))
		s.write([]byte("gedruckt\x00\nund mehr"))
		c.logs.line(slog.LevelError, []byte("ende"))
		kept := int64(len(c.logs.text))
		c.logs.finish()
		text := string(c.logs.text)
		if kept > limit+1 || !utf8.ValidString(text) || strings.Contains(text, "\x00") || !strings.HasSuffix(text, "\n") {
			t.Errorf("limit %d: %d bytes kept: %q", limit, kept, text)
		}
		if limit < 50 && c.logs.dropped == 0 {
			t.Errorf("limit %d: nothing was dropped: %q", limit, text)
		}
	}
	c, _ := newStream(100)
	c.logs.line(slog.LevelDebug, []byte("a"))
	c.logs.line(slog.LevelInfo+1, nil)
	c.logs.finish()
	if got := string(c.logs.text); got != "DEBUG a\nINFO+1 \n" {
		t.Errorf("got %q", got)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "two\nlines\n": `two\nlines`, "\x1b]0;x\x07": `\x1b]0;x\x07`, "cut\xe2\x82": `cut\xe2\x82`,
		strings.Repeat("x", 200): strings.Repeat("x", 100) + "...",
	} {
		if got := clean(in, 100); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLimitsDefaults(t *testing.T) {
	l := Limits{}.WithDefaults()
	if l.Memory != 128<<20 || l.Timeout.Seconds() != 10 || l.Input != 4<<20 || l.Output != 4<<20 || l.Logs != 64<<10 {
		t.Errorf("got %+v", l)
	}
	for in, want := range map[uint64]uint64{1: 65536, 65537: 65536, 200_000: 196_608, 1 << 40: 65534 * 65536} {
		if got := (Limits{Memory: in}).WithDefaults().Memory; got != want {
			t.Errorf("memory of %d: got %d, want %d", in, got, want)
		}
	}
}

func TestLastLines(t *testing.T) {
	long := strings.Repeat("ñ", 10)
	for in, want := range map[string]string{
		"": "", "a\n": "a\n", "one\ntwoo\nthree\n": "three\n", long + "\n": "ññññ\n", long + "\nend\n": "end\n",
	} {
		if got := lastLines([]byte(in), 10); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
