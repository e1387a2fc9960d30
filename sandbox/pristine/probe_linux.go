//go:build amd64 || arm64

package pristine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/ruedo-dev/ruedo/sandbox/thread"
)

// probe tests, on a range of four pages, what [MethodHotSet] relies on. The
// kernel must count the fault of a first write, to a page of a file and to a
// zero page, on the thread that takes it. And it must report exactly the
// written pages as private. It returns the pagemap to ask with.
func probe() (_ *pagemap, err error) {
	pages, err := openPagemap()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, pages.close())
		}
	}()
	page := os.Getpagesize()
	image := make([]byte, 2*page)
	image[0], image[page] = 1, 1
	file, err := newMemfd(image, Config{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.close()) }()
	b, err := newMapped(uint64(4*page), file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	read := b.space[0] + b.space[2*page] // present, but not private
	for _, n := range []int{1, 3} {
		before := thread.Faults()
		b.space[n*page] += read
		if after := thread.Faults(); before < 0 || after <= before {
			return nil, fmt.Errorf("page faults are not counted by thread: %w", errors.ErrUnsupported)
		}
	}
	var got []int
	if _, err := pages.private(b.space, 4, func(start, end int) { got = append(got, start/page, end/page) }); err != nil {
		return nil, err
	}
	if want := []int{1, 2, 3, 4}; !slices.Equal(got, want) {
		return nil, fmt.Errorf("private pages are reported as %v instead of %v: %w", got, want, errors.ErrUnsupported)
	}
	return pages, nil
}
