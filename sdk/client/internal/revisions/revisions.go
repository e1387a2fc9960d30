// Package revisions remembers the revisions of stores that the writes of a client
// have led to, and requires them in its requests.
//
// All methods can be called from many goroutines, after [Set.Init].
package revisions

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/headers"
)

// maxStores bounds the stores of which a client remembers a revision.
const maxStores = 16

// revision is a revision of a store.
type revision struct {
	number int64
	store  string // its id; "" if it has none
}

// Set is what a client requires, at most one revision of each store.
type Set struct {
	field   atomic.Pointer[string] // of the header; nil if nothing is required
	mu      sync.Mutex
	list    []revision // the last one that has changed comes first
	changed func(string)
}

// Init sets what is required at first: revisions, separated by commas or spaces; what
// is not a revision is ignored. changed, which can be nil, is called with what is
// required each time that it changes, by one goroutine at a time.
func (r *Set) Init(known string, changed func(string)) {
	for item := range strings.FieldsFuncSeq(known, func(c rune) bool { return c == ',' || c == ' ' }) {
		if v, ok := parseRevision(item); ok && len(r.list) < maxStores {
			r.list = append(r.list, v)
		}
	}
	r.write()
	r.changed = changed
}

func parseRevision(text string) (v revision, ok bool) {
	number, store, named := strings.Cut(text, "@")
	n, err := strconv.ParseInt(number, 10, 64)
	return revision{n, store}, err == nil && n > 0 && len(text) < 64 && (store != "" || !named)
}

// Required returns the field of the header, or "".
func (r *Set) Required() string {
	if field := r.field.Load(); field != nil {
		return *field
	}
	return ""
}

// saw notes the revision that a core has answered with.
func (r *Set) saw(text string) {
	v, ok := parseRevision(text)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []revision{v}
	for _, known := range r.list {
		switch {
		case known.store != v.store:
			list = append(list, known)
		case known.number >= v.number:
			return
		}
	}
	r.list = list[:min(len(list), maxStores)]
	r.write()
}

// Forget requires nothing any more. It reports whether anything was required.
func (r *Set) Forget() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == 0 {
		return false
	}
	r.list = nil
	r.write()
	return true
}

// write renews the field. Its caller holds the lock.
func (r *Set) write() {
	var items []string
	for _, v := range r.list {
		text := strconv.FormatInt(v.number, 10)
		if v.store != "" {
			text += "@" + v.store
		}
		items = append(items, text)
	}
	field := strings.Join(items, ",")
	r.field.Store(&field)
	if r.changed != nil {
		r.changed(field)
	}
}

// Client is an HTTP client that requires revisions in requests, and notes them in
// answers.
type Client struct {
	connect.HTTPClient
	Seen *Set
}

// Do sends a request.
func (c Client) Do(req *http.Request) (*http.Response, error) {
	if required := c.Seen.Required(); required != "" && req.Header[headers.MinRevision] == nil {
		own := *req
		own.Header = req.Header.Clone() // the request may be sent again with another field
		own.Header.Set(headers.MinRevision, required)
		req = &own
	}
	res, err := c.HTTPClient.Do(req)
	if err != nil {
		return nil, err
	}
	if written := res.Header[headers.StoreRevision]; len(written) == 1 {
		c.Seen.saw(written[0])
	}
	return res, nil
}
