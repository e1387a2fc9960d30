package lane_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
)

var (
	newest protocol.Range
	before = protocol.Range{Min: 2, Max: protocol.Pauses - 1}
)

// After a call, the runner's heartbeats come after about 1, 3, 7, 15, 29, 43 and
// 57 s.
const (
	pausing = 59 * time.Second // one came a moment ago
	asleep  = 65 * time.Second // one came long ago
)

// A loss is noticed in steps of half a second.
const step = lane.DefaultLossTimeout / 6

// The bytes that an idle lane takes in a day: what TCP carries, and at most with the
// headers of its packets, if none is acknowledged together with another.
func TestAnIdleLaneIsQuiet(t *testing.T) {
	const packet = 2 * 52 // headers of IPv4 and TCP with timestamps, and of the acknowledgement
	day := func(ofRunner protocol.Range) (payload, wire int64) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			_, l, conn := n.attach(t, newest, ofRunner, &fakeRunner{execute: echo})
			if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
				t.Fatal(err)
			}
			traffic := func() (bytes, writes int64) {
				return n.up.bytes.Load() + n.down.bytes.Load(), n.up.writes.Load() + n.down.writes.Load()
			}
			time.Sleep(time.Minute)
			bytes, writes := traffic()
			time.Sleep(time.Hour)
			bytesNow, writesNow := traffic()
			payload = 24 * (bytesNow - bytes)
			wire = payload + 24*packet*(writesNow-writes)
			if l.Err() != nil || conn.Err() != nil || !l.Ready() {
				t.Errorf("the lane ended: %v, %v", l.Err(), conn.Err())
			}
		})
		return payload, wire
	}
	payloadBefore, wireBefore := day(before)
	payload, wire := day(newest)
	t.Logf("an idle lane takes %d kB a day, at most %d kB with the headers of TCP; before %d kB and %d kB", payload/1000, wire/1000, payloadBefore/1000, wireBefore/1000)
	if wire > 2_500_000 || wireBefore < 10*wire {
		t.Errorf("%d bytes a day, before %d", wire, wireBefore)
	}
}

// A quiet peer and one that is gone differ in any combination of versions, and
// whichever way the link is cut.
func TestAPeerThatIsGoneIsNoticedOnAnIdleLane(t *testing.T) {
	for what, test := range map[string]struct {
		core, runner protocol.Range
		most         time.Duration
	}{
		"both pause":      {newest, newest, 18 * time.Second},
		"an older core":   {before, newest, lane.DefaultLossTimeout + 2*step},
		"an older runner": {newest, before, lane.DefaultLossTimeout + 2*step},
	} {
		for how, cut := range map[string]func(*network){
			"both ways":             (*network).cut,
			"what the core sends":   func(n *network) { n.down.lost.Store(true) },
			"what the runner sends": func(n *network) { n.up.lost.Store(true) },
		} {
			t.Run(what+"/"+how, func(t *testing.T) {
				for _, idle := range []time.Duration{0, 10 * time.Second, pausing, asleep} {
					synctest.Test(t, func(t *testing.T) {
						n := newNetwork()
						// The worst case: what was sent right before the cut arrives after
						// the other end has looked for it.
						n.up.delay, n.down.delay = 2*time.Nanosecond, 2*time.Nanosecond
						_, l, conn := n.attach(t, test.core, test.runner, &fakeRunner{execute: echo})
						time.Sleep(idle + time.Nanosecond)
						if !l.Ready() || conn.Err() != nil {
							t.Fatalf("lost while it was quiet: %v, %v", l.Err(), conn.Err())
						}
						cut(n)
						start := time.Now()
						within(t, time.Minute, "the core's end", l.Done())
						within(t, time.Minute, "the runner's end", conn.Done())
						if took := time.Since(start); took > test.most || !l.Lost() {
							t.Errorf("after %s of quiet: noticed after %s, want at most %s; the core's end: %v", idle, took, test.most, l.Err())
						}
					})
				}
			})
		}
	}
}

// A runner that vanished long ago fails the calls that come next, within the loss
// timeout: none of them has started, and it does not matter that more come
// meanwhile.
func TestCallsToARunnerThatIsGoneDoNotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		var executed atomic.Int32
		_, l, _ := n.attach(t, newest, newest, &fakeRunner{execute: func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
			executed.Add(1)
			return echo(ctx, req)
		}})
		time.Sleep(asleep)
		if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
			t.Fatalf("a runner that is there: %v", err)
		}
		time.Sleep(asleep)
		n.cut()
		start := time.Now()
		var wg sync.WaitGroup
		defer wg.Wait()
		ended := func() bool {
			select {
			case <-l.Done():
				return true
			case <-time.After(100 * time.Millisecond):
				return false
			}
		}
		for more := true; more; more = !ended() {
			wg.Go(func() {
				_, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{})
				if e := faultrpc.FromError(err); e.Reason != fault.RunnerLost || !e.NotStarted {
					t.Errorf("got %+v", e)
				}
			})
			wg.Go(func() {
				_, err := l.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: "p"})
				if e := faultrpc.FromError(err); !e.NotStarted {
					t.Errorf("a preparation: got %+v", e)
				}
			})
		}
		if took := time.Since(start); took > lane.DefaultLossTimeout+2*step {
			t.Errorf("noticed after %s", took)
		}
		if executed.Load() != 1 {
			t.Errorf("%d calls were executed, want 1", executed.Load())
		}
	})
}

