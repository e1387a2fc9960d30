//go:build !linux && !darwin

package sandbox

// Without mmap the memory is an ordinary slice that grows by copying.

func reserve(uint64) []byte { return nil }

func extend(b []byte, size uint64) []byte {
	if uint64(len(b)) >= size && b != nil {
		return b
	}
	grown := make([]byte, size)
	copy(grown, b)
	return grown
}

func unreserve([]byte) {}
