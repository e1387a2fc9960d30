// Package backlog is the connections that clients have opened and a server has not yet
// accepted. When their listener is closed, the kernel resets them, although requests can
// have been sent on them.
package backlog
