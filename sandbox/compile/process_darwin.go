package compile

import "syscall"

// childAttr gives the child a process group of its own. It sees its parent's end
// by the end of its stdin.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// hideDescriptors keeps what this process was given by its own parent, or opened
// by other means than Go's, from being given on: Go's own are not in any case.
func hideDescriptors() { hideEach("/dev/fd") }
