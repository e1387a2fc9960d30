package modules

import (
	"errors"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxDamaged bounds how many modules are remembered as damaged.
const maxDamaged = 1024

// damage remembers modules that a reader found to be damaged.
type damage struct {
	mu      sync.Mutex
	digests map[string]struct{}
}

func (d *damage) has(digest string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.digests[digest]
	return ok
}

// note records the result of reading a module. Errors other than INTEGRITY say
// nothing about its bytes.
func (d *damage) note(digest string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		delete(d.digests, digest)
	case errors.Is(err, fault.Integrity):
		if d.digests == nil || len(d.digests) >= maxDamaged {
			d.digests = map[string]struct{}{} // readers find it again
		}
		d.digests[digest] = struct{}{}
	}
}
