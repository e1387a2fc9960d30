// Package use has the profiles of the command line: the noun ([Noun]), and the
// command that chooses the profile of those that follow ([Use]).
package use

import (
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Use is `ruedo use`.
type Use struct {
	Profile string `arg:"" optional:"" complete:"profile" help:"Profile to use from now on. Default: show which one is in use."`
	None    bool   `help:"Use no profile any more."`
}

// Help is the part of the help that comes after the first line.
func (*Use) Help() string {
	return `Commands talk to the cores of the profile, and name its cluster, so that a core of
another one refuses them. --profile and RUEDO_PROFILE choose another profile for
one command or one shell. Cores that are named with --host or in the environment
take precedence over the profile in use.`
}

// Examples returns the examples in the help.
func (*Use) Examples() []string {
	return []string{"ruedo use prod", "ruedo use", "ruedo use --none"}
}

// Run chooses the profile, or shows which one is in use.
func (c *Use) Run(s *session.Session) error {
	name, says := c.Profile, "using profile "
	switch {
	case c.None && name != "":
		return fault.New(fault.Usage, "--none and a profile exclude each other").WithFix("ruedo use --none, or ruedo use %s", name)
	case c.None:
		if err := s.Profiles().Use(""); err != nil {
			return err
		}
	case name == "":
		name, says = s.Settings.Used(), ""
	default:
		if err := s.Profiles().Use(name); err != nil {
			return err
		}
		if by := s.Settings.OverInUse(); by != "" {
			s.Warnf("%s takes precedence over the profile", by)
		}
	}
	if name == "" {
		return s.Printf("no profile is in use")
	}
	p, err := s.Profiles().Load(name)
	if err != nil {
		return err
	}
	return show(s, says, p)
}

func show(s *session.Session, says string, p *profile.Profile) error {
	switch {
	case s.Print.Format == output.Name:
		return s.Printf("%s", p.Name)
	case !s.Print.ForPeople():
		return s.Print.Value(map[string]any{"name": p.Name, "hosts": strings.Fields(p.Shown()), "cluster_id": p.ClusterID, "user": p.User})
	}
	text := p.Shown()
	if p.ClusterID != "" {
		text += ", cluster " + p.ClusterID
	}
	if p.User != "" {
		text += ", user " + p.User
	}
	return s.Printf("%s%s: %s", says, p.Name, output.Safe(text))
}
