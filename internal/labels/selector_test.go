package labels_test

import (
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
)

func TestSelector(t *testing.T) {
	set := map[string]string{"zone": "eu-1", "rack": "7", "spot": "", "example.com/tier": "gold"}
	for _, tt := range []struct {
		text, canonical string
		matches         bool
	}{
		{"", "", true},
		{" \t", "", true},
		{"zone", "zone", true},
		{"gpu", "gpu", false},
		{"!gpu", "!gpu", true},
		{"! zone", "!zone", false},
		{"zone=eu-1", "zone=eu-1", true},
		{"zone == eu-1", "zone=eu-1", true},
		{"zone=eu-2", "zone=eu-2", false},
		{"zone!=eu-2", "zone!=eu-2", true},
		{"zone != eu-1", "zone!=eu-1", false},
		{"gpu=a100", "gpu=a100", false},
		{"gpu!=a100", "gpu!=a100", true}, // also without the key, as in Kubernetes
		{"rack in (7,8)", "rack in (7,8)", true},
		{"rack in(8)", "rack in (8)", false},
		{"rack notin ( 8 , 9 )", "rack notin (8,9)", true},
		{"rack notin (7)", "rack notin (7)", false},
		{"gpu notin (a100)", "gpu notin (a100)", true},
		{"gpu in (a100)", "gpu in (a100)", false},
		{"spot=", "spot=", true},
		{"zone=", "zone=", false},
		{"gpu=,zone", "gpu=,zone", false},
		{"example.com/tier=gold", "example.com/tier=gold", true},
		{"in in (in),notin", "in in (in),notin", false},
		{"zone=eu-1,rack in (7,8),!gpu", "zone=eu-1,rack in (7,8),!gpu", true},
		{"zone=eu-1,rack in (8,9),!gpu", "zone=eu-1,rack in (8,9),!gpu", false},
	} {
		s, err := labels.ParseSelector(tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if got := s.String(); got != tt.canonical || s.Matches(set) != tt.matches || s.Empty() != (tt.canonical == "") {
			t.Errorf("%q: %q, matches %v", tt.text, got, s.Matches(set))
		}
	}
	if s := (*labels.Selector)(nil); !s.Matches(nil) || !s.Empty() || s.String() != "" {
		t.Error("nil matches every set")
	}
}

func TestBadSelectors(t *testing.T) {
	for _, tt := range []struct {
		text string
		at   string
		says string
	}{
		{"zone=eu-1,", "11", "a key is expected, not the end"},
		{",zone", "1", `a key is expected, not ","`},
		{"zone=eu-1 rack=7", "11", `"," or the end is expected, not "r"`},
		{"zone eu-1", "6", `"," or one of =, !=, in, notin is expected, not "e"`},
		{"zone in eu-1", "9", `"(" is expected, not "e"`},
		{"zone in (eu-1", "14", `"," or ")" is expected, not the end`},
		{"zone in (eu-1,)", "15", `a value is expected, not ")"`},
		{"zone in ()", "10", `a value is expected, not ")"`},
		{"zone=eu-1)", "10", `"," or the end is expected, not ")"`},
		{"!", "2", "a key is expected, not the end"},
		{"!gpu=a100", "5", `"," or the end is expected, not "="`},
		{"rack>6", "5", `"," or the end is expected, not ">"`},
		{"zone=-a", "6", "with a letter or digit at both ends"},
		{"zone=a/b", "6", "letters, digits, dashes"},
		{"rack,_a", "6", "a key of letters"},
		{"a/b/c", "1", "a key of letters"},
		{"zone=ñandú", "6", `"," or the end is expected, not "ñ"`},
		{"zone=a,ñ", "8", `a key is expected, not "ñ"`},
		{"zone=\xff", "6", `"," or the end is expected, not "�"`},
		{"zone=a\x00", "7", `"," or the end is expected, not "\x00"`},
		{strings.Repeat("a,", 16) + "a", "33", "at most 16 requirements"},
		{"a in (" + strings.Repeat("b,", 32) + "b)", "71", "at most 32 values"},
		{"a=" + strings.Repeat("b", 64), "3", "at most 63"},
	} {
		_, err := labels.ParseSelector(tt.text)
		e := fault.FromError(err)
		if err == nil || e.Reason != fault.RequestInvalid || !strings.Contains(e.Message, "at character "+tt.at+": ") || !strings.Contains(e.Message, tt.says) ||
			e.Meta["position"] != tt.at || e.Fix != "write for example zone=eu-1,rack in (7,8),!gpu" {
			t.Errorf("%.40q: %v %v %q", tt.text, err, e.Meta, e.Fix)
		}
	}
	_, err := labels.ParseSelector(strings.Repeat("a", 1025))
	if e := fault.FromError(err); err == nil || e.Message != "the label selector has 1025 bytes, the maximum is 1024" {
		t.Error(err)
	}
}

// FuzzSelector checks that a selector that parses comes out the same, matches the
// same, and holds to the bounds.
func FuzzSelector(f *testing.F) {
	for _, s := range []string{"", "a", "!a", "a=b", "a==b,c!=d", "a in (b,c)", "a notin (b)", "x.y/z=,!q", "zone=eu-1,rack in (7,8),!gpu", "a in (", "\xff", "in in (in)"} {
		f.Add(s, "zone", "eu-1")
	}
	f.Fuzz(func(t *testing.T, text, key, value string) {
		s, err := labels.ParseSelector(text)
		if err != nil {
			if e := fault.FromError(err); e.Reason != fault.RequestInvalid || e.Fix == "" {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		canonical := s.String()
		if len(canonical) > labels.MaxSelector {
			return // it was written with fewer spaces
		}
		again, err := labels.ParseSelector(canonical)
		if err != nil || again.String() != canonical {
			t.Fatalf("%q: %q, then %v, %v", text, canonical, again, err)
		}
		for _, set := range []map[string]string{nil, {key: value}, {"zone": "eu-1", "rack": "7"}} {
			if s.Matches(set) != again.Matches(set) {
				t.Fatalf("%q and %q differ for %v", text, canonical, set)
			}
		}
	})
}
