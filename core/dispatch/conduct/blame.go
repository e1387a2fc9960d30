package conduct

import "github.com/ruedo-dev/ruedo/internal/fault"

// Blame is whose fault it is that a plan could not be prepared. The smallest is
// the most informative.
type Blame int

// Those who may be at fault.
const (
	Plan    Blame = iota // any runner would say the same
	Runner               // this runner cannot
	Machine              // this runner is too slow or busy now: trying again may help
	Nobody               // the runner was lost or late: trying again may help
)

// BlameFor returns whose fault a failed preparation is.
func BlameFor(err error) Blame {
	e := fault.FromError(err)
	switch {
	case e.ConnectCode() == fault.CodeInvalidArgument || e.Reason.OfGuest():
		return Plan
	case e.Reason == fault.CompileTimeout:
		return Machine
	case e.Reason == fault.RunnerLost, e.Reason == fault.RunnerDraining, e.Reason == fault.Deadline, e.Reason == fault.Canceled, e.Reason == fault.CoreUnreachable, e.Reason == fault.RunnerDisk:
		return Nobody
	}
	return Runner
}
