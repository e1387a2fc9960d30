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
	// Say prints what was created. Nil: "created service greet".
	Say func(s *session.Session, m proto.Message) error
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
	if c.create.Say != nil {
		return c.create.Say(s, m)
	}
	return s.Printf("created %s %s", c.noun, c.Name)
}

// CreateUnnamed is Create of a noun whose names the cluster makes.
type CreateUnnamed[A any] struct {
	Doc
	// Do creates the resource and returns it, with its name.
	Do func(s *session.Session, args A) (m proto.Message, name string, err error)
	// Say prints what was created.
	Say func(s *session.Session, m proto.Message) error
}

func (c CreateUnnamed[A]) command(*Noun) any { return &createUnnamedCommand[A]{create: c} }

type createUnnamedCommand[A any] struct {
	Args   A `embed:""`
	create CreateUnnamed[A]
}

func (c *createUnnamedCommand[A]) Examples() []string { return c.create.Examples }

func (c *createUnnamedCommand[A]) Run(s *session.Session) error {
	m, name, err := c.create.Do(s, c.Args)
	if err != nil {
		return err
	}
	if done, err := s.PrintMessage(m, name); done {
		return err
	}
	return c.create.Say(s, m)
}
