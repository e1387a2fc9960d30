// Package audit records what is not a change, reads the audit and keeps it small.
//
//	a := audit.New(audit.Config{Records: r, Write: write})
//	a.Denied(ctx, "delete", "service", "greet", fault.PermissionDenied)
//
// # What is recorded where
//
// The record of a change is written with the change, by package store/chain. Logins
// that failed, requests that were refused and looks at the audit have no
// transaction of their own: they are folded here, and written about once a second.
// They never keep a request waiting, and a flood of them cannot fill the store: see
// [MaxASecond].
package audit

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/records"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

// Defaults of Config.
const (
	DefaultKeep     = 400 * 24 * time.Hour
	DefaultMost     = 200_000
	DefaultInterval = time.Hour
	DefaultPause    = time.Second
)

const (
	// MaxASecond is how many records one core writes in a [Config.Pause] of what is
	// no change. The last of them counts the others.
	MaxASecond = chain.MaxNotes
	// maxFolded bounds what waits to be written.
	maxFolded = 1000
	// closeTimeout bounds the last write.
	closeTimeout = time.Second
	// maxFollow is how long a stream can follow.
	maxFollow = time.Hour
	// maxStreams bounds the streams that read the audit at the same time.
	maxStreams = 16
	// maxNewest bounds the records that are kept in memory for one answer.
	maxNewest = 10_000
)

// Config configures an Audit.
type Config struct {
	// Records is the audit in the store. Required.
	Records interface {
		Write(ctx context.Context, notes chain.Notes) error
		List(ctx context.Context, which records.Range) (int64, iter.Seq2[*ruedov1.AuditRecord, error], error)
		Follow(ctx context.Context, after int64) iter.Seq2[*ruedov1.AuditRecord, error]
		Trim(ctx context.Context, fence fleet.Fence, keep records.Keep, dry bool) (uint64, error)
	}
	// Keep is how long records are kept, and Most how many. Default: [DefaultKeep],
	// [DefaultMost].
	Keep time.Duration
	Most uint64
	// Interval is how often old ones are removed. Default: [DefaultInterval].
	Interval time.Duration
	// Pause is how long to wait between writes. Default: [DefaultPause].
	Pause time.Duration
	// Down ends when the core goes down, and then streams end. Nil never does.
	Down context.Context
	// Logger; nil discards.
	Logger *slog.Logger
}

// Audit records, lists and removes. Its methods can be called from many goroutines.
type Audit struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	slots  chan struct{} // of streams

	fold
}

// New returns an Audit; Close ends it. It starts a goroutine only while there is
// something to write.
func New(cfg Config) *Audit {
	cfg.Keep = cmp.Or(cfg.Keep, DefaultKeep)
	cfg.Most = cmp.Or(cfg.Most, DefaultMost)
	cfg.Interval = cmp.Or(cfg.Interval, DefaultInterval)
	cfg.Pause = cmp.Or(cfg.Pause, DefaultPause)
	if cfg.Down == nil {
		cfg.Down = context.Background()
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	a := &Audit{cfg: cfg, slots: make(chan struct{}, maxStreams)}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// Close writes what has not been written, unless the store does not accept it
// within a second.
func (a *Audit) Close() {
	a.stop()
	a.cancel()
	a.wg.Wait()
}

// Handler returns the path and the handler of the AuditService.
func (a *Audit) Handler(opts ...connect.HandlerOption) (string, http.Handler) {
	return ruedov1connect.NewAuditServiceHandler(a, opts...)
}