// If the runner has just said that it pauses, the call does not wait for an answer
// to a probe, but a loss is noticed as on a lane in use.
func TestACallSoonAfterAHeartbeatIsSentImmediately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 40 * time.Millisecond
		n := newNetwork()
		n.up.delay, n.down.delay = delay, delay
		_, l, conn := n.attach(t, newest, newest, &fakeRunner{execute: echo})
		call := func() (took time.Duration, err error) {
			start := time.Now()
			_, err = l.Execute(t.Context(), &runnerv1.ExecuteRequest{})
			return time.Since(start), err
		}
		after := func(idle time.Duration) time.Duration {
			t.Helper()
			time.Sleep(idle)
			took, err := call()
			if err != nil {
				t.Fatalf("after %s: %v", idle, err)
			}
			return took
		}
		after(0)
		inUse, soon, late := after(0), after(pausing), after(asleep)
		if soon > inUse+delay || late < 2*inUse {
			t.Errorf("a call took %s in use, %s soon after a heartbeat, %s later", inUse, soon, late)
		}
		time.Sleep(pausing)
		n.cut()
		took, err := call()
		if e := faultrpc.FromError(err); e.Reason != fault.RunnerLost || took > lane.DefaultLossTimeout+2*step {
			t.Errorf("after %s: %+v", took, e)
		}
		within(t, 18*time.Second, "the runner's end", conn.Done())
	})
}

// During a call, neither end pauses for long.
func TestALongCallOnAQuietLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		long := func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
			select {
			case <-time.After(2 * time.Minute):
				return echo(ctx, req)
			case <-ctx.Done():
				return nil, fault.FromError(ctx.Err())
			}
		}
		_, l, conn := n.attach(t, newest, newest, &fakeRunner{execute: long})
		time.Sleep(asleep)
		if _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
			t.Errorf("a call of two minutes: %v", err)
		}
		time.Sleep(asleep)
		failed := make(chan error, 1)
		go func() { _, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{}); failed <- err }()
		time.Sleep(time.Minute)
		n.cut()
		cut := time.Now()
		within(t, lane.DefaultLossTimeout+2*step, "the core's end", l.Done())
		within(t, lane.DefaultLossTimeout+2*step-time.Since(cut), "the runner's end", conn.Done())
		if e := faultrpc.FromError(<-failed); e.Reason != fault.RunnerLost || e.NotStarted {
			t.Errorf("got %+v", e)
		}
	})
}

// A caller that goes away while the runner is asked does not wait for the answer.
func TestACallerThatGoesAwayWhileTheRunnerIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		_, l, _ := n.attach(t, newest, newest, &fakeRunner{execute: echo})
		time.Sleep(asleep)
		n.down.lost.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := l.Execute(ctx, &runnerv1.ExecuteRequest{})
		if e := faultrpc.FromError(err); e.Reason != fault.Deadline || !e.NotStarted || time.Since(start) != time.Second {
			t.Errorf("after %s: %+v", time.Since(start), e)
		}
		if l.Active() != 0 {
			t.Errorf("%d calls are in flight", l.Active())
		}
	})
}

// What was asked for and cannot be encoded costs the lane nothing.
func TestABadRequestOnAQuietLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		_, l, _ := n.attach(t, newest, newest, &fakeRunner{execute: echo})
		for _, idle := range []time.Duration{pausing, asleep} {
			time.Sleep(idle)
			_, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Service: "\xff"})
			if e := faultrpc.FromError(err); e.Reason != fault.RequestInvalid || !e.NotStarted {
				t.Errorf("got %+v", e)
			}
		}
		time.Sleep(asleep)
		if !l.Ready() {
			t.Errorf("the lane ended: %v", l.Err())
		}
	})
}

// A runner that is quiet is alive, and keeps its name.
func TestAQuietRunnerKeepsItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		c, l, _ := n.attach(t, newest, newest, &fakeRunner{execute: echo})
		for _, idle := range []time.Duration{pausing, asleep} {
			time.Sleep(idle)
			conn, err := lane.Dial(t.Context(), n.config(c, &fakeRunner{execute: echo}))
			if !errors.Is(err, fault.AlreadyExists) {
				t.Errorf("after %s: %v", idle, err)
			}
			if err == nil {
				conn.Close()
			}
		}
		time.Sleep(asleep)
		if !l.Ready() {
			t.Errorf("the lane ended: %v", l.Err())
		}
	})
}

// What the runner says of itself meanwhile is no reason to be loud.
func TestPlanUsageIsSaidWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var plans atomic.Uint32
		n := newNetwork()
		c := newCoreOn(t, n, nil)
		cfg := n.config(c, &fakeRunner{execute: echo})
		cfg.PlanUsage = func() *ruedov1.PlanUsage { return &ruedov1.PlanUsage{Plans: plans.Load()} }
		l, _ := c.attach(cfg)
		time.Sleep(asleep)
		writes := n.up.writes.Load()
		plans.Store(7)
		time.Sleep(time.Second)
		if got := l.PlanUsage().GetPlans(); got != 7 {
			t.Errorf("the core shows %d plans, want 7", got)
		}
		time.Sleep(time.Minute)
		if said := n.up.writes.Load() - writes; said > 24 {
			t.Errorf("%d packets in a minute", said)
		}
	})
}
