package etcdembed

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ruedo-dev/ruedo/internal/etcdembed/zapslog"
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
	core := zapslog.New(zapslog.Config{Handler: to.Handler(), Noise: noise(), Message: serverError, Seen: func(cause error) {
		if strings.Contains(cause.Error(), memberRemoved) {
			f.removed.Store(true)
		}
	}})
	return zap.New(core, zap.WithFatalHook(f), zap.WithPanicHook(f))
}

// serverError is etcd's message when it stops on its own, with the error
// memberRemoved if the member was removed: there is no other sign of it.
const (
	serverError   = "server error"
	memberRemoved = "permanently removed from the cluster"
)

// noise are errors that etcd logs when nothing is wrong.
func noise() []string {
	return []string{
		"rejecting promote learner: learner is not ready", // it asks until it is
		"setting up serving from embedded etcd failed.",   // at every stop
		"failed to update storage version",                // at a stop soon after the first start
	}
}
