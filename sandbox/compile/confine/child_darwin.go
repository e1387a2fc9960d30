package confine

import "syscall"

// Attr returns attributes that give a child a process group of its own. The child
// sees its parent's end by the end of its stdin.
func Attr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// HideDescriptors keeps children from inheriting what this process was given by its
// own parent, or opened by other means than Go's. Go's own are never inherited.
func HideDescriptors() { hideEach("/dev/fd") }
