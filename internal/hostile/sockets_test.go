//go:build hostile

package hostile

import (
	"net"
	"os"
	"strconv"
	"strings"
)

// established counts the connections that the core has not closed. It cannot
// use the other end: unread data hides the end of a connection there.
func (b *bout) established(conns []net.Conn) int {
	const isEstablished = "01"
	ours := make(map[int]bool)
	for _, c := range conns {
		ours[c.LocalAddr().(*net.TCPAddr).Port] = true
	}
	_, port, _ := net.SplitHostPort(b.address())
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		b.Errorf("%v", err)
	}
	n := 0
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line) // number, local, remote, state
		if len(f) < 4 || f[3] != isEstablished {
			continue
		}
		if strconv.Itoa(portOf(f[1])) == port && ours[portOf(f[2])] {
			n++
		}
	}
	return n
}

// portOf parses the port of an address as the kernel writes it.
func portOf(address string) int {
	_, port, _ := strings.Cut(address, ":")
	n, _ := strconv.ParseUint(port, 16, 16)
	return int(n)
}
