package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// memory stands in for a store, so that a test can pass days in an instant.
type memory struct {
	mu       sync.Mutex
	records  map[string]*storev1.JobRecord
	revision int64
	away     bool
	full     bool
}

func (m *memory) JobRecords(context.Context) (map[string]*storev1.JobRecord, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return nil, 0, fault.New(fault.StoreUnavailable, "away")
	}
	return maps.Clone(m.records), m.revision, nil
}

func (m *memory) PutJobRecord(_ context.Context, _ fleet.Fence, name string, r *storev1.JobRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return fault.New(fault.StoreFull, "full")
	}
	m.revision++
	m.records[name] = r
	return nil
}

// leading runs f while the runner leads.
func leading(r *Runner, f func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Lead(ctx, fleet.Fence{}) })
	f()
	cancel()
	wg.Wait()
}

func TestJobsRunAtTheirIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{records: map[string]*storev1.JobRecord{}}
		hourly, often := new(atomic.Int64), new(atomic.Int64)
		var fails atomic.Bool
		job := func(name string, every time.Duration, runs *atomic.Int64) Job {
			return Job{Name: name, Interval: every, Run: func(context.Context, *Turn) (string, error) {
				if runs.Add(1); fails.Load() {
					return "", errors.New("broken")
				}
				return "did it", nil
			}}
		}
		var outcomes []fault.Reason
		cfg := Config{Store: store, Core: "core-1", Jobs: []Job{job("hourly", time.Hour, hourly), job("often", 10*time.Second, often)},
			Observe: func(_ string, outcome fault.Reason, _ time.Duration) { outcomes = append(outcomes, outcome) }}
		leading(New(cfg), func() {
			time.Sleep(30 * time.Second)
			if hourly.Load() != 0 {
				t.Error("a job runs while the cluster starts")
			}
			time.Sleep(2*time.Hour + 45*time.Second)
			synctest.Wait()
		})
		if hourly.Load() != 3 || often.Load() != 727 {
			t.Errorf("ran %d and %d times", hourly.Load(), often.Load())
		}
		// The next leader goes on where this one ended.
		time.Sleep(time.Minute)
		leading(New(cfg), func() {
			time.Sleep(30 * time.Minute)
			synctest.Wait()
			if hourly.Load() != 3 {
				t.Error("a new leader does everything again")
			}
			fails.Store(true)
			time.Sleep(30 * time.Minute)
			synctest.Wait()
			before := hourly.Load()
			time.Sleep(50 * time.Minute)
			synctest.Wait()
			if again := hourly.Load() - before; again != 10 {
				t.Errorf("a job that failed is run %d times more in 50 minutes, want one each 5", again)
			}
		})
		list, err := New(cfg).List(t.Context())
		if err != nil || list["hourly"].GetLast().GetError() == "" || list["hourly"].GetLast().GetReason() != "INTERNAL" || list["hourly"].GetLast().GetCore() != "core-1" || list["hourly"].GetNextTime() == nil {
			t.Errorf("%v, %v", list["hourly"], err)
		}
		if outcomes[0] != "" || outcomes[len(outcomes)-1] != fault.Internal {
			t.Errorf("outcomes %v", outcomes)
		}
	})
}

func TestAJobIsRunNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{records: map[string]*storev1.JobRecord{}}
		var dry []bool
		r := New(Config{Store: store, Core: "core-1", Jobs: []Job{
			{Name: "collect-modules", Interval: time.Hour, Run: func(_ context.Context, turn *Turn) (string, error) {
				dry = append(dry, turn.DryRun)
				for i := range 2 * maxItems {
					turn.Remove("module", fmt.Sprint(i), 1)
				}
				return "removed all", nil
			}},
			{Name: "panics", Interval: time.Hour, Run: func(context.Context, *Turn) (string, error) { panic("a bug") }},
			{Name: "slow", Interval: time.Hour, Run: func(ctx context.Context, _ *Turn) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}},
		}})
		_, err := r.Run(t.Context(), "collect-modules", false)
		testkit.WantReason(t, err, fault.NotLeader)
		res, err := r.Run(t.Context(), "collect-modules", true) // any core can
		if err != nil || res.GetRun().GetResult() != "removed all" || len(res.GetItems()) != maxItems {
			t.Errorf("%d items, %v", len(res.GetItems()), err)
		}
		if len(store.records) != 0 {
			t.Error("a dry run is kept")
		}
		_, err = r.Run(t.Context(), "colect-modules", true)
		testkit.WantReason(t, err, fault.JobNotFound, "did you mean collect-modules?")
		leading(r, func() {
			synctest.Wait()
			if res, err = r.Run(t.Context(), "collect-modules", false); err != nil || res.GetRun().GetCore() != "core-1" {
				t.Errorf("%v, %v", res.GetRun(), err)
			}
			if _, err := r.Run(t.Context(), "panics", false); !errors.Is(err, fault.Internal) {
				t.Errorf("a panic: %v", err)
			}
			// A job that hangs ends, and the others run again.
			began := time.Now()
			if _, err := r.Run(t.Context(), "slow", false); err == nil || time.Since(began) != maxRun {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			if _, err := r.Run(t.Context(), "collect-modules", false); err != nil {
				t.Error(err)
			}
		})
		if len(dry) < 3 || !dry[0] || dry[1] || dry[2] {
			t.Errorf("dry runs: %v", dry)
		}
		_, err = r.Run(t.Context(), "collect-modules", false)
		testkit.WantReason(t, err, fault.NotLeader)
	})
}

