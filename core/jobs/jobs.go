// Package jobs runs what the leader does again and again: each [Job] at its
// interval, one after the other.
//
//	r := jobs.New(jobs.Config{Store: s, Core: "core-1", Jobs: list})
//	r.Lead(ctx, fence) // while this core leads
//
// The results of jobs are kept in the store, so that every core can show them, and
// a new leader continues where the previous one stopped. A job that fails is tried
// again after its interval or [retryAfter], whichever is shorter.
package jobs

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/backoff"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/panics"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

const (
	// maxRun bounds one run of a job.
	maxRun = 15 * time.Minute
	// firstAfter is when a job that never ran is run, at the latest: not while a
	// cluster starts.
	firstAfter = time.Minute
	// retryAfter is when a job that failed is run again, at the latest.
	retryAfter = 5 * time.Minute
	// maxItems bounds the items of a report.
	maxItems = 1000
	// maxMarks bounds how many marks a job looks back over.
	maxMarks = 8
)

// Job is something that the leader does again and again.
type Job struct {
	// Name is a name as services have.
	Name string
	// Description says what it does, in a sentence.
	Description string
	// Interval is the time between the starts of two runs.
	Interval time.Duration
	// Lookback is the longest time that Run passes to [Turn.Before].
	Lookback time.Duration
	// Run does the job within ctx, whose principal is job/NAME, and says in a few
	// words what it has done. Every write takes the fence of the turn. In a dry run
	// it writes nothing.
	Run func(ctx context.Context, turn *Turn) (result string, err error)
}

// Turn is one run of a job.
type Turn struct {
	// Fence is needed for every write.
	Fence fleet.Fence
	// DryRun says that the job only reports what it would remove.
	DryRun bool

	marks []*storev1.Mark
	now   time.Time
	items []*ruedov1.JobItem
}

// Before returns a revision of the store that was current longer ago than age,
// the latest that is known: a key that was not written since is at least that
// old. It is 0 if nothing is known to be so old.
func (t *Turn) Before(age time.Duration) int64 {
	if age <= 0 {
		return math.MaxInt64
	}
	for _, m := range slices.Backward(t.marks) {
		if t.now.Sub(m.GetTime().AsTime()) >= age {
			return m.GetRevision()
		}
	}
	return 0
}

// Remove reports a thing that the job removes, or would.
func (t *Turn) Remove(kind, name string, bytes uint64) {
	if len(t.items) < maxItems {
		t.items = append(t.items, &ruedov1.JobItem{Kind: kind, Name: name, SizeBytes: bytes})
	}
}

// Config configures a Runner. All fields are required, unless they say
// otherwise.
type Config struct {
	// Store keeps the results of the jobs.
	Store interface {
		JobRecords(ctx context.Context) (map[string]*storev1.JobRecord, int64, error)
		PutJobRecord(ctx context.Context, fence fleet.Fence, name string, r *storev1.JobRecord) error
	}
	// Jobs are the jobs. Their names differ.
	Jobs []Job
	// Core is the id of this core.
	Core string
	// Observe is called after each run that was not dry, with the reason of its
	// failure, "" for success. Nil disables it.
	Observe func(job string, outcome fault.Reason, took time.Duration)
	// Logger; nil discards.
	Logger *slog.Logger
}

// Runner runs the jobs. Its methods can be called from many goroutines.
type Runner struct {
	cfg     Config
	jobs    map[string]Job
	session atomic.Pointer[session] // nil while this core does not lead

	mu     sync.Mutex
	recent map[string]*storev1.JobRecord // what this core has run as the leader
}

// session is a leadership.
type session struct {
	ctx      context.Context
	requests chan request
}

// request asks the leader to run a job now.
type request struct {
	job    string
	answer chan<- *ruedov1.RunJobResponse // with room for one
}

// New returns a Runner. It starts no goroutines.
func New(cfg Config) *Runner {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Observe == nil {
		cfg.Observe = func(string, fault.Reason, time.Duration) {}
	}
	r := &Runner{cfg: cfg, jobs: map[string]Job{}, recent: map[string]*storev1.JobRecord{}}
	for _, j := range cfg.Jobs {
		r.jobs[j.Name] = j
	}
	return r
}

