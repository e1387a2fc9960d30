package failures

import (
	"fmt"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// TestFailuresAreRememberedForAWhile checks what a compiler remembers: modules
// whose child was killed, for a minute, and no more than there is room for.
func TestFailuresAreRememberedForAWhile(t *testing.T) {
	var f List
	now := time.Now()
	late, invalid := &fault.Error{Reason: fault.CompileTimeout}, &fault.Error{Reason: fault.CompileFailed}
	f.Add("bomb", late, now)
	f.Add("invalid", invalid, now)
	f.Add("host", &fault.Error{Reason: fault.Internal}, now)
	if got := f.Of("bomb", now.Add(rememberFor-1)); got != late {
		t.Errorf("the bomb is answered with %v", got)
	}
	for _, key := range []string{"invalid", "host", "another"} {
		if got := f.Of(key, now); got != nil {
			t.Errorf("%s is answered with %v", key, got)
		}
	}
	if got := f.Of("bomb", now.Add(rememberFor)); got != nil {
		t.Errorf("a minute later the bomb is answered with %v", got)
	}
	for n := range 2 * maxFailures {
		f.Add(fmt.Sprint(n), late, now)
	}
	if len(f.list) != maxFailures || f.Of(fmt.Sprint(2*maxFailures-1), now) == nil || f.Of("bomb", now) != nil {
		t.Errorf("%d are remembered, the last is %v", len(f.list), f.Of(fmt.Sprint(2*maxFailures-1), now))
	}
	if f.Add("next", late, now.Add(rememberFor)); len(f.list) != 1 {
		t.Errorf("%d are remembered after a minute", len(f.list))
	}
}