// Whoever waits for a job when the leadership ends gets an answer.
func TestAJobEndsWithTheLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Config{Store: &memory{records: map[string]*storev1.JobRecord{}}, Jobs: []Job{{
			Name: "slow", Interval: time.Hour, Run: func(ctx context.Context, _ *Turn) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			},
		}}})
		answers := make(chan error, 2)
		leading(r, func() {
			synctest.Wait()
			for range 2 { // one runs, the other one waits for its turn
				go func() { _, err := r.Run(t.Context(), "slow", false); answers <- err }()
			}
			synctest.Wait()
		})
		for range 2 {
			if err := <-answers; err == nil {
				t.Error("no error")
			}
		}
	})
}

func TestAFullStoreDoesNotHideWhatAJobDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{records: map[string]*storev1.JobRecord{}, full: true, away: true}
		r := New(Config{Store: store, Core: "core-1", Jobs: []Job{{
			Name: "tidy", Interval: time.Minute, Run: func(context.Context, *Turn) (string, error) { return "made room", nil },
		}}})
		leading(r, func() {
			time.Sleep(time.Hour) // the store is away
			store.mu.Lock()
			store.away = false
			store.mu.Unlock()
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			list, err := r.List(t.Context())
			if err != nil || list["tidy"].GetLast().GetResult() != "made room" {
				t.Errorf("%v, %v", list, err)
			}
		})
	})
}

func TestAgesByRevisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lookback = 24 * time.Hour
		var marks []*storev1.Mark
		for hour := range 100 {
			revision := int64(1000 + hour)
			marks = mark(marks, revision, time.Now(), lookback)
			turn := &Turn{marks: marks, now: time.Now()}
			before := turn.Before(lookback)
			// A key of hour h has revision 1000+h.
			if before >= 1000 && before > revision-24 {
				t.Fatalf("hour %d: keys up to %d count as a day old", hour, before)
			}
			if hour >= 28 && before < revision-28 {
				t.Errorf("hour %d: only keys up to %d count as a day old", hour, before)
			}
			if hour < 24 && before != 0 {
				t.Errorf("hour %d: something counts as a day old", hour)
			}
			if len(marks) > 2*maxMarks {
				t.Fatalf("%d marks", len(marks))
			}
			time.Sleep(time.Hour)
		}
		turn := &Turn{marks: marks, now: time.Now()}
		if turn.Before(0) != math.MaxInt64 || turn.Before(-1) != math.MaxInt64 || turn.Before(1000*time.Hour) != 0 {
			t.Error("no age, or too high an age")
		}
		// The store was replaced by a copy that is two days older.
		if marks = mark(marks, 1050, time.Now(), lookback); marks[len(marks)-1].GetRevision() > 1050 {
			t.Errorf("marks of revisions that are yet to come: %v", marks)
		}
		// The clock of the leader before was ahead.
		turn = &Turn{marks: mark(nil, 7, time.Now().Add(time.Hour), lookback), now: time.Now()}
		if turn.Before(time.Minute) != 0 {
			t.Error("what is marked in the future counts as old")
		}
		if mark(nil, 7, time.Now(), 0) != nil {
			t.Error("a job that does not look back has marks")
		}
	})
}

func TestAClockThatWasAheadDelaysNothing(t *testing.T) {
	last := &ruedov1.JobRun{StartTime: timestamppb.New(time.Now().Add(1000 * time.Hour))}
	if at := dueAfter(Job{Interval: time.Minute}, last); time.Until(at) > time.Minute {
		t.Errorf("due at %v", at)
	}
}
