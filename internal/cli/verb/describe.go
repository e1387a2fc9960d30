package verb

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Describe is `ruedo describe` of a noun. T is the API's message.
type Describe[T proto.Message] struct {
	Doc
	Fetch func(ctx context.Context, core *client.Client, name string) (T, error)
	// Name returns what -o name prints.
	Name func(T) string
	// Rows returns lines of a label and a value, which may be of strangers.
	Rows func(T) [][]string
	// More prints what comes after the rows. May be nil.
	More func(s *session.Session, m T) error
}

func (d Describe[T]) command(n *Noun) any { return &describeCommand[T]{noun: n.Name, describe: d} }

type describeCommand[T proto.Message] struct {
	Name     string `arg:"" complete:"${noun}" help:"${argument}"`
	noun     string
	describe Describe[T]
}

func (c *describeCommand[T]) Examples() []string { return c.describe.Examples }

func (c *describeCommand[T]) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	m, err := c.describe.Fetch(s.Ctx, core, c.Name)
	if err != nil {
		return session.About(err, "%s %s", c.noun, c.Name)
	}
	if done, err := s.PrintMessage(m, c.describe.Name(m)); done {
		return err
	}
	if err := s.Print.Rows(safe(c.describe.Rows(m))); err != nil || c.describe.More == nil {
		return err
	}
	return c.describe.More(s, m)
}

// safe escapes cells, which may be text of strangers, and makes empty ones
// visible.
func safe(rows [][]string) [][]string {
	for _, row := range rows {
		for i := range row {
			if row[i] = output.Safe(row[i]); row[i] == "" {
				row[i] = "-"
			}
		}
	}
	return rows
}
