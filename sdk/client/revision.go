package client

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

// WithMinRevision requires from the first request on what [Client.Revision] of
// another client has returned, or of this one in an earlier process. What is not
// a revision is ignored.
func WithMinRevision(revision string) Option {
	return func(c *config) { c.revision = revision }
}

// WithRevisionFunc calls changed with what [Client.Revision] returns from then
// on, each time that it changes, before the request that changed it returns. It
// is called by one goroutine at a time.
func WithRevisionFunc(changed func(revision string)) Option {
	return func(c *config) { c.changed = changed }
}

// Revision returns what the client's requests require: the revision of the store
// that includes its last write, for example "1234@k3j5x2m7qa". It is "" before
// the first write. Give it to other clients, with [WithMinRevision] or as the
// header field Ruedo-Min-Revision, so that they see the write at every core.
func (c *Client) Revision() string { return c.seen.required() }

// revision is a revision of a store.
type revision struct {
	number int64
	store  string // its id; "" if it has none
}

// revisions are what a client requires, at most one of each store.
type revisions struct {
	field   atomic.Pointer[string] // of the header; nil if nothing is required
	mu      sync.Mutex
	list    []revision // the last one that has changed comes first
	changed func(string)
}

func (r *revisions) init(known string, changed func(string)) {
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

// required returns the field of the header, or "".
func (r *revisions) required() string {
	if field := r.field.Load(); field != nil {
		return *field
	}
	return ""
}

// saw notes the revision that a core has answered with.
func (r *revisions) saw(text string) {
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

// forget requires nothing any more. It reports whether anything was required.
func (r *revisions) forget() bool {
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
func (r *revisions) write() {
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

// revised is an HTTP client that requires revisions in requests, and notes them
// in answers.
type revised struct {
	connect.HTTPClient
	seen *revisions
}

func (c revised) Do(req *http.Request) (*http.Response, error) {
	if required := c.seen.required(); required != "" && req.Header[headers.MinRevision] == nil {
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
		c.seen.saw(written[0])
	}
	return res, nil
}
