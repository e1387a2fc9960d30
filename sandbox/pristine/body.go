package pristine

// store is where an image's bytes lie.
type store interface {
	// newBody gives a memory that holds the image, with room for limit bytes.
	newBody(limit uint64) (body, error)
	// method is never MethodAuto.
	method() Method
	// held is how many bytes of memory the image takes.
	held() int64
	close() error
}

// body is where a memory's bytes lie. Only one goroutine uses it at a time.
type body interface {
	// extend gives all there is, at least size bytes, or nil if there is no
	// room. What was never written is the image, and zero behind it. It may
	// move what it gave before.
	extend(size uint64) []byte
	// restore undoes all writes. Unless changed, no page was written for the
	// first time since the last restore; peak is how large the memory was at
	// its largest since.
	restore(changed bool, peak uint64) (Cost, error)
	// drop undoes all writes and gives back what private memory it can.
	drop() error
	// kept is how many bytes drop would give back, as far as that is known.
	kept() int
	// close gives everything back.
	close() error
}
