package login

import (
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Whoami is `ruedo whoami`.
type Whoami struct{}

// Examples returns the examples in the help.
func (*Whoami) Examples() []string { return []string{"ruedo whoami", "ruedo whoami -o json"} }

// Run says who the user is.
func (*Whoami) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	me, err := core.Login.WhoAmI(s.Ctx, &ruedov1.WhoAmIRequest{})
	if err != nil {
		return err
	}
	if done, err := s.PrintMessage(me, me.GetPrincipal()); done {
		return err
	}
	rows := [][]string{{"Principal:", me.GetPrincipal()}, {"Cluster:", me.GetCluster()}}
	if used := s.Settings.Used(); used != "" && s.Settings.Profile.Replaced == "" {
		rows = append(rows, []string{"Profile:", used})
	}
	if t := me.GetToken(); t != nil {
		text := t.GetId()
		if t.GetExpireTime() != nil {
			text += " until " + output.Moment(t.GetExpireTime().AsTime())
		}
		rows = append(rows, []string{"Token:", text})
	}
	rows = append(rows, []string{"Roles:", strings.Join(me.GetRoles(), ", ")})
	for i, grant := range me.GetGrants() {
		label := ""
		if i == 0 {
			label = "Grants:"
		}
		rows = append(rows, []string{label, grant})
	}
	for _, row := range rows {
		for i := range row {
			row[i] = output.Safe(row[i])
		}
	}
	return s.Print.Rows(rows)
}

// Can is `ruedo can`.
type Can struct {
	Verb string `arg:"" complete:"read,write,call,use,execute" help:"read, write, call, use or execute."`
	Noun string `arg:"" complete:"service,decorator,runner,user,role,cluster,audit" help:"What it is about: service, decorator, runner, user, role, cluster or audit."`
	Name string `arg:"" optional:"" default:"*" help:"Its name. Default: all names."`
}

// Help is the part of the help that comes after the first line.
func (*Can) Help() string { return `Exit code 0: yes. 4: no.` }

// Examples returns the examples in the help.
func (*Can) Examples() []string {
	return []string{"ruedo can write service team-a-greet", "ruedo can read cluster", "if ruedo can call service greet > /dev/null; then ..."}
}

// Run says whether the user may do it.
func (c *Can) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Login.Can(s.Ctx, &ruedov1.CanRequest{Access: c.Verb + " " + c.Noun + " " + c.Name})
	if err != nil {
		return err
	}
	word := "no"
	if res.GetAllowed() {
		word = "yes"
	}
	done, err := s.PrintMessage(res, word)
	if !done {
		err = s.Printf("%s", word)
	}
	if err == nil && !res.GetAllowed() {
		err = session.Code(fault.ExitDenied)
	}
	return err
}
