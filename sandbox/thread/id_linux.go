//go:build linux && !amd64

package thread

func pointerReadable() bool { return false }

// id returns what tells the calling thread from all others that are alive.
func (*reading) id() uintptr { return gettid() }
