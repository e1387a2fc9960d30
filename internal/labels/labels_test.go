package labels_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
)

func TestParse(t *testing.T) {
	set, err := labels.Parse([]string{"zone=eu-1", "rack=7", "gpu=", "topology.kubernetes.io/region=eu", "Cost_class=A.1"})
	want := map[string]string{"zone": "eu-1", "rack": "7", "gpu": "", "topology.kubernetes.io/region": "eu", "Cost_class": "A.1"}
	if err != nil || !maps.Equal(set, want) {
		t.Errorf("%v, %v", set, err)
	}
	if got := labels.Format(set); got != "Cost_class=A.1,gpu=,rack=7,topology.kubernetes.io/region=eu,zone=eu-1" {
		t.Errorf("Format: %s", got)
	}
	if sel, err := labels.ParseSelector(labels.Format(set)); err != nil || !sel.Matches(set) {
		t.Errorf("what Format returns as a selector: %v, %v", sel, err)
	}
	if set, err := labels.Parse(nil); set != nil || err != nil {
		t.Errorf("no labels: %v, %v", set, err)
	}
}

func TestBadLabels(t *testing.T) {
	var many []string
	for i := range labels.MaxLabels + 1 {
		many = append(many, fmt.Sprintf("l%d=x", i))
	}
	for _, tt := range []struct {
		words []string
		says  string
	}{
		{[]string{"gpu"}, `the label "gpu" has no value: key=value is expected, and gpu= for an empty value`},
		{[]string{"zone=a", "zone=b"}, "the label zone stands twice"},
		{[]string{"=a"}, `the label "" is not valid: a key of letters`},
		{[]string{"-a=b"}, `the label "-a" is not valid`},
		{[]string{"ñ=b"}, `the label "ñ" is not valid`},
		{[]string{strings.Repeat("k", 64) + "=b"}, "1 to 63 long"},
		{[]string{"zone=eu-1,rack=7"}, `the value "eu-1,rack=7" of the label zone is not valid`},
		{[]string{"zone=eu 1"}, `the value "eu 1" of the label zone is not valid`},
		{[]string{"zone=" + strings.Repeat("v", 64)}, "at most 63"},
		{[]string{"/a=b"}, "before the slash, a domain"},
		{[]string{"Example.com/a=b"}, "before the slash, a domain"},
		{[]string{"a..b/c=d"}, "before the slash, a domain"},
		{[]string{strings.Repeat("a", 254) + "/c=d"}, "before the slash, a domain"},
		{[]string{"a/b/c=d"}, "a key of letters"},
		{many, "33 labels are too many, the maximum is 32"},
	} {
		_, err := labels.Parse(tt.words)
		e := fault.FromError(err)
		if err == nil || e.Reason != fault.RequestInvalid || !strings.Contains(e.Message, tt.says) || e.Fix == "" {
			t.Errorf("%.60q: %v, want %q", tt.words, err, tt.says)
		}
	}
}
