package fault_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

func TestABoundedErrorKeepsWhatMatters(t *testing.T) {
	e := fault.New(fault.InputInvalid, "%s", strings.Repeat("é", 5000)).With("limit", "5")
	e.NotStarted = true
	for range 200 {
		e.Fields = append(e.Fields, fault.Field{Path: "a", Description: "is required"})
	}
	b := e.Bounded()
	if len(b.Message) > 2<<10 || !utf8.ValidString(b.Message) || !strings.HasSuffix(b.Message, "…") {
		t.Errorf("a message of %d bytes: …%q", len(b.Message), b.Message[len(b.Message)-8:])
	}
	if n := len(b.Fields); n != 65 || b.Fields[64].Description != "and 136 more" {
		t.Errorf("%d fields, the last is %v", n, b.Fields[n-1])
	}
	if b.Meta["limit"] != "5" || b.Meta["started"] != "no" || b.Reason != e.Reason {
		t.Errorf("%s %v", b.Reason, b.Meta)
	}
	if len(e.Fields) != 200 || e.Meta["started"] != "" {
		t.Error("the error itself was changed")
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{{"short", 5, "short"}, {"longer", 5, "lo…"}, {"ééé", 5, "é…"}, {"", 0, ""}, {"abc", 2, "…"}} {
		if got := fault.Cut(tt.in, tt.n); got != tt.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}
