package limit

import (
	"slices"
	"sync"
)

// remembered is how many texts are.
const remembered = 1024

// Recent remembers the 1,024 texts that were added last. Its methods can be called from
// many goroutines. The zero value is ready to use.
type Recent struct {
	mu  sync.Mutex
	all []string // the latest is the last
}

// Add adds a text.
func (r *Recent) Add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(slices.DeleteFunc(r.all, func(t string) bool { return t == text }), text)
	if len(r.all) > remembered {
		r.all = slices.Delete(r.all, 0, 1)
	}
}

// Has reports whether a text is remembered.
func (r *Recent) Has(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.all, text)
}
