//go:build amd64 || arm64

package pristine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memfd holds an image in a memory file that can no longer be changed.
type memfd struct {
	config Config
	how    Method
	file   *os.File
	view   []byte   // the file, read-only: the source of copies
	filled []bool   // by page: whether it has any nonzero byte
	page   int      // size of a system page
	pages  *pagemap // with MethodHotSet only
}

const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

func openStore(mem []byte, config Config) (store, error) {
	if config.Method == MethodPlain {
		return newPlainStore(mem), nil
	}
	f, err := newMemfd(mem, config)
	if err != nil {
		forbidden := errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM)
		if forbidden && config.Method == MethodAuto {
			return newPlainStore(mem), nil
		}
		return nil, err
	}
	if err := f.choose(probe); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// newMemfd writes mem to a file and seals it. It does not choose the method.
func newMemfd(mem []byte, config Config) (*memfd, error) {
	f := &memfd{config: config, how: MethodDrop, page: os.Getpagesize()}
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("pristine", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("pristine", flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f.file = os.NewFile(uintptr(fd), "pristine image")
	if err := f.fill(mem); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *memfd) fill(mem []byte) error {
	if err := f.file.Truncate(int64(len(mem))); err != nil {
		return err
	}
	zeros := make([]byte, f.page)
	f.filled = make([]bool, len(mem)/f.page)
	for n := range f.filled {
		f.filled[n] = !bytes.Equal(mem[n*f.page:(n+1)*f.page], zeros)
	}
	for start := 0; start < len(f.filled); {
		end := start + 1
		for end < len(f.filled) && f.filled[end] == f.filled[start] {
			end++
		}
		if f.filled[start] {
			if _, err := f.file.WriteAt(mem[start*f.page:end*f.page], int64(start*f.page)); err != nil {
				return err
			}
		}
		start = end
	}
	if _, err := unix.FcntlInt(f.file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return os.NewSyscallError("F_ADD_SEALS", err)
	}
	if len(mem) == 0 {
		return nil
	}
	// Private, because older kernels refuse to map a sealed file shared.
	p, err := unix.MmapPtr(int(f.file.Fd()), 0, nil, uintptr(len(mem)), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	f.view = unsafe.Slice((*byte)(p), len(mem))
	return nil
}

// choose sets the method; probe reports whether MethodHotSet works.
func (f *memfd) choose(probe func() (*pagemap, error)) error {
	switch f.how = f.config.Method; f.how {
	case MethodCompare, MethodDrop:
		return nil
	}
	pages, err := probe()
	if err == nil {
		f.how, f.pages = MethodHotSet, pages
		return nil
	}
	if f.how == MethodHotSet {
		return fmt.Errorf("method %s: %w", MethodHotSet, err)
	}
	f.how = MethodDrop
	if len(f.view) <= small {
		f.how = MethodCompare
	}
	return nil
}

func (f *memfd) newBody(limit uint64) (body, error) { return newMapped(limit, f) }

func (f *memfd) method() Method { return f.how }

func (f *memfd) held() int64 {
	var n int64
	for _, filled := range f.filled {
		if filled {
			n += int64(f.page)
		}
	}
	return n
}

// zero returns how far the pages from offset start on are alike, up to end:
// zero in the image, or not.
func (f *memfd) zero(start, end int) (zero bool, stop int) {
	if start >= len(f.view) {
		return true, end
	}
	end = min(end, len(f.view))
	filled := f.filled[start/f.page]
	for stop = start + f.page; stop < end && f.filled[stop/f.page] == filled; stop += f.page {
	}
	return !filled, stop
}

func (f *memfd) close() error {
	var errs []error
	if f.view != nil {
		errs = append(errs, unix.MunmapPtr(unsafe.Pointer(&f.view[0]), uintptr(len(f.view))))
		f.view = nil
	}
	if f.pages != nil {
		errs = append(errs, f.pages.close())
	}
	return errors.Join(append(errs, f.file.Close())...)
}
