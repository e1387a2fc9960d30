package suggest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/suggest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestDidYouMean(t *testing.T) {
	names := []string{"greet", "thumbnail", "wordcount"}
	for name, want := range map[string]string{
		"gret": "did you mean greet?", "ehco": "", "thumbnial": "did you mean thumbnail?", "greet2": "did you mean greet?",
		"": "", "x": "", "completely-different": "",
	} {
		if got := suggest.DidYouMean(name, names); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// Callers can send any name, so looking for a similar one must cost next to
// nothing, no matter how long the name is and how many others there are.
func TestDidYouMeanIsBoundedInWork(t *testing.T) {
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("%060d", i)
	}
	for what, name := range map[string]string{"a name of 1 MB": strings.Repeat("0", 1<<20), "a name like all others": strings.Repeat("0", 59) + "x"} {
		before := testkit.ProcessorTime()
		for range 10 {
			suggest.DidYouMean(name, names)
		}
		if took := (testkit.ProcessorTime() - before) / 10; took > 50*time.Millisecond {
			t.Errorf("%s cost %s", what, took)
		}
	}
	if got := suggest.DidYouMean(strings.Repeat("a", 62)+"b", []string{strings.Repeat("a", 1<<20), strings.Repeat("a", 63)}); got != "did you mean "+strings.Repeat("a", 63)+"?" {
		t.Errorf("the longest of names: %q", got)
	}
}

func BenchmarkDidYouMean(b *testing.B) {
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("service-%04d", i)
	}
	for what, name := range map[string]string{"long": strings.Repeat("s", 1<<20), "near": "servcie-0042", "far": "thumbnail"} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				suggest.DidYouMean(name, names)
			}
		})
	}
}
