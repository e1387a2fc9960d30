package archive

import (
	"errors"
	"io"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Check is what the values of an archive must be together: every value can be
// read, every service has its live revision, and every revision its module. Its
// zero value has seen nothing.
type Check struct {
	modules  map[string]string // digest to the path of a revision that needs it
	live     map[string]bool   // paths of live revisions that must be there
	revision map[string]bool   // paths that are there
	found    map[string]bool   // modules that are there
}

// Add takes an entry into account. It fails with BACKUP_INVALID for one that
// cannot be read.
func (c *Check) Add(e Entry) error {
	if c.modules == nil {
		c.modules, c.live, c.revision, c.found = map[string]string{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	}
	if digest, ok := e.Module(); ok {
		c.found[digest] = true
		return nil
	}
	k, _ := e.Key(paths)
	var err error
	switch k.Kind {
	case keys.KindService:
		var s ruedov1.Service
		err = proto.Unmarshal(e.Value, &s)
		number := s.GetRevision().GetNumber()
		if err == nil && number == 0 {
			err = errors.New("it has no revision")
		}
		if err == nil {
			key, _ := paths.Revision(k.Name, number)
			c.live[key[len(paths):]] = true
		}
	case keys.KindRevision:
		var r ruedov1.Revision
		err = proto.Unmarshal(e.Value, &r)
		c.revision[e.Path] = true
		if _, ok := c.modules[r.GetModule()]; !ok {
			c.modules[r.GetModule()] = e.Path
		}
	default:
		err = proto.Unmarshal(e.Value, &ruedov1.Decorator{})
	}
	if err != nil {
		return invalid(err, "%s in it cannot be read", e.Path)
	}
	return nil
}

// Modules returns the modules that the revisions need, each with the path of a
// revision that does.
func (c *Check) Modules() map[string]string { return c.modules }

// End returns what is missing of the whole. Modules that are elsewhere count if
// has reports them; nil has none.
func (c *Check) End(has func(digest string) bool) error {
	for path := range c.live {
		if !c.revision[path] {
			return invalid(nil, "%s is live, and missing in it", path)
		}
	}
	for digest, path := range c.modules {
		if !c.found[digest] && (has == nil || !has(digest)) {
			return invalid(nil, "module %s, which %s needs, is missing in it", digest, path)
		}
	}
	return nil
}

// Verify reads a whole archive and checks all of it; see [Check].
func Verify(r io.Reader, l Limits) (Header, Summary, error) {
	a, err := NewReader(r, l)
	if err != nil {
		return Header{}, Summary{}, err
	}
	defer a.Close()
	var c Check
	for {
		e, err := a.Next()
		switch {
		case errors.Is(err, io.EOF):
			return a.Header(), a.Summary(), c.End(nil)
		case err != nil:
			return a.Header(), Summary{}, err
		}
		if err := c.Add(e); err != nil {
			return a.Header(), Summary{}, err
		}
	}
}
