package source

import (
	"slices"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// What a flag adds may be there already: once is enough.
func TestAnOverlayAddsWhatIsNotThere(t *testing.T) {
	r := &ruedov1.PublishServiceRequest{Tags: []string{"a", "b"}, Decorators: []string{"small", "small"}}
	if err := (Overlay{Tags: []string{"b", "c"}, Decorators: []string{"named", "small", "named"}}).Apply(r); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Tags, []string{"a", "b", "c"}) || !slices.Equal(r.Decorators, []string{"small", "named"}) {
		t.Errorf("tags %q, decorators %q", r.Tags, r.Decorators)
	}
}
