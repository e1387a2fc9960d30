// Package leading is what has to do with the core that leads: the leader
// ([LeaderNoun]), which can hand over ([Leader]), and its jobs ([JobNoun]), which
// it can run now ([Job]).
package leading

import (
	"context"
	"fmt"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// LeaderNoun is the leader of the cluster.
func LeaderNoun() *verb.Noun {
	type L = *ruedov1.Leader
	return &verb.Noun{
		Name: "leader", Plural: "leader",
		Get: verb.GetOne[L]{
			Doc: verb.Doc{
				Help:     "Show which core leads, and since when.",
				Examples: []string{"ruedo get leader", "ruedo get leader -o name"},
			},
			Fetch: func(ctx context.Context, core *client.Client) (L, error) {
				res, err := core.Leader.GetLeader(ctx, &ruedov1.GetLeaderRequest{})
				return res.GetLeader(), err
			},
			Name: L.GetCore,
			Rows: func(l L) [][]string {
				return [][]string{
					{"Core:", l.GetCore()},
					{"Host:", l.GetHost()},
					{"URL:", l.GetUrl()},
					{"Elected:", output.Since(l.GetElectTime()) + " ago"},
					{"Term:", fmt.Sprint(l.GetTerm())},
				}
			},
		},
	}
}

// Leader is `ruedo leader`.
type Leader struct {
	Yield Yield `cmd:"" help:"Have the leader hand over to another core."`
}

// Yield is `ruedo leader yield`.
type Yield struct {
	To string `placeholder:"CORE" complete:"core" help:"Id of the core to take over. Default: any other core."`
}

// Help is the part of the help that comes after the first line.
func (*Yield) Help() string {
	return `Any core accepts the order. It is carried out within a second, and calls and
publishes do not notice it: the leader only runs the jobs.`
}

func (*Yield) Examples() []string {
	return []string{"ruedo leader yield", "ruedo leader yield --to core-7f3k2m"}
}

func (c *Yield) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Leader.YieldLeadership(s.Ctx, &ruedov1.YieldLeadershipRequest{To: c.To})
	if err != nil {
		return err
	}
	leader := res.GetLeader().GetCore()
	if done, err := s.PrintMessage(res, leader); done {
		return err
	}
	if res.GetUnchanged() {
		return s.Printf("unchanged: core %s leads", leader)
	}
	return s.Printf("core %s leads, core %s did before", leader, res.GetPrevious())
}
