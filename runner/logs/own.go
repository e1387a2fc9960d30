package logs

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Bounds of what guests can make the runner write to its own log.
const (
	// ownLines and ownBytes are of one call: its last lines.
	ownLines = 200
	ownBytes = 16 << 10
	// serviceRate and serviceBurst are of one service, in bytes per second and
	// in bytes; ownRate and ownBurst of all services.
	serviceRate  = 32 << 10
	serviceBurst = 256 << 10
	ownRate      = 256 << 10
	ownBurst     = 2 << 20
	// lineBytes is about what a record takes besides the guest's line.
	lineBytes = 160
	// maxBuckets bounds the services whose rate is remembered.
	maxBuckets = 1024
)

// own writes the lines of guests to the runner's own log, within bounds.
type own struct {
	log *slog.Logger

	mu       sync.Mutex
	all      *bucket
	services map[string]*bucket
}

// bucket is how many bytes may be written now.
type bucket struct {
	left    float64
	at      time.Time
	omitted int // lines since the last that was written
}

func newOwn(log *slog.Logger) *own {
	return &own{log: log, all: &bucket{left: ownBurst, at: time.Now()}, services: make(map[string]*bucket)}
}

func (b *bucket) refill(now time.Time, rate, burst float64) {
	b.left = min(burst, b.left+now.Sub(b.at).Seconds()*rate)
	b.at = now
}

// write writes one record for each line of the entry, and for a trace.
func (o *own) write(e *ruedov1.LogEntry) {
	ctx := context.Background()
	if !o.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	text := string(Tail([]byte(e.Text), ownBytes))
	omitted := strings.Count(e.Text[:len(e.Text)-len(text)], "\n")
	if e.Trace != "" {
		text += "at " + strings.ReplaceAll(e.Trace, "\n", "\nat ") + "\n"
	}
	lines := strings.SplitAfter(text, "\n")
	if n := len(lines); lines[n-1] == "" {
		lines = lines[:n-1]
	}
	if over := len(lines) - ownLines; over > 0 {
		omitted += over
		lines = lines[over:]
	}
	if len(lines) == 0 {
		return
	}
	before, ok := o.take(e.Service, len(text)+len(lines)*lineBytes, len(lines)+omitted)
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("service", e.Service), slog.Uint64("revision", e.Revision), slog.String("call_id", e.CallId)}
	if omitted += before; omitted > 0 {
		o.log.LogAttrs(ctx, slog.LevelInfo, "guest", append(attrs, slog.Int("lines_omitted", omitted))...)
	}
	for _, line := range lines {
		o.log.LogAttrs(ctx, slog.LevelInfo, "guest", append(attrs, slog.String("line", strings.TrimSuffix(line, "\n")))...)
	}
}

// take reports whether n bytes may be written now, and how many lines of the
// service were omitted before. If not, it counts the lines.
func (o *own) take(service string, n, lines int) (omitted int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	b := o.services[service]
	if b == nil {
		if len(o.services) >= maxBuckets {
			clear(o.services)
		}
		b = &bucket{left: serviceBurst, at: now}
		o.services[strings.Clone(service)] = b
	}
	b.refill(now, serviceRate, serviceBurst)
	o.all.refill(now, ownRate, ownBurst)
	if float64(n) > b.left || float64(n) > o.all.left {
		b.omitted += lines
		return 0, false
	}
	b.left -= float64(n)
	o.all.left -= float64(n)
	omitted, b.omitted = b.omitted, 0
	return omitted, true
}
