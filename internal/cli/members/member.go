// Package members is the commands about the store that the cores of a cluster
// form themselves: its members (ruedo member) and its upkeep (ruedo store).
package members

import (
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// Member is `ruedo member`.
type Member struct {
	Add     add     `cmd:"" help:"Add a member to the store, before its core starts."`
	Remove  remove  `cmd:"" help:"Remove a member from the store for good."`
	Promote promote `cmd:"" help:"Give a member a vote."`
	Replace replace `cmd:"" help:"Replace a lost member by a new one."`
}

// Help is the part of the help that comes after the first line.
func (*Member) Help() string {
	return `The members of the store are the cores that keep its data. ruedo server --join
adds one and gives it a vote when it has received the data, so that most of these
commands are for what went wrong. ruedo get members lists them.`
}

func (*Member) Examples() []string {
	return []string{
		"ruedo get members",
		"ruedo member remove core-3:7834",
		"ruedo member replace core-3:7834",
	}
}

// one is the argument that names a member.
type one struct {
	Member string `arg:"" complete:"member" help:"Name or id of the member."`
}

// add is `ruedo member add`.
type add struct {
	URL  string `arg:"" name:"url" help:"URL at which the other members will reach it, for example https://core-3:7834."`
	Name string `placeholder:"NAME" help:"Refuse it if another member has this name."`
}

func (*add) Help() string {
	return `Adds a member without a vote. Then start its core with --join and that peer URL.
ruedo server --join does both, so this is only needed if members are listed before
they start.`
}

func (*add) Examples() []string {
	return []string{"ruedo member add http://10.0.0.3:7834"}
}

func (c *add) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Members.AddMember(s.Ctx, &ruedov1.AddMemberRequest{PeerUrl: c.URL, Name: c.Name})
	if err != nil {
		return session.About(err, "member %s", c.URL)
	}
	if done, err := s.PrintMessage(res, res.GetMember().GetId()); done {
		return err
	}
	url := strings.Join(res.GetMember().GetPeerUrls(), " ")
	if err := s.Printf("added member %s at %s, without a vote until it has received the data", res.GetMember().GetId(), url); err != nil {
		return err
	}
	s.Infof("start it: %s", start(s.URL(core), url))
	return nil
}

// start is the command that starts a member.
func start(core, url string) string {
	_, address, _ := strings.Cut(url, "://")
	return "ruedo server --join " + core + " --peer-address " + address
}

// remove is `ruedo member remove`.
type remove struct {
	one
	Force bool `help:"Remove it even if too few members are left for a write."`
	Yes   bool `short:"y" help:"Do not ask for confirmation."`
}

func (*remove) Help() string {
	return `A removed member never comes back: to join again, its core needs an empty data
directory. A removal after which fewer members answer than a write needs is refused.
With --force it is done, and then no write succeeds until more than half of the
members that are left answer.`
}

func (*remove) Examples() []string {
	return []string{"ruedo member remove core-3:7834"}
}

func (c *remove) Run(s *session.Session) error {
	if c.Force {
		s.Warnf("if too few members are left, no write succeeds until more than half of them answer")
	}
	if err := s.Confirm(c.Yes, "Remove member "+c.Member+" from the store for good?"); err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Members.RemoveMember(s.Ctx, &ruedov1.RemoveMemberRequest{Member: c.Member, Force: c.Force})
	if err != nil {
		return session.About(err, "member %s", c.Member)
	}
	if done, err := s.PrintMessage(res, c.Member); done {
		return err
	}
	return s.Printf("removed member %s", c.Member)
}

// promote is `ruedo member promote`.
type promote struct{ one }

func (*promote) Help() string {
	return `A member that joins gets its vote on its own. This is for one whose core could
not ask for it.`
}

func (*promote) Examples() []string {
	return []string{"ruedo member promote core-3:7834"}
}

func (c *promote) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Members.PromoteMember(s.Ctx, &ruedov1.PromoteMemberRequest{Member: c.Member})
	if err != nil {
		return session.About(err, "member %s", c.Member)
	}
	if done, err := s.PrintMessage(res, c.Member); done {
		return err
	}
	return s.Printf("member %s votes", c.Member)
}

// replace is `ruedo member replace`.
type replace struct {
	one
	PeerURL string `name:"peer-url" placeholder:"URL" help:"URL of the new member. Default: that of the old one."`
	Force   bool   `help:"Replace it even if too few members are left for a write until the new one votes."`
	Yes     bool   `short:"y" help:"Do not ask for confirmation."`
}

func (*replace) Help() string {
	return `Removes the member and adds one without a vote in its place. The core of the new one
starts with --join and an empty data directory; it receives the data from the
others and then gets its vote.`
}

func (*replace) Examples() []string {
	return []string{
		"ruedo member replace core-3:7834                      same address, empty disk",
		"ruedo member replace core-3:7834 --peer-url https://core-9:7834",
	}
}

func (c *replace) Run(s *session.Session) error {
	if err := s.Confirm(c.Yes, "Remove member "+c.Member+" for good, and add a new one in its place?"); err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Members.ReplaceMember(s.Ctx, &ruedov1.ReplaceMemberRequest{Member: c.Member, PeerUrl: c.PeerURL, Force: c.Force})
	if err != nil {
		return session.About(err, "member %s", c.Member)
	}
	if done, err := s.PrintMessage(res, res.GetAdded().GetId()); done {
		return err
	}
	url := strings.Join(res.GetAdded().GetPeerUrls(), " ")
	if err := s.Printf("removed member %s, added %s at %s without a vote", c.Member, res.GetAdded().GetId(), url); err != nil {
		return err
	}
	s.Infof("start it with an empty data directory: %s", start(s.URL(core), url))
	return nil
}
