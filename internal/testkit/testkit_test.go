package testkit_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// failures is a test that records how it failed.
type failures struct {
	testing.TB
	said []string
}

func (f *failures) Helper() {}
func (f *failures) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}
func (f *failures) Fatalf(format string, args ...any) { f.Errorf(format, args...); panic(f) }

// of runs check, which can stop its test.
func of(check func(t testing.TB)) string {
	f := &failures{}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(f) {
				panic(r)
			}
		}()
		check(f)
	}()
	return strings.Join(f.said, "\n")
}

func TestWithinSaysWhatDidNotHappen(t *testing.T) {
	calls := 0
	if got := of(func(t testing.TB) { testkit.Eventually(t, "three calls", func() bool { calls++; return calls == 3 }) }); got != "" {
		t.Error(got)
	}
	got := of(func(t testing.TB) {
		testkit.Within(t, 5*time.Millisecond, "the end of time", func() bool { return false })
	})
	if got != "not within 5ms: the end of time" {
		t.Errorf("it says %q", got)
	}
}

func TestWantReasonSaysWhatItGot(t *testing.T) {
	err := fmt.Errorf("call: %w", fault.New(fault.QueueFull, "the queue is full").WithFix("try again later"))
	for _, c := range []struct {
		err  error
		says []string
		want string
	}{
		{err, []string{"queue is full", "again later"}, ""},
		{err, []string{"12 calls"}, `"the queue is full" | "try again later" does not say "12 calls"`},
		{nil, nil, "<nil>, want QUEUE_FULL"},
		{fault.New(fault.Conflict, "changed"), nil, "changed, want QUEUE_FULL"},
	} {
		if got := of(func(t testing.TB) { testkit.WantReason(t, c.err, fault.QueueFull, c.says...) }); got != c.want {
			t.Errorf("%v: it says %q, want %q", c.err, got, c.want)
		}
	}
}

func TestALogCanBeReadWhileItIsWritten(t *testing.T) {
	var log testkit.Log
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				log.Logger().Info("hello")
			}
		})
	}
	testkit.Eventually(t, "a line", func() bool { return strings.Contains(log.String(), "msg=hello") })
	wg.Wait()
	if n := strings.Count(log.String(), "\n"); n != 400 {
		t.Errorf("%d lines, want 400", n)
	}
}
