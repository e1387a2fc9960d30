// Package logs reads what guests logged from all runners of a core.
//
//	reader := logs.New(logs.Config{Runners: runners, Done: down})
//	err := reader.Read(ctx, req, stream.Send)
//
// Each runner keeps the last of each service in memory; the core keeps nothing.
// [Reader.Read] merges what the runners have in order of time. With follow it
// continues with new entries, including those of runners that attach later:
// entries that arrive within [window] are put in order before they are sent.
//
// # Bounds
//
// A core serves [MaxStreams] streams at a time. A stream holds one page of each
// runner, of at most 80 KiB, and reads the next one when its reader has taken
// that: a slow reader misses what a runner drops meanwhile, and is told so. A
// stream that follows ends after [MaxFollow].
package logs

import (
	"context"
	"slices"
	"time"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// MaxStreams is how many streams a core serves at a time.
	MaxStreams = 32
	// MaxFollow is how long a stream can follow.
	MaxFollow = time.Hour
	// window is how long entries that arrive are held, to send them in order.
	window = 200 * time.Millisecond
	// look is how often a stream that follows looks for new runners.
	look = time.Second
	// wait is how long a runner waits for an entry; asked is how long the core
	// waits for its answer in addition.
	wait  = 20 * time.Second
	asked = 5 * time.Second
	// maxParallel is how many runners one stream asks at a time before it
	// follows them.
	maxParallel = 32
	// batch is how many bytes of text a message of a stream has at most, plus one
	// entry.
	batch = 64 << 10
)

// Config configures a Reader. All fields are required.
type Config struct {
	// Runners returns the runners that are attached to this core.
	Runners func() []dispatch.Member
	// Absent returns the ids of runners that are registered in the cluster but not
	// attached to this core.
	Absent func() []string
	// Done ends the streams that follow.
	Done <-chan struct{}
}

// Reader reads logs. It is safe for concurrent use.
type Reader struct {
	cfg     Config
	streams chan struct{} // slots
}

// New returns a reader. It starts no goroutines.
func New(cfg Config) *Reader { return &Reader{cfg, make(chan struct{}, MaxStreams)} }

// Read sends the entries that match a request, in order of time, of services that
// the caller of the context may read. It returns how many there were. send is called
// by one goroutine at a time; if it fails, the stream ends with its error. Other
// errors are SERVER_BUSY and ctx's.
func (r *Reader) Read(ctx context.Context, req *ruedov1.ReadLogsRequest, send func(*ruedov1.ReadLogsResponse) error) (entries int, err error) {
	select {
	case r.streams <- struct{}{}:
		defer func() { <-r.streams }()
	default:
		return 0, fault.New(fault.ServerBusy, "this core serves %d streams of logs, the limit", MaxStreams).
			WithFix("end some, or try again later")
	}
	s := &stream{Reader: r, req: req, may: access.Visible(ctx, access.Service), send: send, sources: make(map[dispatch.Member]*source), read: make(map[string]int64)}
	for id, t := range req.GetAfter() {
		s.read[id] = t.AsTime().UnixNano()
	}
	if req.GetSince() != nil {
		s.begin = time.Now().Add(-req.GetSince().AsDuration()).UnixNano()
	}
	if err := s.past(ctx); err != nil || !req.GetFollow() {
		return s.sent, err
	}
	return s.sent, s.follow(ctx)
}

// stream is one Read.
type stream struct {
	*Reader
	req     *ruedov1.ReadLogsRequest
	may     func(service string) bool
	send    func(*ruedov1.ReadLogsResponse) error
	begin   int64 // entries are later, in nanoseconds since 1970
	sources map[dispatch.Member]*source
	read    map[string]int64 // time of the last entry by runner, which can attach again
	sent    int
}

// source is a runner that a stream reads. One goroutine at a time uses it.
type source struct {
	id       string
	from     executor.LogReader
	may      func(service string) bool
	req      *runnerv1.ReadLogsRequest
	page     []*ruedov1.LogEntry // not sent yet
	more     bool
	gap      string // to be reported
	answered bool   // once; then its end is not a gap
	ended    bool   // nothing more can be read
}

// add adds a runner if the stream does not have it.
func (s *stream) add(m dispatch.Member) *source {
	if s.sources[m] != nil {
		return nil
	}
	src := &source{id: m.Info().GetId(), may: s.may, req: &runnerv1.ReadLogsRequest{
		Service: s.req.GetService(), CallId: s.req.GetCallId(),
	}}
	src.req.AfterNanos = max(s.begin, s.read[src.id])
	s.sources[m] = src
	src.from, _ = m.(executor.LogReader)
	if src.from == nil {
		src.ended, src.gap = true, "it keeps no logs"
	}
	return src
}

// read reads the next page. It waits up to patience for entries. A runner that
// cannot answer is not asked again.
func (src *source) read(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience+asked)
	defer cancel()
	src.req.WaitNanos = int64(patience)
	for src.page, src.more = nil, true; len(src.page) == 0 && src.more; {
		src.next(ctx)
	}
}

// next reads one page, which is empty if the caller may read nothing of it.
func (src *source) next(ctx context.Context) {
	page, err := src.from.ReadLogs(ctx, src.req)
	if err != nil {
		src.ended, src.more = true, false
		if e := fault.FromError(err); !src.answered || e.Reason != fault.RunnerLost && e.Reason != fault.RunnerDraining {
			src.gap = e.Error()
		}
		return
	}
	src.answered = true
	src.page, src.more = page.GetEntries(), page.GetMore()
	if page.GetGap() {
		src.gap = "earlier entries were dropped to make room"
	}
	if n := len(src.page); n > 0 {
		src.req.AfterNanos = nanos(src.page[n-1])
	}
	src.page = slices.DeleteFunc(src.page, func(e *ruedov1.LogEntry) bool { return !src.may(e.GetService()) })
}

// errDown ends a stream that follows when the core goes down.
var errDown = fault.New(fault.CoreUnreachable, "the core is going down").WithFix("read the logs from another core")

func nanos(e *ruedov1.LogEntry) int64 { return e.GetTime().AsTime().UnixNano() }
