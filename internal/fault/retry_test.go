package fault

import (
	"strings"
	"testing"
	"time"
)

// A reason that means "try later" says when, and one that would fail again does
// not. Limits of sizes are resource_exhausted too, so they are told apart by name.
func TestReasonsThatAreWorthARetry(t *testing.T) {
	later := map[Reason]bool{QueueFull: true, ConcurrencyLimit: true, ServerBusy: true, UploadBusy: true, LaneLimit: true, StreamsFull: true, LoginLimit: true}
	for r := range table {
		want := r.Code() == CodeUnavailable || later[r]
		if d := r.RetryDelay(); d > 0 != want || d > MaxRetryDelay {
			t.Errorf("%s (%s) is worth a retry after %s, want one: %t", r, r.Code(), d, want)
		}
		// Its own words promise it.
		if text := r.Meaning(); strings.Contains(text, "trying again") && r.RetryDelay() == 0 {
			t.Errorf("%s: %q, and no delay", r, text)
		}
	}
	if Reason("OF_A_NEWER_VERSION").RetryDelay() != 0 {
		t.Error("an unknown reason is worth a retry")
	}
}

func TestTheDelayBeforeARetry(t *testing.T) {
	executed := New(ServerBusy, "no room for the answer").With(MetaStarted, "yes")
	for what, tt := range map[string]struct {
		e    *Error
		want time.Duration
	}{
		"that of the reason":              {New(NoRunner, "none"), 2 * time.Second},
		"a computed one":                  {New(QueueFull, "full").WithRetry(70 * time.Millisecond), 70 * time.Millisecond},
		"a computed one that is too long": {New(QueueFull, "full").WithRetry(time.Hour), MaxRetryDelay},
		"a negative one":                  {New(QueueFull, "full").WithRetry(-1), time.Second},
		"of what fails again":             {New(InputInvalid, "bad").WithRetry(time.Second), 0},
		"of what was executed":            {executed, 0},
		"after Bounded":                   {New(QueueFull, "full").WithRetry(time.Minute / 4).Bounded(), time.Minute / 4},
	} {
		if got := tt.e.RetryDelay(); got != tt.want {
			t.Errorf("%s: %s, want %s", what, got, tt.want)
		}
	}
}
