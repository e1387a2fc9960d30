package sandbox

import "strings"

// Isolation is what a call sees of the calls before it.
type Isolation string

// The isolations. What a service may ask for is Pristine, Shared or Fresh; a
// command is always Program.
const (
	// Pristine: nothing. An instance is used again with its memory and globals
	// put back to the snapshot that was taken after the start.
	Pristine Isolation = "pristine"
	// Shared: everything. An instance is used again as it is, by one call at a
	// time, and thrown away after a call that was stopped.
	Shared Isolation = "shared"
	// Fresh: nothing. Each call has a new instance.
	Fresh Isolation = "fresh"
	// Program: nothing. Each call starts the program anew.
	Program Isolation = "command"
)

// isolate decides what holds where asked is asked for, and why it is not that.
// obstacles are why the module's state cannot be put back in place.
func isolate(kind Kind, asked Isolation, obstacles []string) (Isolation, string) {
	switch {
	case kind == Command:
		if asked == "" || asked == Program {
			return Program, ""
		}
		return Program, "a command starts anew for each call"
	case asked == Shared || asked == Fresh:
		return asked, ""
	case len(obstacles) > 0:
		return Fresh, "an instance cannot be restored: the module " + strings.Join(obstacles, ", ")
	}
	return Pristine, ""
}
