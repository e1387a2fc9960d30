package resource

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Details is `ruedo describe` of a noun. T is the API's message.
type Details[T proto.Message] struct {
	Doc
	Fetch func(ctx context.Context, core *client.Client, name string) (T, error)
	// Name returns what -o name prints.
	Name func(T) string
	// Rows returns lines of a label and a value, which may be of strangers.
	Rows func(T) [][]string
	// More prints what comes after the rows. May be nil.
	More func(s *session.Session, m T) error
}

func (d Details[T]) command(r *Resource) any { return &detailsCommand[T]{noun: r.Name, details: d} }

type detailsCommand[T proto.Message] struct {
	Name    string `arg:"" complete:"${noun}" help:"${argument}"`
	noun    string
	details Details[T]
}

func (c *detailsCommand[T]) Examples() []string { return c.details.Examples }

func (c *detailsCommand[T]) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	m, err := c.details.Fetch(s.Ctx, core, c.Name)
	if err != nil {
		return session.About(err, "%s %s", c.noun, c.Name)
	}
	if done, err := s.PrintMessage(m, c.details.Name(m)); done {
		return err
	}
	if err := s.Print.Rows(safe(c.details.Rows(m))); err != nil || c.details.More == nil {
		return err
	}
	return c.details.More(s, m)
}

// Single is `ruedo get` of a noun of which there is one. T is the API's message.
type Single[T proto.Message] struct {
	Doc
	Fetch func(ctx context.Context, core *client.Client) (T, error)
	// Name returns what -o name prints.
	Name func(T) string
	// Rows returns lines of a label and a value, which may be of strangers.
	Rows func(T) [][]string
}

func (g Single[T]) command(*Resource) any { return &singleCommand[T]{single: g} }

type singleCommand[T proto.Message] struct{ single Single[T] }

func (c *singleCommand[T]) Examples() []string { return c.single.Examples }

func (c *singleCommand[T]) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	m, err := c.single.Fetch(s.Ctx, core)
	if err != nil {
		return err
	}
	if done, err := s.PrintMessage(m, c.single.Name(m)); done {
		return err
	}
	return s.Print.Rows(safe(c.single.Rows(m)))
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
