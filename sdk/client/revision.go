package client

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
func (c *Client) Revision() string { return c.seen.Required() }
