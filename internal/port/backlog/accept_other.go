//go:build !linux

package backlog

import (
	"iter"
	"net"
)

// Accept accepts nothing here.
func Accept(*net.TCPListener) iter.Seq[net.Conn] { return func(func(net.Conn) bool) {} }
