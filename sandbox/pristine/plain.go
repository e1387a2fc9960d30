package pristine

import (
	"bytes"
	"os"
)

// plainStore holds an image in an ordinary slice, as do its bodies. It works
// everywhere.
type plainStore struct{ data []byte }

func newPlainStore(mem []byte) *plainStore { return &plainStore{data: bytes.Clone(mem)} }

func (s *plainStore) newBody(uint64) (body, error) {
	return &plain{image: s.data, space: append([]byte{}, s.data...)}, nil
}

func (s *plainStore) method() Method { return MethodPlain }

func (s *plainStore) held() int64 { return int64(len(s.data)) }

func (s *plainStore) close() error {
	s.data = nil
	return nil
}

// plain is a body that moves when it grows.
type plain struct {
	image []byte
	space []byte
}

func (b *plain) extend(size uint64) []byte {
	if have := uint64(len(b.space)); have < size {
		b.space = append(b.space, make([]byte, size-have)...)
	}
	return b.space
}

func (b *plain) restore(_ bool, peak uint64) (Cost, error) {
	pages := copyBack(b.space, b.image, os.Getpagesize())
	clear(b.space[len(b.image):max(peak, uint64(len(b.image)))])
	return Cost{Path: PathCopy, Pages: pages}, nil
}

func (b *plain) drop() error {
	copyBack(b.space, b.image, os.Getpagesize())
	clear(b.space[len(b.image):])
	return nil
}

func (b *plain) kept() int { return 0 } // it releases nothing

func (b *plain) close() error {
	b.space = nil
	return nil
}

// copyBack copies those pages of image that differ to space, and returns their
// number.
func copyBack(space, image []byte, page int) (pages int) {
	for at := 0; at < len(image); at += page {
		end := min(at+page, len(image))
		if !bytes.Equal(space[at:end], image[at:end]) {
			copy(space[at:end], image[at:end])
			pages++
		}
	}
	return pages
}
