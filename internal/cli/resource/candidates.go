package resource

import (
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// Inputs returns what --set can be for the service that args name: its fields
// and, if current names one, the values that the schemas list. For completion.
func Inputs(s *session.Session, args []string, current string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	core, err := s.Connect()
	if err != nil {
		return nil, err
	}
	res, err := core.Services.GetService(s.Ctx, &ruedov1.GetServiceRequest{Name: args[0]})
	if err != nil {
		return nil, err
	}
	return input.New(res.GetSchemas()).Candidates(current), nil
}

// Revisions returns the numbers of the revisions of the service or the decorator
// that args name, for completion.
func Revisions(s *session.Session, args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	core, err := s.Connect()
	if err != nil {
		return nil, err
	}
	name := args[0]
	if len(args) > 1 && (name == "service" || name == "decorator") {
		name += "/" + args[1]
	}
	list, err := revisionsOf(s.Ctx, core, revisionArgs{Name: name})
	var numbers []string
	for _, r := range list {
		numbers = append(numbers, r.number())
	}
	return numbers, err
}
