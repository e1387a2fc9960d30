package sdk

import (
	"context"
	"encoding"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// LogHandler returns a handler for log/slog that writes to the log of the call:
// the message, then the attributes as key=value. In a module, slog's default is
// already such a handler, from slog.LevelInfo up; use this to log more or less:
//
//	func init() { slog.SetDefault(slog.New(sdk.LogHandler(slog.LevelDebug))) }
//
// A nil level means slog.LevelInfo. The host adds time, call and service. On
// your own machine it writes to stderr. It is safe for concurrent use.
func LogHandler(level slog.Leveler) slog.Handler {
	if level == nil {
		level = slog.LevelInfo
	}
	return &logHandler{level: level, write: writeLog}
}

// logHandler renders records as lines.
type logHandler struct {
	level slog.Leveler
	write func(level slog.Level, line string)
	attrs string // rendered already, each with a space in front
	group string // prefix of keys, with a dot at its end
}

var _ slog.Handler = (*logHandler)(nil)

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	line := []byte(oneLine(r.Message) + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		line = appendAttr(line, h.group, a)
		return true
	})
	h.write(r.Level, string(line))
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	b := []byte(h.attrs)
	for _, a := range attrs {
		b = appendAttr(b, h.group, a)
	}
	with.attrs = string(b)
	return &with
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.group += name + "."
	return &with
}

// appendAttr appends " key=value"; for a group, one pair per member.
func appendAttr(b []byte, prefix string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return b
	}
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			b = appendAttr(b, prefix, member)
		}
		return b
	}
	b = append(b, ' ')
	b = append(b, word(prefix+a.Key)...)
	b = append(b, '=')
	return append(b, word(text(v))...)
}

// text returns a value in human-readable form.
func text(v slog.Value) (s string) {
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		// A method of the author's type could panic; a log line must not end the
		// call.
		defer func() {
			if p := recover(); p != nil {
				s = fmt.Sprintf("!PANIC: %v", p)
			}
		}()
		switch x := v.Any().(type) {
		case encoding.TextMarshaler:
			if b, err := x.MarshalText(); err == nil {
				return string(b)
			}
		case []byte:
			return string(x)
		}
		return fmt.Sprintf("%+v", v.Any())
	}
	return v.String()
}

// word quotes text that would not be read back as one word.
func word(s string) string {
	if s == "" {
		return `""`
	}
	for _, r := range s {
		if r == ' ' || r == '=' || r == '"' || r == utf8.RuneError || !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// oneLine quotes a message that could look like several lines or control a
// terminal.
func oneLine(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }) {
		return strconv.Quote(s)
	}
	return s
}
