package hostcall

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/sys"
)

// absent is what a guest asked for in a call and no guest has. It costs a call
// that asks for none nothing.
type absent struct {
	path    string // the last file
	network bool
}

// file takes note of a file that is looked for or made. Some are asked for by
// libraries, not by programs: those that begin to look up a name of the network,
// and those that list types of files or time zones.
func (a *absent) file(path string) {
	switch {
	case path == "etc/resolv.conf" || path == "etc/hosts" || path == "etc/nsswitch.conf":
		a.network = true
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

// explain adds to the logs of a call that failed what it asked for in vain. This
// can make them exceed their limit.
func (c *Call) explain() {
	const last = 4 << 10
	said := c.logs.text[max(0, len(c.logs.text)-last):]
	if c.Failure != nil {
		said = append([]byte(c.Failure.Message+"\n"), said...)
	}
	note := func(text string) { c.logs.text = append(c.logs.text, "WARN sandbox: "+text+"\n"...) }
	for _, t := range texts {
		if t.means == noNetwork && c.absent.network || slices.ContainsFunc(t.any, func(text string) bool { return bytes.Contains(said, []byte(text)) }) {
			note(t.means)
		}
	}
	if path := c.absent.path; path != "" {
		note(Clean("/"+path, 200) + ": " + noFiles)
	}
}

// failed reports whether a call failed, from what its function returned.
func (c *Call) failed(status uint32, err error) bool {
	if exit, ok := errors.AsType[*sys.ExitError](err); ok && exit.ExitCode() == 0 {
		err = nil
	}
	return err != nil || status != 0 || c.Failure != nil || c.Excess > 0
}
