// Package inspect is the commands that look at a cluster as a whole: ruedo
// inspect.
package inspect

import (
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/checkup"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// Inspect is `ruedo inspect`.
type Inspect struct {
	Cluster Cluster `cmd:"" help:"Look at the cluster as a whole."`
}

// Cluster is `ruedo inspect cluster`.
type Cluster struct {
	Health   Health   `cmd:"" help:"Check everything in the cluster, and say what to mend."`
	Activity Activity `cmd:"" help:"Show the calls that run now, on all cores."`
}

// Health is `ruedo inspect cluster health`.
type Health struct{}

// Help is the part of the help that comes after the first line.
func (*Health) Help() string {
	return `Any core answers; it asks the other cores. It looks at the leader, the cores, the
runners, the store with its members, quorum and quota, at alarms, clocks and versions.

Exit code 0: all is well. 1: a warning. 2: something does not work. Other codes: the
cluster could not be asked, for example 6 if no core answers.`
}

func (*Health) Examples() []string {
	return []string{"ruedo inspect cluster health", "ruedo inspect cluster health -o json"}
}

func (c *Health) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Inspect.GetHealth(s.Ctx, &ruedov1.GetHealthRequest{})
	if err != nil {
		return err
	}
	level := object.Word(res.GetLevel())
	done, err := s.PrintMessage(res, level)
	if !done {
		if err = checkup.Print(s, res.GetChecks()); err == nil {
			err = s.Printf("cluster %s: %s", res.GetClusterId(), level)
		}
	}
	if err != nil {
		return err
	}
	return checkup.Result(res.GetLevel())
}
