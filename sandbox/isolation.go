package sandbox

import "strings"

// Isolation is what a call can see of earlier calls.
type Isolation string

// The isolations. A service can ask for Pristine, Shared or Fresh; a command
// is always PerCall.
const (
	// Pristine: nothing. An instance is reused with its memory and globals
	// restored to the snapshot that was taken after the start. A module with more
	// state gets Fresh.
	Pristine Isolation = "pristine"
	// Shared: what the last call of the same instance left. An instance is reused
	// as it is, by one call at a time, and closed after a call that trapped,
	// exited or was stopped. There are as many instances as concurrent calls.
	Shared Isolation = "shared"
	// Fresh: nothing. Each call has a new instance, made from the snapshot or, if
	// the module has more state, started on its own.
	Fresh Isolation = "fresh"
	// PerCall: nothing. Each call starts the program again.
	PerCall Isolation = "command"
)

// isolate returns the isolation to use, and why it is not the requested one.
// obstacles are the reasons why the module's state cannot be restored.
func isolate(kind Kind, asked Isolation, obstacles []string) (Isolation, string) {
	switch {
	case kind == Command:
		if asked == "" || asked == PerCall {
			return PerCall, ""
		}
		return PerCall, "a command is started again for each call"
	case asked == Shared || asked == Fresh:
		return asked, ""
	case len(obstacles) > 0:
		return Fresh, "an instance cannot be restored: " + strings.Join(obstacles, "; ")
	}
	return Pristine, ""
}
