package singleflight_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/runner/internal/singleflight"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOneFliesForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := singleflight.New[int]()
		defer g.Close()
		var runs, joins atomic.Int32
		release := make(chan struct{})
		fn := func(context.Context) (int, error) { runs.Add(1); <-release; return 7, nil }
		gone, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			// The first one gives up; the others do not notice.
			if _, _, err := g.Do(gone, "k", fn); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		for range 9 {
			wg.Go(func() {
				v, joined, err := g.Do(t.Context(), "k", fn)
				if v != 7 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
				if joined {
					joins.Add(1)
				}
			})
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		wg.Wait()
		if runs.Load() != 1 || joins.Load() != 9 {
			t.Errorf("%d runs, %d joined", runs.Load(), joins.Load())
		}
		if _, joined, _ := g.Do(t.Context(), "k", fn); joined || runs.Load() != 2 {
			t.Error("a result was kept")
		}
	})
}

func TestCloseEndsFlights(t *testing.T) {
	g := singleflight.New[int]()
	started := make(chan struct{})
	got := make(chan error)
	go func() {
		_, _, err := g.Do(t.Context(), "k", func(ctx context.Context) (int, error) {
			close(started)
			<-ctx.Done()
			return 0, ctx.Err()
		})
		got <- err
	}()
	<-started
	go g.Close()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	g.Close()
	if _, _, err := g.Do(t.Context(), "k", nil); err != singleflight.ErrClosed {
		t.Errorf("after close: %v", err)
	}
}

func TestPanicIsAnError(t *testing.T) {
	g := singleflight.New[int]()
	defer g.Close()
	if _, _, err := g.Do(t.Context(), "k", func(context.Context) (int, error) { panic("x") }); err == nil {
		t.Error("no error")
	}
}