// Lead runs the jobs when they are due, until ctx ends.
func (r *Runner) Lead(ctx context.Context, fence fleet.Fence) {
	s := &session{ctx, make(chan request)}
	r.session.Store(s)
	defer r.session.CompareAndSwap(s, nil)
	due, ok := r.schedule(ctx)
	if !ok {
		return
	}
	for {
		name, at := next(due)
		timer := time.NewTimer(time.Until(at))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case q := <-s.requests:
			timer.Stop()
			res, _ := r.run(ctx, r.jobs[q.job], fence, false)
			due[q.job] = dueAfter(r.jobs[q.job], res.GetRun())
			q.answer <- res
		case <-timer.C:
			res, _ := r.run(ctx, r.jobs[name], fence, false)
			due[name] = dueAfter(r.jobs[name], res.GetRun())
		}
	}
}

// schedule returns when each job is due, by what the store says of its last run.
// It returns false if ctx ends first.
func (r *Runner) schedule(ctx context.Context) (map[string]time.Time, bool) {
	var retry backoff.Backoff
	for {
		records, _, err := r.cfg.Store.JobRecords(ctx)
		if err == nil {
			due := map[string]time.Time{}
			for name, j := range r.jobs {
				due[name] = time.Now().Add(min(firstAfter, j.Interval))
				if last := records[name].GetLast(); last != nil {
					due[name] = dueAfter(j, last)
				}
			}
			return due, true
		}
		r.cfg.Logger.Debug("cannot read when jobs are due", "error", err)
		if retry.Wait(ctx) != nil {
			return nil, false
		}
	}
}

// dueAfter returns when a job is due after its last run. A clock that another
// leader had, ahead of this one, does not delay the job.
func dueAfter(j Job, last *ruedov1.JobRun) time.Time {
	every := j.Interval
	if last.GetError() != "" {
		every = min(every, retryAfter)
	}
	started := last.GetStartTime().AsTime()
	if now := time.Now(); started.After(now) {
		started = now
	}
	return started.Add(every)
}

// next returns the job that is due first.
func next(due map[string]time.Time) (name string, at time.Time) {
	for _, n := range slices.Sorted(maps.Keys(due)) {
		if name == "" || due[n].Before(at) {
			name, at = n, due[n]
		}
	}
	if name == "" { // there are no jobs
		at = time.Now().Add(time.Hour)
	}
	return name, at
}

// run runs a job. In a dry run it needs no fence, and keeps nothing. The
// response is there even if the job failed.
func (r *Runner) run(ctx context.Context, j Job, fence fleet.Fence, dry bool) (*ruedov1.RunJobResponse, error) {
	bounded, cancel := context.WithTimeout(access.WithPrincipal(ctx, "job/"+j.Name), maxRun)
	defer cancel()
	began := time.Now()
	turn := &Turn{Fence: fence, DryRun: dry, now: began}
	var record *storev1.JobRecord
	var result string
	err := panics.Try(func() error {
		records, revision, err := r.cfg.Store.JobRecords(bounded)
		if err != nil {
			return err
		}
		record = records[j.Name]
		turn.marks = mark(record.GetMarks(), revision, began, j.Lookback)
		result, err = j.Run(bounded, turn)
		return err
	})
	run := &ruedov1.JobRun{StartTime: timestamppb.New(began), Duration: durationpb.New(time.Since(began)), Core: r.cfg.Core, Result: result}
	if err != nil {
		e := fault.FromError(err)
		run.Error, run.Reason = e.Message, string(e.Reason)
	}
	res := &ruedov1.RunJobResponse{Run: run, Items: turn.items}
	if dry {
		return res, err
	}
	log := r.cfg.Logger.With("job", j.Name, "took", time.Since(began).Round(time.Millisecond))
	if err != nil && ctx.Err() == nil {
		log.Warn("a job of the leader failed", "error", err)
	} else if err == nil {
		log.Info("ran a job of the leader", "result", result)
	}
	r.cfg.Observe(j.Name, fault.Reason(run.Reason), time.Since(began))
	r.keep(ctx, fence, j.Name, &storev1.JobRecord{Last: run, Marks: turn.marks})
	return res, err
}

