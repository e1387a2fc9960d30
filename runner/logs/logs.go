// Package logs keeps the last of what guests logged and printed, by service.
//
//	l := logs.New(logs.Config{Runner: id, Logger: log})
//	if failed != nil || len(res.Logs) > 0 { // a silent call costs this comparison
//		l.Keep(entry, res.Logs)
//	}
//	page, err := l.Read(ctx, logs.Query{Service: "greet", Wait: 10 * time.Second})
//
// [Logs.Keep] also writes the lines of failed calls, and on request those of
// successful ones, to the runner's own log. [Calls] writes there that a call was
// executed.
//
// # Bounds
//
// An entry holds at most [MaxText] bytes of a call. A service keeps
// ServiceBytes, all services together TotalBytes: when these are used up, the
// service that holds most loses its oldest entry, so a loud service does not
// push out quiet ones. Of more than Services services, the one that was silent
// the longest is forgotten. The lines in the runner's own log are bounded for
// each call, and per second for each service and for all of them.
//
// Everything is safe for concurrent use.
package logs

import (
	"cmp"
	"container/list"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Defaults of Config.
const (
	DefaultServiceBytes = 256 << 10
	DefaultServices     = 256
	DefaultTotalBytes   = 16 << 20
)

const (
	// MaxText is how many bytes of the text of one call are kept: its end.
	MaxText = 32 << 10
	// maxMessage and maxTrace bound the other texts of an entry.
	maxMessage = 2 << 10
	maxTrace   = 4 << 10
	// overhead is about what an entry takes besides its texts.
	overhead = 512
	// pageBytes is when a page is full. It can hold one entry more.
	pageBytes = 32 << 10
	// maxReaders is how many readers can wait at a time.
	maxReaders = 128
	// maxWait is how long a reader can wait.
	maxWait = 30 * time.Second
)

// Config configures Logs. A zero field means its default.
type Config struct {
	// Runner is the id of the runner.
	Runner string
	// ServiceBytes bounds what is kept of one service. Default:
	// [DefaultServiceBytes].
	ServiceBytes int
	// Services bounds of how many services something is kept. Default:
	// [DefaultServices].
	Services int
	// TotalBytes bounds what is kept of all services. Default:
	// [DefaultTotalBytes].
	TotalBytes int
	// Successes writes the lines of successful calls to Logger, too.
	Successes bool
	// Logger receives the lines of guests, and of calls that failed. Default: discard.
	Logger *slog.Logger
	// Calls receives the lines of calls that succeeded. Default: Logger.
	Calls *slog.Logger
}

// Logs holds entries by service.
type Logs struct {
	cfg Config
	own *own

	mu       sync.Mutex
	services map[string]*service
	order    *list.List // of *service, the one that logged last first
	bytes    int
	last     int64                    // time of the last entry
	waiting  map[string]chan struct{} // by the service that readers wait for; "" is any
	readers  int
}

// service is what is kept of one service, the oldest entry first.
type service struct {
	name    string
	entries []*ruedov1.LogEntry
	bytes   int
	gone    int64 // time of the last entry that was dropped
	elem    *list.Element
}

// New returns empty logs. It starts no goroutines.
func New(cfg Config) *Logs {
	cfg.ServiceBytes = cmp.Or(max(cfg.ServiceBytes, 0), DefaultServiceBytes)
	cfg.Services = cmp.Or(max(cfg.Services, 0), DefaultServices)
	cfg.TotalBytes = cmp.Or(max(cfg.TotalBytes, 0), DefaultTotalBytes)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	cfg.Calls = cmp.Or(cfg.Calls, cfg.Logger)
	return &Logs{
		cfg:      cfg,
		own:      newOwn(cfg.Logger),
		services: make(map[string]*service),
		order:    list.New(),
		waiting:  make(map[string]chan struct{}),
	}
}

// Keep stores what a guest said in a call, text, and the rest of the entry. It
// sets the entry's time, runner and text, and owns the entry afterwards; text is
// not retained.
func (l *Logs) Keep(e *ruedov1.LogEntry, text []byte) {
	if over := len(text) - MaxText; over > 0 {
		kept := Tail(text, MaxText)
		e.Dropped += uint64(len(text) - len(kept))
		text = kept
	}
	e.Text, e.Runner = string(text), l.cfg.Runner
	e.Message, e.Trace = fault.Cut(e.Message, maxMessage), string(Tail([]byte(e.Trace), maxTrace))
	l.add(e)
	if e.Reason != "" || l.cfg.Successes {
		l.own.write(e)
	}
}

// Tail returns the end of a text, at most limit bytes: whole lines if possible,
// whole characters in any case.
func Tail(text []byte, limit int) []byte {
	if len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	for i, c := range text {
		if c == '\n' && i+1 < len(text) {
			return text[i+1:]
		}
	}
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}

func size(e *ruedov1.LogEntry) int {
	return overhead + len(e.Text) + len(e.Trace) + len(e.Message) + len(e.Service) + len(e.CallId)
}

func (l *Logs) add(e *ruedov1.LogEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = max(l.last+1, time.Now().UnixNano())
	e.Time = timestamppb.New(time.Unix(0, l.last))
	s := l.services[e.Service]
	if s == nil {
		s = &service{name: strings.Clone(e.Service)}
		s.elem = l.order.PushFront(s)
		l.services[s.name] = s
	}
	l.order.MoveToFront(s.elem)
	n := size(e)
	s.entries = append(s.entries, e)
	s.bytes += n
	l.bytes += n
	for s.bytes > l.cfg.ServiceBytes && len(s.entries) > 1 {
		l.drop(s)
	}
	for len(l.services) > l.cfg.Services {
		l.forget(l.order.Back().Value.(*service))
	}
	for l.bytes > l.cfg.TotalBytes {
		if largest := l.largest(); len(largest.entries) > 1 {
			l.drop(largest)
		} else if oldest := l.order.Back().Value.(*service); oldest != s {
			l.forget(oldest)
		} else {
			break // one entry alone is over the bound
		}
	}
	l.wake(e.Service)
}

// drop drops the oldest entry of a service.
func (l *Logs) drop(s *service) {
	n := size(s.entries[0])
	s.gone = nanos(s.entries[0])
	s.entries[0] = nil
	s.entries = s.entries[1:]
	s.bytes -= n
	l.bytes -= n
}

func (l *Logs) forget(s *service) {
	l.order.Remove(s.elem)
	delete(l.services, s.name)
	l.bytes -= s.bytes
}

// largest returns the service that holds most bytes.
func (l *Logs) largest() (most *service) {
	for _, s := range l.services {
		if most == nil || s.bytes > most.bytes {
			most = s
		}
	}
	return most
}

// wake wakes the readers that wait for an entry of the service.
func (l *Logs) wake(service string) {
	for _, name := range []string{service, ""} {
		if c := l.waiting[name]; c != nil {
			close(c)
			delete(l.waiting, name)
		}
	}
}

func nanos(e *ruedov1.LogEntry) int64 { return e.Time.Seconds*1e9 + int64(e.Time.Nanos) }

// Query says which entries to read.
type Query struct {
	// Service and Call that entries must have; "" means any. One of them must be
	// set, so that a page stays small.
	Service, Call string
	// After is the time of the last entry that was read, in nanoseconds since
	// 1970.
	After int64
	// Wait is how long to wait for an entry if there is none yet.
	Wait time.Duration
}

// Page is what a read returned.
type Page struct {
	// Entries, the oldest first. They are shared: do not change them.
	Entries []*ruedov1.LogEntry
	// More reports that there are later entries already.
	More bool
	// Gap reports that entries after Query.After were dropped to make room.
	Gap bool
}

// Read returns the first entries that match the query. The page is empty if none
// came in time. It ends with ctx.
func (l *Logs) Read(ctx context.Context, q Query) (Page, error) {
	p, wait, err := l.read(q)
	if wait == nil || err != nil {
		return p, err
	}
	defer l.leave()
	timer := time.NewTimer(min(q.Wait, maxWait))
	defer timer.Stop()
	for {
		select {
		case <-wait:
		case <-timer.C:
			return p, nil
		case <-ctx.Done():
			return p, fault.FromError(ctx.Err())
		}
		if p, wait = l.again(q); wait == nil {
			return p, nil
		}
	}
}

// read returns a page or, if it is empty and the query waits, what to wait for.
// Then the caller counts as a reader until leave.
func (l *Logs) read(q Query) (p Page, wait <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p = l.page(q)
	if len(p.Entries) > 0 || q.Wait <= 0 {
		return p, nil, nil
	}
	if l.readers >= maxReaders {
		return p, nil, fault.New(fault.QueueFull, "runner %s has %d readers of logs that wait, the limit", l.cfg.Runner, l.readers).
			WithFix("end some, or try again later")
	}
	l.readers++
	return p, l.wait(q.Service), nil
}

func (l *Logs) again(q Query) (p Page, wait <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p = l.page(q); len(p.Entries) > 0 {
		return p, nil
	}
	return p, l.wait(q.Service)
}

func (l *Logs) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readers--
}

// wait returns a channel that is closed at the next entry of a service.
func (l *Logs) wait(service string) <-chan struct{} {
	c := l.waiting[service]
	if c == nil {
		c = make(chan struct{})
		l.waiting[service] = c
	}
	return c
}

// page returns what there is now.
func (l *Logs) page(q Query) (p Page) {
	if q.Service != "" {
		if s := l.services[q.Service]; s != nil {
			s.page(q, &p)
		}
		return p
	}
	for _, s := range l.services {
		s.page(q, &p)
	}
	p.Gap = false // what was dropped is most likely of other calls
	sortByTime(p.Entries)
	return p
}
