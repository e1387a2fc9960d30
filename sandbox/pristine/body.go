package pristine

// store holds an image's bytes.
type store interface {
	// newBody returns a memory that holds the image, with room for limit bytes.
	newBody(limit uint64) (body, error)
	// method is never MethodAuto.
	method() Method
	// held returns how many bytes of memory the image takes.
	held() int64
	close() error
}

// body holds a memory's bytes. Only one goroutine uses it at a time.
type body interface {
	// extend returns all bytes, at least size of them, or nil if there is no room.
	// Bytes that were never written are those of the image, and zero behind it.
	// Bytes that it returned before can move.
	extend(size uint64) []byte
	// restore undoes all writes. changed is false if no page was written for the
	// first time since the last restore. peak is the largest size of the memory
	// since then.
	restore(changed bool, peak uint64) (Cost, error)
	// drop undoes all writes and releases what private memory it can.
	drop() error
	// kept returns how many bytes drop would release, as far as that is known.
	kept() int
	// close releases everything.
	close() error
}
