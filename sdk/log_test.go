package sdk

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

type secretish struct{}

func (secretish) LogValue() slog.Value { return slog.StringValue("hidden") }

type broken struct{}

func (broken) MarshalText() ([]byte, error) { panic("no text") }

func TestLogLines(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		log  func(*slog.Logger)
		want string
	}{
		{func(l *slog.Logger) { l.Info("hello there") }, "INFO hello there"},
		{func(l *slog.Logger) { l.Debug("quiet") }, ""},
		{func(l *slog.Logger) { l.Log(t.Context(), 2, "between", "n", 1) }, "INFO+2 between n=1"},
		{func(l *slog.Logger) { l.Warn("w", "a", "x y", "b", "", "c", `q"`, "d", "k=v") }, `WARN w a="x y" b="" c="q\"" d="k=v"`},
		{func(l *slog.Logger) {
			l.Error("e", "err", errors.New("no luck"), "took", 1500*time.Millisecond, "at", at)
		},
			`ERROR e err="no luck" took=1.5s at=2026-01-02T03:04:05Z`},
		{func(l *slog.Logger) {
			l.Info("g", slog.Group("req", "id", 7, slog.Group("in", "x", true)), slog.Group("empty"))
		}, "INFO g req.id=7 req.in.x=true"},
		{func(l *slog.Logger) { l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("").Info("m", "c", 3) }, "INFO m a=1 g.b=2 g.c=3"},
		{func(l *slog.Logger) { l.Info("v", "s", secretish{}, "bad", broken{}, "b", []byte("raw"), "nil", nil) },
			`INFO v s=hidden bad="!PANIC: no text" b=raw nil=<nil>`},
		{func(l *slog.Logger) { l.Info("two\nlines", "k\n", "\x1b[31m") }, `INFO "two\nlines" "k\n"="\x1b[31m"`},
		{func(l *slog.Logger) { l.Info("odd", slog.Attr{}, slog.String("", "no key")) }, `INFO odd ""="no key"`},
	} {
		var got []string
		h := &logHandler{level: slog.LevelInfo, write: func(level slog.Level, line string) { got = append(got, level.String()+" "+line) }}
		c.log(slog.New(h))
		if all := strings.Join(got, "|"); all != c.want {
			t.Errorf("got  %s\nwant %s", all, c.want)
		}
	}
}

func TestWithAttrsDoesNotShare(t *testing.T) {
	var got []string
	base := slog.New(&logHandler{level: slog.LevelInfo, write: func(_ slog.Level, line string) { got = append(got, line) }}).With("a", 1)
	one, two := base.With("b", 1), base.With("b", 2)
	one.Info("m")
	two.Info("m")
	base.Info("m")
	if all := strings.Join(got, "|"); all != "m a=1 b=1|m a=1 b=2|m a=1" {
		t.Errorf("got %s", all)
	}
}

func TestLogHandlerLevels(t *testing.T) {
	if h := LogHandler(nil); h.Enabled(context.Background(), slog.LevelDebug) || !h.Enabled(context.Background(), slog.LevelInfo) {
		t.Error("nil does not mean info")
	}
	if !LogHandler(slog.LevelDebug).Enabled(context.Background(), slog.LevelDebug) {
		t.Error("debug is not enabled")
	}
}
