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
	Names    []string `arg:"" name:"name" complete:"${noun}" help:"${argument} May be repeated."`
	noun     string
	describe Describe[T]
}

func (c *describeCommand[T]) Examples() []string { return c.describe.Examples }

// Run shows all that can be found, and returns what could not.
func (c *describeCommand[T]) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	var results results
	shown := 0
	for _, name := range c.Names {
		m, err := c.describe.Fetch(s.Ctx, core, name)
		if err != nil {
			results.fail(session.About(err, "%s %s", c.noun, name))
			continue
		}
		if results.add(s, m, c.describe.Name(m)) {
			continue
		}
		if shown++; shown > 1 {
			if err := s.Printf(""); err != nil {
				return err
			}
		}
		if err := c.show(s, m); err != nil {
			return err
		}
	}
	return results.print(s, len(c.Names) > 1)
}

func (c *describeCommand[T]) show(s *session.Session, m T) error {
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
