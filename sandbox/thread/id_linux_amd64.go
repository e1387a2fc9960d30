package thread

import "golang.org/x/sys/unix"

// pointer returns the thread pointer: the address of what belongs to the calling
// thread alone. Asking the kernel for the number of the thread takes fifty times as long.
func pointer() uintptr

// pointerReadable reports whether the kernel allows to read the thread pointer.
func pointerReadable() bool {
	const hwcap2, fsgsbase = 26, 1 << 1
	entries, _ := unix.Auxv()
	for _, e := range entries {
		if e[0] == hwcap2 {
			return e[1]&fsgsbase != 0
		}
	}
	return false
}

// id returns what tells the calling thread from all others that are alive.
func (r *reading) id() uintptr {
	if r.pointer {
		return pointer()
	}
	return gettid()
}
