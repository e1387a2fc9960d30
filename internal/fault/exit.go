package fault

// Exit codes of the CLI, as docs/errors.md lists them.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitDenied      = 4
	ExitConflict    = 5
	ExitUnavailable = 6
	ExitLimit       = 7
	ExitInvalid     = 8
	ExitGuestError  = 10
	ExitGuestTrap   = 11
	ExitGuestLimit  = 12
	ExitInterrupted = 130
	ExitBrokenPipe  = 141
)
