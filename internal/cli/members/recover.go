package members

import (
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// recovery is `ruedo store recover`.
type recovery struct {
	DataDir string `placeholder:"DIR" setting:"store.data_dir"`
	Force   bool   `name:"force-new-cluster" help:"Required. Say that the other members are lost for good."`
	Yes     bool   `short:"y" help:"Do not ask for confirmation."`
}

// Help is the part of the help that comes after the first line.
func (*recovery) Help() string {
	return `For a store whose members are gone for good, more than half of them. It makes the
member in the data directory the only one. Its core must not run.

Choose the member that was the last to be up to date: every change that it has not
received is lost, although it was acknowledged. Empty the data directories of all
other members before they start again; with their old data they would be a second
store. Then start the core of the recovered member, and the others with --join.`
}

// Examples of the command.
func (*recovery) Examples() []string {
	return []string{"ruedo store recover --force-new-cluster --data-dir /var/lib/ruedo"}
}

// Run recovers the store.
func (c *recovery) Run(s *session.Session) error {
	a := s.Assembler()
	if !c.Force {
		return fault.New(fault.Usage, "a recovery gives up all members except that of %s, and everything that only they have", a.DataDir()).
			WithFix("start the other members if you can: nothing is lost then; if they are gone for good, add --force-new-cluster")
	}
	s.Warnf("changes that only other members have are lost, although they were acknowledged")
	s.Warnf("the other members must never start again with their data: empty their data directories")
	if err := s.Confirm(c.Yes, "Make the member in "+a.DataDir()+" the only one of its store?"); err != nil {
		return err
	}
	gone, revision, err := a.Recover(s.Ctx, s.QuietLogger())
	if err != nil {
		return err
	}
	if len(gone) == 0 {
		return s.Printf("the member in %s was the only one already, at version %d", a.DataDir(), revision)
	}
	if err := s.Printf("recovered the store at version %d; members given up: %s", revision, strings.Join(gone, ", ")); err != nil {
		return err
	}
	s.Infof("start its core as before; empty the data directories of the others, and start them with --join")
	return nil
}
