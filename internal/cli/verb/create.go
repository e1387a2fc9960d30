package verb

import (
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// Create is `ruedo create` of a noun. A is a struct with the flags of the
// command, by kong's tags.
type Create[A any] struct {
	Doc
	// Do creates the resource and returns it.
	Do func(s *session.Session, name string, args A) (proto.Message, error)
}

func (c Create[A]) command(n *Noun) any { return &createCommand[A]{noun: n.Name, create: c} }

type createCommand[A any] struct {
	Name   string `arg:"" help:"${argument}"`
	Args   A      `embed:""`
	noun   string
	create Create[A]
}

func (c *createCommand[A]) Examples() []string { return c.create.Examples }

func (c *createCommand[A]) Run(s *session.Session) error {
	m, err := c.create.Do(s, c.Name, c.Args)
	if err != nil {
		return err
	}
	if done, err := s.PrintMessage(m, c.Name); done {
		return err
	}
	return s.Printf("created %s %s", c.noun, c.Name)
}