// keep writes the result of a job. A full store refuses it; then only this core
// remembers it.
func (r *Runner) keep(ctx context.Context, fence fleet.Fence, name string, record *storev1.JobRecord) {
	r.mu.Lock()
	r.recent[name] = record
	r.mu.Unlock()
	if err := r.cfg.Store.PutJobRecord(ctx, fence, name, record); err != nil {
		r.cfg.Logger.Debug("cannot store the result of a job", "job", name, "error", err)
	}
}

// mark adds the present to the marks of a job, unless the last one is recent
// enough, and removes those that are older than it looks back, except for the
// last of them.
func mark(marks []*storev1.Mark, revision int64, now time.Time, lookback time.Duration) []*storev1.Mark {
	if lookback <= 0 {
		return nil
	}
	marks = slices.Clone(marks)
	// A store that was replaced by an older copy counts its revisions again.
	marks = slices.DeleteFunc(marks, func(m *storev1.Mark) bool { return m.GetRevision() > revision })
	if n := len(marks); n == 0 || now.Sub(marks[n-1].GetTime().AsTime()) >= lookback/maxMarks {
		marks = append(marks, &storev1.Mark{Revision: revision, Time: timestamppb.New(now)})
	}
	for len(marks) > 1 && now.Sub(marks[1].GetTime().AsTime()) >= lookback {
		marks = marks[1:]
	}
	return marks[max(0, len(marks)-2*maxMarks):]
}

// List returns all jobs, sorted by name.
func (r *Runner) List(ctx context.Context) (map[string]*ruedov1.Job, error) {
	records, _, err := r.cfg.Store.JobRecords(ctx)
	if err != nil {
		return nil, err
	}
	list := map[string]*ruedov1.Job{}
	for name, j := range r.jobs {
		job := &ruedov1.Job{Name: name, Description: j.Description, Interval: durationpb.New(j.Interval), Last: records[name].GetLast()}
		r.mu.Lock()
		if mine := r.recent[name].GetLast(); mine.GetStartTime().AsTime().After(job.GetLast().GetStartTime().AsTime()) {
			job.Last = mine
		}
		r.mu.Unlock()
		if job.Last != nil {
			job.NextTime = timestamppb.New(dueAfter(j, job.Last))
		}
		list[name] = job
	}
	return list, nil
}

// Run runs a job now, after the one that is running. A dry run is done by any
// core, otherwise only by the leader. It fails with JOB_NOT_FOUND, with
// NOT_LEADER, or as the job does.
func (r *Runner) Run(ctx context.Context, name string, dry bool) (*ruedov1.RunJobResponse, error) {
	j, ok := r.jobs[name]
	if !ok {
		return nil, fault.New(fault.JobNotFound, "there is no job %q", name).
			WithFix("%s", suggest.Or(name, slices.Collect(maps.Keys(r.jobs)), "list the jobs"))
	}
	if dry {
		return r.run(ctx, j, fleet.Fence{}, true)
	}
	s := r.session.Load()
	if s == nil {
		return nil, notLeader()
	}
	answer := make(chan *ruedov1.RunJobResponse, 1)
	select {
	case s.requests <- request{name, answer}:
	case <-s.ctx.Done():
		return nil, notLeader()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case res := <-answer:
		if run := res.GetRun(); run.GetError() != "" {
			return nil, fault.New(fault.Reason(run.GetReason()), "%s", run.GetError())
		}
		return res, nil
	case <-s.ctx.Done():
		return nil, notLeader()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func notLeader() error {
	return fault.New(fault.NotLeader, "this core does not lead the cluster, so it runs no jobs").WithFix("ask the core that leads")
}
