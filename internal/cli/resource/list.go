package resource

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// List is `ruedo get` of a noun with many resources. T is one of them, A a struct
// with the arguments and flags of the command, by kong's tags.
type List[T, A any] struct {
	Doc
	// Fetch returns what to list. The zero A asks for everything.
	Fetch func(ctx context.Context, core *client.Client, args A) ([]T, error)
	// Message returns the items as the API's message, for JSON and YAML.
	Message func(items []T) proto.Message
	// Name returns what -o name prints, and completion.
	Name func(T) string
	// Empty is printed instead of an empty table.
	Empty   string
	Columns []output.Column[T]
}

func (l List[T, A]) command(*Resource) any { return &listCommand[T, A]{list: l} }

// names returns the names of all resources.
func (l List[T, A]) names(s *session.Session) ([]string, error) {
	core, err := s.Connect()
	if err != nil {
		return nil, err
	}
	var all A
	items, err := l.Fetch(s.Ctx, core, all)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, item := range items {
		names = append(names, l.Name(item))
	}
	return names, nil
}

type listCommand[T, A any] struct {
	Args A `embed:""`
	list List[T, A]
}

func (c *listCommand[T, A]) Examples() []string { return c.list.Examples }

func (c *listCommand[T, A]) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	items, err := c.list.Fetch(s.Ctx, core, c.Args)
	if err != nil {
		return err
	}
	return output.List(&s.Print, c.list.Message(items), items, c.list.Name, c.list.Empty, c.list.Columns...)
}

// nothing is the arguments of a command that has none.
type nothing struct{}

// nameOrTag is the arguments of lists that can be narrowed to one name or to a
// tag.
type nameOrTag struct {
	Name string `arg:"" optional:"" complete:"${noun}" help:"List only this one."`
	Tag  string `placeholder:"TAG" help:"List only those with this tag."`
}

// only returns the item with a name, or all if the name is empty. The error has
// the reason missing.
func only[T any](items []T, name string, nameOf func(T) string, missing fault.Reason, noun string) ([]T, error) {
	if name == "" {
		return items, nil
	}
	var known []string
	for _, item := range items {
		if nameOf(item) == name {
			return []T{item}, nil
		}
		known = append(known, nameOf(item))
	}
	e := fault.New(missing, "there is no %s %q", noun, name).WithFix("ruedo get %ss", noun)
	if hint := fault.DidYouMean(name, known); hint != "" {
		e.Message += ", " + hint
	}
	return nil, e
}
