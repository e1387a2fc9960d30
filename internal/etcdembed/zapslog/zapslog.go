// Package zapslog lets etcd, which logs with zap, write to a handler of slog.
//
// Its messages are only for debugging, so info and warnings become debug. etcd
// logs errors even during a healthy start, so errors become warnings.
package zapslog

import (
	"context"
	"log/slog"
	"slices"

	"go.uber.org/zap/zapcore"
)

// Config configures a core.
type Config struct {
	// Handler gets the records. Required.
	Handler slog.Handler
	// Noise are the messages of errors that are for debugging, too.
	Noise []string
	// Seen is called with each error of entries with this message, whatever is
	// logged.
	Message string
	Seen    func(error)
}

// New returns a zapcore.Core.
func New(cfg Config) zapcore.Core { return &bridge{cfg} }

type bridge struct{ Config }

var _ zapcore.Core = (*bridge)(nil)

func level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.DPanicLevel:
		return slog.LevelError
	case l >= zapcore.ErrorLevel:
		return slog.LevelWarn
	case l >= zapcore.InfoLevel:
		return slog.LevelDebug
	}
	return slog.LevelDebug - 4
}

// Enabled lets warnings come as far as Check, which looks for one of them.
func (b *bridge) Enabled(l zapcore.Level) bool {
	return l >= zapcore.WarnLevel || b.wanted(l)
}

func (b *bridge) wanted(l zapcore.Level) bool {
	return b.Handler.Enabled(context.Background(), level(l))
}

func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	next := *b
	next.Handler = b.Handler.WithAttrs(attrs(fields))
	return &next
}

func (b *bridge) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	// Fatal and panic entries must reach their hook even if the log is
	// discarded.
	if b.wanted(e.Level) || e.Level >= zapcore.DPanicLevel || e.Message == b.Message {
		return ce.AddCore(e, b)
	}
	return ce
}

func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Message == b.Message {
		for _, f := range fields {
			if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
				b.Seen(err)
			}
		}
	}
	l := level(e.Level)
	if l == slog.LevelWarn && slices.Contains(b.Noise, e.Message) {
		l = slog.LevelDebug
	}
	if !b.Handler.Enabled(context.Background(), l) {
		return nil
	}
	r := slog.NewRecord(e.Time, l, "etcd: "+e.Message, 0)
	r.AddAttrs(attrs(fields)...)
	return b.Handler.Handle(context.Background(), r)
}

func (b *bridge) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	enc := zapcore.NewMapObjectEncoder()
	as := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		f.AddTo(enc)
	}
	for _, f := range fields {
		if v, ok := enc.Fields[f.Key]; ok {
			as = append(as, slog.Any(f.Key, v))
		}
	}
	return as
}
