//go:build amd64 || arm64

package pristine

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapped is a range of addresses with a file mapped copy-on-write at its front
// and zeros behind it. All of it is readable and writable at any time: the
// runtime checks bounds itself, and changing the protection as the memory grows
// would stall the other threads.
type mapped struct {
	space []byte // nil if it is empty
	file  *memfd // nil: zeros only
	front int    // bytes of space that map the file
	top   int    // how far the guest can have written since everything behind front was dropped

	hot    hotSet
	served int  // restores since the hot set was learnt
	unsure bool // the kernel can make pages private without a fault; see dropFrom
}

const readWrite = unix.PROT_READ | unix.PROT_WRITE

func newEmpty(limit uint64) (body, error) { return newMapped(limit, nil) }

func newMapped(limit uint64, file *memfd) (*mapped, error) {
	b := &mapped{file: file}
	if limit == 0 {
		return b, nil
	}
	page := uint64(os.Getpagesize())
	size := (limit + page - 1) / page * page
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(size), readWrite, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	b.space = unsafe.Slice((*byte)(p), size)
	if file != nil {
		b.front = len(file.view)
	}
	err = b.mapFile(0)
	if err == nil {
		err = b.refuseHugePages()
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// mapFile maps the file from an offset on, replacing what was mapped there.
func (b *mapped) mapFile(from int) error {
	if from >= b.front {
		return nil
	}
	_, err := unix.MmapPtr(int(b.file.file.Fd()), int64(from), unsafe.Pointer(&b.space[from]), uintptr(b.front-from),
		readWrite, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	return os.NewSyscallError("mmap", err)
}

// mapZeros maps zeros from an offset on, replacing what was mapped there.
func (b *mapped) mapZeros(from int) error {
	if from >= len(b.space) {
		return nil
	}
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(&b.space[from]), uintptr(len(b.space)-from),
		readWrite, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_ANON|unix.MAP_NORESERVE)
	return os.NewSyscallError("mmap", err)
}

// refuseHugePages keeps the kernel from making pages private that were never
// written, and single bytes from taking two megabytes.
func (b *mapped) refuseHugePages() error {
	err := unix.Madvise(b.space, unix.MADV_NOHUGEPAGE)
	if errors.Is(err, unix.EINVAL) { // a kernel without huge pages
		return nil
	}
	return os.NewSyscallError("MADV_NOHUGEPAGE", err)
}

func (b *mapped) extend(size uint64) []byte {
	switch {
	case uint64(len(b.space)) < size:
		return nil
	case b.space == nil:
		return []byte{}
	}
	b.top = max(b.top, int(size))
	return b.space
}

// restore is called when the memory has its original size again, so nothing
// behind front belongs to the guest.
func (b *mapped) restore(changed bool, peak uint64) (Cost, error) {
	switch {
	case b.file.how == MethodCompare:
		return b.compare(int(peak))
	case b.file.how == MethodDrop || b.outdated():
		return Cost{Path: PathDrop}, b.dropFrom(0)
	case changed || b.unsure:
		return b.learn()
	}
	b.served++
	b.hot.restore(b.space, b.file.view)
	return Cost{Path: PathHot, Pages: b.hot.bytes / b.file.page}, nil
}

// outdated reports whether the hot set is large and has not been verified for a
// long time.
func (b *mapped) outdated() bool {
	limit := b.file.config.Relearn
	return limit > 0 && b.served >= limit && b.hot.bytes > 64<<10
}

// learn asks the kernel which pages are private, restores them, and remembers
// them if they are not too many.
func (b *mapped) learn() (Cost, error) {
	b.hot.reset()
	b.served = 0
	keep := int(b.file.config.Keep) / b.file.page
	// Scanning empty addresses takes time as well: 13 us per GiB.
	pages, err := b.file.pages.private(b.space[:b.pageUp(b.top)], keep+1, b.heat)
	if err != nil {
		return Cost{Path: PathDrop}, b.dropFrom(0) // works without an answer
	}
	path := PathScan
	if pages > keep {
		path = PathDrop
		from := 0
		if b.hot.end() > b.front {
			// Pages are reported in ascending order. So all pages of the front are
			// known, and not too many: only the guest's growth has to be dropped.
			from = b.front
		}
		if err := b.dropFrom(from); err != nil {
			return Cost{}, err
		}
		b.top = b.front
	}
	b.hot.restore(b.space, b.file.view)
	return Cost{Path: path, Pages: b.hot.bytes / b.file.page}, nil
}

// heat adds private pages to the hot set.
func (b *mapped) heat(start, end int) {
	for start < end {
		zero, stop := b.file.zero(start, end)
		b.hot.add(start, stop, zero)
		start = stop
	}
}

func (b *mapped) pageUp(n int) int { return (n + b.file.page - 1) / b.file.page * b.file.page }

// compare restores the pages that differ from the image and drops those behind
// it.
func (b *mapped) compare(peak int) (Cost, error) {
	pages := copyBack(b.space, b.file.view, b.file.page)
	cost := Cost{Path: PathCopy, Pages: pages}
	if peak <= b.front {
		return cost, nil
	}
	return cost, b.dropFrom(b.front)
}

func (b *mapped) drop() error { return b.dropFrom(0) }

func (b *mapped) kept() int { return b.hot.bytes }

// dropFrom returns the private pages from an offset on to the system.
func (b *mapped) dropFrom(from int) error {
	b.hot.cut(from)
	b.served = 0
	if from >= len(b.space) {
		return nil
	}
	if unix.Madvise(b.space[from:], unix.MADV_DONTNEED) == nil {
		return nil
	}
	// Locked memory cannot be dropped, only replaced; and the kernel may populate
	// the new mapping with private pages immediately.
	b.unsure = true
	return errors.Join(b.mapFile(from), b.mapZeros(max(from, b.front)), b.refuseHugePages())
}

func (b *mapped) close() error {
	if b.space == nil {
		return nil
	}
	err := unix.MunmapPtr(unsafe.Pointer(&b.space[0]), uintptr(len(b.space)))
	b.space = nil
	return os.NewSyscallError("munmap", err)
}
