//go:build amd64 || arm64

package pristine

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pagemap asks the kernel about the pages of this process (PAGEMAP_SCAN of
// linux/fs.h, since 6.7).
type pagemap struct {
	file *os.File
	fd   uintptr // file's
}

const (
	pagemapScan = 0xc0606610 // _IOWR('f', 16, struct pm_scan_arg)

	pageIsFile    = 1 << 2 // backed by a file; a private copy of a file's page is not
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
	pageIsZero    = 1 << 5 // the zero page, shared by all until they write
)

// pageRegion is struct page_region. Its categories are not used here.
type pageRegion struct{ start, end, _ uint64 }

// scanArgs is struct pm_scan_arg. vec is a pointer, so that the regions can be
// on the stack.
type scanArgs struct {
	size, flags, start, end, walkEnd    uint64
	vec                                 *pageRegion
	vecLen, maxPages                    uint64
	inverted, mask, anyOf, returnedMask uint64
}

func openPagemap() (*pagemap, error) {
	file, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil, err
	}
	return &pagemap{file: file, fd: file.Fd()}, nil
}

// private calls found with every run of private pages of space, as ascending
// offsets, and returns the number of these pages. It stops after limit pages.
//
// A page is private if it is present, in memory or in swap, and is neither a
// page of a file nor the shared zero page.
func (p *pagemap) private(space []byte, limit int, found func(start, end int)) (pages int, err error) {
	if len(space) == 0 {
		return 0, nil
	}
	var regions [64]pageRegion
	base := uint64(uintptr(unsafe.Pointer(&space[0])))
	size := uint64(os.Getpagesize())
	args := scanArgs{
		start:        base,
		end:          base + uint64(len(space)),
		vec:          &regions[0],
		vecLen:       uint64(len(regions)),
		inverted:     pageIsFile | pageIsZero,
		mask:         pageIsFile | pageIsZero,
		anyOf:        pageIsPresent | pageIsSwapped,
		returnedMask: pageIsFile, // the same for all, so that neighbours are merged into one region
	}
	args.size = uint64(unsafe.Sizeof(args))
	for args.start < args.end && pages < limit {
		args.maxPages = uint64(limit - pages)
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, p.fd, pagemapScan, uintptr(unsafe.Pointer(&args)))
		if errno != 0 {
			return pages, os.NewSyscallError("PAGEMAP_SCAN", errno)
		}
		for _, r := range regions[:n] {
			found(int(r.start-base), int(r.end-base))
			pages += int((r.end - r.start) / size)
		}
		if args.walkEnd <= args.start {
			return pages, os.NewSyscallError("PAGEMAP_SCAN", unix.EIO) // it would continue forever
		}
		args.start = args.walkEnd
	}
	return pages, nil
}

func (p *pagemap) close() error { return p.file.Close() }
