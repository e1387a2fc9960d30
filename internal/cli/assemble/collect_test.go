package assemble

import (
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/settings"
)

// An age of 0s is no age; a core takes a zero for its default.
func TestNoAgeIsNotTheDefault(t *testing.T) {
	for set, want := range map[string]time.Duration{"": 24 * time.Hour, "2h": 2 * time.Hour, "0s": -1} {
		var env []string
		if set != "" {
			env = []string{"RUEDO_COLLECT_MODULE_AGE=" + set}
		}
		s, err := settings.Resolve(settings.Input{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		got := (&Assembler{Settings: s}).collect()
		if got.ModuleAge != want || got.Interval != time.Hour || got.Revisions != 50 || got.RevisionAge != 0 {
			t.Errorf("module_age=%q is %+v", set, got)
		}
	}
}
