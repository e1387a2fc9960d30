package logs

import (
	"bytes"
	"slices"
	"strings"
)

// Absent is what a guest asked for in a call and no guest has. It costs a call
// that asks for none nothing.
type Absent struct {
	Sockets bool   // a network
	path    string // the last file
}

// File takes note of a file that is looked for or made. Some are asked for by
// libraries, not by programs: those that begin to look up a name of the network,
// and those that list types of files or time zones.
func (a *Absent) File(path string) {
	switch {
	case path == "etc/resolv.conf" || path == "etc/hosts" || path == "etc/nsswitch.conf":
		a.Sockets = true
	case path != "" && !strings.Contains(path, "mime") && !strings.Contains(path, "zoneinfo"):
		a.path = path
	}
}

// What a guest without a network, files or processes reads of it is in the
// language of its libraries: connection refused, no such file or directory. So
// the logs of a call that failed end with what that means here.
const (
	noNetwork   = "a service has no network: connections, listeners and name lookups fail; let the caller pass what it needs"
	noProcesses = "a service cannot start programs; do it in the service itself, or outside of it"
	noFiles     = "a service has no files: / is empty and cannot be changed; pass the content as input or environment, or embed it in the module"
	noZones     = `a service has no files, so no time zone but UTC is found; embed the zones in the module (in Go: import _ "time/tzdata")`
)

// texts are how Go's standard library says it: it asks the host for neither a
// network nor a process.
var texts = []struct {
	means string
	any   []string
}{
	{noNetwork, []string{"dial tcp", "dial udp", "dial unix", "no such host", "write udp ", "read udp ", "net.(*netFD).accept("}},
	{noProcesses, []string{"executable file not found in $PATH", "fork/exec "}},
	{noZones, []string{"unknown time zone "}},
}

// Explain adds what the guest of a call that failed asked for in vain. failure is
// its own message. This can make the logs exceed their limit.
func (l *Logs) Explain(a *Absent, failure string) {
	const last = 4 << 10
	said := l.Text[max(0, len(l.Text)-last):]
	if failure != "" {
		said = append([]byte(failure+"\n"), said...)
	}
	note := func(text string) { l.Text = append(l.Text, "WARN sandbox: "+text+"\n"...) }
	for _, t := range texts {
		if t.means == noNetwork && a.Sockets || slices.ContainsFunc(t.any, func(text string) bool { return bytes.Contains(said, []byte(text)) }) {
			note(t.means)
		}
	}
	if a.path != "" {
		note(Clean("/"+a.path, 200) + ": " + noFiles)
	}
}
