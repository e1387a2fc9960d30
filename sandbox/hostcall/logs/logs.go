// Package logs keeps what a guest says as bounded, harmless text.
package logs

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Logs collects what a guest writes as whole lines of harmless text, up to a
// limit. Everything after the first byte that does not fit is dropped, so that
// there are no gaps.
type Logs struct {
	Limit   int64  // of Text, in bytes
	Text    []byte // so far
	Dropped int64  // bytes that were over the limit
	full    bool
	open    bool // the last line is not finished
}

// add appends bytes from a guest. It returns how many of the last bytes are the
// beginning of an incomplete character. oneLine escapes newlines, too.
func (l *Logs) add(p []byte, oneLine bool) (rest int) {
	for len(p) > 0 {
		if l.full {
			l.Dropped += int64(len(p))
			return 0
		}
		c, n := rune(p[0]), 1
		if c >= utf8.RuneSelf {
			if !utf8.FullRune(p) {
				return len(p)
			}
			c, n = utf8.DecodeRune(p)
		}
		l.char(c, p[:n], oneLine)
		p = p[n:]
	}
	return 0
}

// char appends one encoded character.
func (l *Logs) char(c rune, raw []byte, oneLine bool) {
	var buf [12]byte
	out := raw
	if !plain(c, len(raw)) || c == '\n' && oneLine {
		out = escape(buf[:0], c, raw)
	}
	if int64(len(l.Text)+len(out)) > l.Limit {
		l.full = true
		l.Dropped += int64(len(raw))
		return
	}
	l.Text = append(l.Text, out...)
	l.open = c != '\n' || oneLine
}

// plain reports whether a character has no effect on a terminal and cannot hide
// others.
func plain(c rune, size int) bool {
	switch {
	case c == '\n' || c == '\t':
		return true
	case c < utf8.RuneSelf:
		return c >= 0x20 && c != 0x7f
	case c == utf8.RuneError && size == 1:
		return false
	}
	return unicode.IsPrint(c)
}

func escape(to []byte, c rune, raw []byte) []byte {
	switch {
	case c == '\n':
		return append(to, `\n`...)
	case c == '\r':
		return append(to, `\r`...)
	case len(raw) == 1:
		return fmt.Appendf(to, `\x%02x`, raw[0])
	case c > 0xffff:
		return fmt.Appendf(to, `\U%08x`, c)
	}
	return fmt.Appendf(to, `\u%04x`, c)
}

// endLine starts a new line if the last one is not finished.
func (l *Logs) endLine() {
	if l.open {
		l.Text = append(l.Text, '\n')
		l.open = false
	}
}

// Line adds one line with a level.
func (l *Logs) Line(level slog.Level, msg []byte) {
	if l.full {
		l.Dropped += int64(len(msg))
		return
	}
	prefix := level.String() + " "
	if int64(len(l.Text)+1+len(prefix)) > l.Limit {
		l.full = true
		l.Dropped += int64(len(msg))
		return
	}
	l.endLine()
	l.add([]byte(prefix), true)
	if rest := l.add(msg, true); rest > 0 {
		l.broken(msg[len(msg)-rest:])
	}
	l.endLine()
}

// broken adds bytes that are not valid characters.
func (l *Logs) broken(p []byte) {
	for i := range p {
		if l.full {
			l.Dropped++
			continue
		}
		l.char(utf8.RuneError, p[i:i+1], true)
	}
}

// Finish ends the last line and adds how much was dropped. This can make the
// text exceed its limit.
func (l *Logs) Finish() {
	l.endLine()
	if l.Dropped > 0 {
		l.Text = fmt.Appendf(l.Text, "... dropped %d bytes: the limit is %d; raise logs in a decorator\n", l.Dropped, l.Limit)
	}
}

// Printed is one output of a guest that goes to its logs. Characters may be
// split between writes.
type Printed struct {
	cut []byte // the beginning of a character
}

// Write adds what the guest printed.
func (s *Printed) Write(l *Logs, p []byte) {
	n := len(p)
	if len(s.cut) > 0 && n > 0 {
		// Complete the character that was cut, at most four bytes.
		k := min(n, utf8.UTFMax-len(s.cut))
		head := append(s.cut, p[:k]...)
		s.cut = nil
		if rest := l.add(head, false); rest > 0 {
			if k == n {
				s.cut = append([]byte(nil), head[len(head)-rest:]...)
				return
			}
			k -= min(k, rest)
		}
		p = p[k:]
	}
	if rest := l.add(p, false); rest > 0 {
		s.cut = append([]byte(nil), p[len(p)-rest:]...)
	}
}

// Flush adds the beginning of a character that was never completed.
func (s *Printed) Flush(l *Logs) {
	l.broken(s.cut)
	s.cut = nil
}

// Clean returns a guest's text as one harmless line of at most limit bytes, so
// that it cannot look like text from another source.
func Clean(s string, limit int) string { return clean(s, limit, true) }

// CleanLines is Clean, but keeps the ends of lines.
func CleanLines(s string, limit int) string { return clean(s, limit, false) }

func clean(s string, limit int, oneLine bool) string {
	l := Logs{Limit: int64(limit)}
	s = strings.TrimRight(s, "\n")
	if rest := l.add([]byte(s), oneLine); rest > 0 {
		l.broken([]byte(s)[len(s)-rest:])
	}
	t := string(l.Text)
	if l.Dropped > 0 {
		t += "..."
	}
	return t
}

// Tail returns the end of logs, as whole lines or as the end of a long one.
func Tail(text []byte, limit int) string {
	if len(text) > limit {
		text = text[len(text)-limit:]
		if n := bytes.IndexByte(text, '\n') + 1; n < len(text) {
			text = text[n:]
		}
	}
	return strings.ToValidUTF8(string(text), "") // a character can be cut
}
