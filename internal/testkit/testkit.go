// Package testkit holds what the tests of many rooms need and no room owns:
// polling for a condition, a log that can be read while it is written, a check
// of an error's reason, and a network that can be cut. A whole cluster is in
// package ruedotest, a store in etcdtest.
package testkit

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Patience is how long Eventually waits. It is far more than any condition needs
// on a busy machine under the race detector.
const Patience = 20 * time.Second

// Eventually polls until ok returns true. After Patience it fails the test and
// says what did not happen.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	Within(t, Patience, what, ok)
}

// Within is Eventually with a time limit of its own.
func Within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	if !Poll(limit, ok) {
		t.Fatalf("not within %v: %s", limit, what)
	}
}

// Poll calls ok until it returns true, and reports whether it did so within the
// limit. The pauses between the calls grow from one to twenty milliseconds.
func Poll(limit time.Duration, ok func() bool) bool {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; !ok(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}

// Log is a writer that can be read while others write. The zero value is empty
// and ready to use.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String returns what was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Logger returns a logger that writes to the log as text, from level info on.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// WantReason stops the test unless err has the reason, and checks that its
// message or its fix contains each of the texts.
func WantReason(t testing.TB, err error, want fault.Reason, says ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%v, want %s", err, want)
	}
	e, _ := errors.AsType[*fault.Error](err)
	for _, s := range says {
		if !strings.Contains(e.Message+" | "+e.Fix, s) {
			t.Errorf("%q | %q does not say %q", e.Message, e.Fix, s)
		}
	}
}
