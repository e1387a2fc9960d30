package limit

import (
	"fmt"
	"testing"
)

func TestRecentRemembersTheLast(t *testing.T) {
	var r Recent
	for i := range remembered + 10 {
		r.Add(fmt.Sprint(i))
		r.Add("0") // and again
	}
	if len(r.all) != remembered {
		t.Errorf("it remembers %d texts", len(r.all))
	}
	for text, want := range map[string]bool{"0": true, "10": false, "11": true, fmt.Sprint(remembered + 9): true, "": false} {
		if got := r.Has(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}
