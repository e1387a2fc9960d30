package verb

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Get is `ruedo get` of a noun with many resources. T is one of them, A a struct
// with the arguments and flags of the command, by kong's tags.
type Get[T, A any] struct {
	Doc
	// Fetch returns what to list. The zero A asks for everything. With an error
	// it can return items too, those that were found.
	Fetch func(ctx context.Context, core *client.Client, args A) ([]T, error)
	// Here takes the place of Fetch for what is on this machine and not in a
	// cluster: no core is asked.
	Here func(s *session.Session, args A) ([]T, error)
	// Message returns the items as the API's message, for JSON and YAML.
	Message func(items []T) proto.Message
	// Document returns a resource as `ruedo apply` reads it, for YAML. Nil: YAML
	// is the API's message, as JSON is.
	Document func(T) any
	// Name returns what -o name prints, and completion.
	Name func(T) string
	// Empty is printed instead of an empty table.
	Empty   string
	Columns []output.Column[T]
	// Warn returns what the reader of the list has to know about it, "" for
	// nothing. May be nil.
	Warn func(ctx context.Context, core *client.Client) string
	// Follow prints what there is and what comes, until the user interrupts it, and
	// returns true if the arguments ask for that. May be nil.
	Follow func(s *session.Session, args A) (done bool, err error)
	// ColumnsFor returns other columns for some arguments, nil for the rest. It
	// may be nil.
	ColumnsFor func(args A) []output.Column[T]
}

func (g Get[T, A]) command(*Noun) any { return &getCommand[T, A]{get: g} }

// names returns the names of all resources.
func (g Get[T, A]) names(s *session.Session) ([]string, error) {
	var all A
	items, err := g.fetch(s, all)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, item := range items {
		names = append(names, g.Name(item))
	}
	return names, nil
}

// fetch returns what to list.
func (g Get[T, A]) fetch(s *session.Session, args A) ([]T, error) {
	if g.Here != nil {
		return g.Here(s, args)
	}
	core, err := s.Connect()
	if err != nil {
		return nil, err
	}
	return g.Fetch(s.Ctx, core, args)
}

type getCommand[T, A any] struct {
	Args A `embed:""`
	get  Get[T, A]
}

func (c *getCommand[T, A]) Examples() []string { return c.get.Examples }

func (c *getCommand[T, A]) Run(s *session.Session) error {
	if c.get.Follow != nil {
		if done, err := c.get.Follow(s, c.Args); done {
			return err
		}
	}
	items, err := c.get.fetch(s, c.Args)
	if err != nil && len(items) == 0 {
		return err
	}
	if c.get.Warn != nil && s.Print.ForPeople() {
		core, err := s.Connect()
		if err != nil {
			return err
		}
		if text := c.get.Warn(s.Ctx, core); text != "" {
			s.Warnf("%s", text)
		}
	}
	if printed := c.print(s, items); printed != nil {
		return printed
	}
	return err
}

// single are arguments that can name one resource. For programs it is printed
// as it is, not as a list of one.
type single interface{ Single() bool }

func (c *getCommand[T, A]) print(s *session.Session, items []T) error {
	if s.Print.Format == output.YAML && c.get.Document != nil && len(items) > 0 {
		var docs []any
		for _, item := range items {
			docs = append(docs, c.get.Document(item))
		}
		return s.Print.Documents(docs)
	}
	message := c.get.Message(items)
	if one, ok := any(c.Args).(single); ok && one.Single() && len(items) == 1 {
		if m, ok := any(items[0]).(proto.Message); ok {
			message = m
		}
	}
	columns := c.get.Columns
	if c.get.ColumnsFor != nil {
		if other := c.get.ColumnsFor(c.Args); other != nil {
			columns = other
		}
	}
	return output.List(&s.Print, message, items, c.get.Name, c.get.Empty, columns...)
}

// GetOne is `ruedo get` of a noun of which there is one. T is the API's message.
type GetOne[T proto.Message] struct {
	Doc
	Fetch func(ctx context.Context, core *client.Client) (T, error)
	// Name returns what -o name prints.
	Name func(T) string
	// Rows returns lines of a label and a value, which may be of strangers.
	Rows func(T) [][]string
}

func (g GetOne[T]) command(*Noun) any { return &getOneCommand[T]{get: g} }

type getOneCommand[T proto.Message] struct{ get GetOne[T] }

func (c *getOneCommand[T]) Examples() []string { return c.get.Examples }

func (c *getOneCommand[T]) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	m, err := c.get.Fetch(s.Ctx, core)
	if err != nil {
		return err
	}
	if done, err := s.PrintMessage(m, c.get.Name(m)); done {
		return err
	}
	return s.Print.Rows(safe(c.get.Rows(m)))
}
