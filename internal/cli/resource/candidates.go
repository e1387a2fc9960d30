package resource

import (
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
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
	name, _, _ := strings.Cut(args[0], "@")
	res, err := core.Services.GetService(s.Ctx, &ruedov1.GetServiceRequest{Name: name})
	if err != nil {
		return nil, err
	}
	return input.New(res.GetSchemas()).Candidates(current), nil
}

// Pinned returns the services as "NAME@" or, if current has a name and an @, the
// revisions of that service as "NAME@REVISION". For completion.
func Pinned(s *session.Session, current string) ([]string, error) {
	var list []string
	if name, _, ok := strings.Cut(current, "@"); ok {
		numbers, err := Revisions(s, []string{"service/" + name})
		for _, n := range numbers {
			list = append(list, name+"@"+n)
		}
		return list, err
	}
	names, err := verb.Names(s, All(), "service")
	for _, name := range names {
		list = append(list, name+"@")
	}
	return list, err
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
