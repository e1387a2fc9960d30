package verb

import (
	"context"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Delete is `ruedo delete` of a noun.
type Delete struct {
	Doc
	// Also says in the question what else is deleted: " and all its revisions".
	// "its" becomes "their" if there are several.
	Also string
	// Do deletes the resource and returns the API's answer.
	Do func(ctx context.Context, core *client.Client, name string) (proto.Message, error)
	// Here takes the place of Do for what is on this machine and not in a
	// cluster: no core is asked.
	Here func(s *session.Session, name string) (proto.Message, error)
	// All is what --all does. Nil: there is no such flag.
	All *All
}

// All deletes all resources of a noun.
type All struct {
	// Question is asked before.
	Question string
	Do       func(ctx context.Context, core *client.Client) (proto.Message, error)
	// Done is printed after.
	Done string
}

// of returns the function that deletes a resource.
func (d Delete) of(s *session.Session) (func(name string) (proto.Message, error), error) {
	if d.Here != nil {
		return func(name string) (proto.Message, error) { return d.Here(s, name) }, nil
	}
	core, err := s.Connect()
	return func(name string) (proto.Message, error) { return d.Do(s.Ctx, core, name) }, err
}

func (d Delete) command(n *Noun) any {
	some := deleteCommand{noun: n.Name, plural: n.Plural, delete: d}
	if d.All != nil {
		return &deleteOrAllCommand{some: some}
	}
	return &some
}

type deleteCommand struct {
	Names        []string `arg:"" name:"name" complete:"${noun}" help:"${argument} May be repeated."`
	Yes          bool     `short:"y" help:"Do not ask for confirmation."`
	noun, plural string
	delete       Delete
}

func (c *deleteCommand) Examples() []string { return c.delete.Examples }

// Run deletes all that can be deleted, and returns what could not.
func (c *deleteCommand) Run(s *session.Session) error {
	if err := s.Confirm(c.Yes, c.question()); err != nil {
		return err
	}
	do, err := c.delete.of(s)
	if err != nil {
		return err
	}
	var results results
	for _, name := range c.Names {
		m, err := do(name)
		if err != nil {
			results.fail(session.About(err, "%s %s", c.noun, name))
			continue
		}
		if results.add(s, m, name) {
			continue
		}
		if err := s.Printf("deleted %s %s", c.noun, name); err != nil {
			return err
		}
	}
	return results.print(s, len(c.Names) > 1)
}

// question asks once for all names.
func (c *deleteCommand) question() string {
	if len(c.Names) == 1 {
		return "Delete " + c.noun + " " + c.Names[0] + c.delete.Also + "?"
	}
	return "Delete " + c.plural + " " + strings.Join(c.Names, ", ") + strings.Replace(c.delete.Also, " its ", " their ", 1) + "?"
}

// deleteOrAllCommand is deleteCommand with --all in the place of names.
type deleteOrAllCommand struct {
	Names []string `arg:"" name:"name" optional:"" complete:"${noun}" help:"${argument} May be repeated."`
	Yes   bool     `short:"y" help:"Do not ask for confirmation."`
	All   bool     `help:"Delete all of them."`
	some  deleteCommand
}

func (c *deleteOrAllCommand) Examples() []string { return c.some.Examples() }

func (c *deleteOrAllCommand) Run(s *session.Session) error {
	switch {
	case c.All == (len(c.Names) > 0):
		return fault.New(fault.Usage, "either names or --all is expected").WithFix("ruedo delete %s NAME, or ruedo delete %s --all", c.some.noun, c.some.plural)
	case !c.All:
		c.some.Names, c.some.Yes = c.Names, c.Yes
		return c.some.Run(s)
	}
	all := c.some.delete.All
	if err := s.Confirm(c.Yes, all.Question); err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	m, err := all.Do(s.Ctx, core)
	if err != nil {
		return err
	}
	if done, err := s.PrintMessage(m, c.some.plural); done {
		return err
	}
	return s.Printf("%s", all.Done)
}
