package verb

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Delete is `ruedo delete` of a noun.
type Delete struct {
	Doc
	// Also says in the question what else is deleted: " and all its revisions".
	Also string
	// Do deletes the resource and returns the API's answer.
	Do func(ctx context.Context, core *client.Client, name string) (proto.Message, error)
}

func (d Delete) command(n *Noun) any { return &deleteCommand{noun: n.Name, delete: d} }

type deleteCommand struct {
	Name   string `arg:"" complete:"${noun}" help:"${argument}"`
	Yes    bool   `short:"y" help:"Do not ask for confirmation."`
	noun   string
	delete Delete
}

func (c *deleteCommand) Examples() []string { return c.delete.Examples }

func (c *deleteCommand) Run(s *session.Session) error {
	if err := s.Confirm(c.Yes, "Delete "+c.noun+" "+c.Name+c.delete.Also+"?"); err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	m, err := c.delete.Do(s.Ctx, core, c.Name)
	if err != nil {
		return session.About(err, "%s %s", c.noun, c.Name)
	}
	if done, err := s.PrintMessage(m, c.Name); done {
		return err
	}
	return s.Printf("deleted %s %s", c.noun, c.Name)
}
