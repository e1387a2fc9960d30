package verb

import (
	"context"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
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
	return &deleteCommand{noun: n.Name, plural: n.Plural, delete: d}
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
