package etcdembed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// failure is the fatal error over which etcd would have exited the process.
type failure struct {
	once  sync.Once
	done  chan struct{}
	cause error // set before done is closed
	// removed is true once the others have said that the member was removed.
	removed atomic.Bool
}

func newFailure() *failure { return &failure{done: make(chan struct{})} }

func (f *failure) set(cause error) {
	f.once.Do(func() {
		f.cause = cause
		close(f.done)
	})
}

// err returns the failure as an error, even if etcd has not reported one.
func (f *failure) err() error {
	if f.failed() {
		return f.cause
	}
	return errors.New("the embedded store did not start")
}

// failed reports whether etcd has failed.
func (f *failure) failed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// OnWrite replaces os.Exit and panic after a fatal log entry. It ends the
// goroutine that logged the entry and marks the member as failed. A store that
// is gone must not end the calls that continue from memory.
func (f *failure) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	cause := errors.New(e.Message)
	for _, field := range fields {
		if err, ok := field.Interface.(error); ok && field.Type == zapcore.ErrorType {
			cause = fmt.Errorf("%w: %w", cause, err)
		}
	}
	f.set(cause)
	runtime.Goexit()
}

// zapLogger returns a logger for etcd that writes to ours.
func zapLogger(to *slog.Logger, f *failure) *zap.Logger {
	return zap.New(&bridge{to: to.Handler(), failure: f}, zap.WithFatalHook(f), zap.WithPanicHook(f))
}

// bridge is a zapcore.Core on a slog.Handler. etcd's messages are only for
// debugging, so info and warnings become debug. etcd logs errors even during a
// healthy start, so errors become warnings.
type bridge struct {
	to      slog.Handler
	failure *failure
}

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

// noise are errors that etcd logs when nothing is wrong.
func noise() []string {
	return []string{
		"setting up serving from embedded etcd failed.", // at every stop
		"failed to update storage version",              // at a stop soon after the first start
	}
}

// Enabled lets warnings come as far as Check, which looks for one of them.
func (b *bridge) Enabled(l zapcore.Level) bool {
	return l >= zapcore.WarnLevel || b.wanted(l)
}

func (b *bridge) wanted(l zapcore.Level) bool {
	return b.to.Enabled(context.Background(), level(l))
}

func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	return &bridge{to: b.to.WithAttrs(attrs(fields)), failure: b.failure}
}

func (b *bridge) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	// Fatal and panic entries must reach their hook even if the log is
	// discarded, and so must the entry that says why etcd stops.
	if b.wanted(e.Level) || e.Level >= zapcore.DPanicLevel || e.Message == serverError {
		return ce.AddCore(e, b)
	}
	return ce
}

// serverError is etcd's message when it stops on its own, with the error
// memberRemoved if the member was removed: nothing else tells.
const (
	serverError   = "server error"
	memberRemoved = "permanently removed from the cluster"
)

func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Message == serverError && slices.ContainsFunc(fields, isRemoval) {
		b.failure.removed.Store(true)
	}
	l := level(e.Level)
	if l == slog.LevelWarn && slices.Contains(noise(), e.Message) {
		l = slog.LevelDebug
	}
	if !b.to.Enabled(context.Background(), l) {
		return nil
	}
	r := slog.NewRecord(e.Time, l, "etcd: "+e.Message, 0)
	r.AddAttrs(attrs(fields)...)
	return b.to.Handle(context.Background(), r)
}

func isRemoval(f zapcore.Field) bool {
	err, ok := f.Interface.(error)
	return ok && f.Type == zapcore.ErrorType && strings.Contains(err.Error(), memberRemoved)
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
