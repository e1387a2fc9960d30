package fault

// Exit codes of the CLI. [ExitCodes] says what they mean.
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

// ExitCode is an exit code of the CLI.
type ExitCode struct {
	Code    int
	Meaning string
}

// ExitCodes returns the exit codes of the CLI, in their order.
func ExitCodes() []ExitCode {
	return []ExitCode{
		{ExitOK, "It succeeded."},
		{ExitFailure, "It failed in a way that has no code of its own. For a comparison: there are differences, and no error is printed."},
		{ExitUsage, "Usage: a flag, a command or a setting is wrong."},
		{ExitNotFound, "Something does not exist."},
		{ExitDenied, "Authentication is needed, or access is denied."},
		{ExitConflict, "There is a conflict, or a precondition does not hold."},
		{ExitUnavailable, "Something is unavailable or timed out. Trying again can help."},
		{ExitLimit, "A limit or a quota is exceeded."},
		{ExitInvalid, "Validation refused an input, a request or a module."},
		{ExitGuestError, "The service ran and returned its own error, or exited with a code."},
		{ExitGuestTrap, "The service trapped."},
		{ExitGuestLimit, "The service hit one of its limits."},
		{ExitInterrupted, "It was interrupted; nothing is printed."},
		{ExitBrokenPipe, "Nobody reads its output any more; nothing is printed."},
	}
}
