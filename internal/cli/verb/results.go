package verb

import (
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// results collects what a command over several names prints for programs, and
// what failed. A name that fails does not keep the others from being handled.
type results struct {
	messages []proto.Message
	names    []string
	failed   []error
}

func (r *results) fail(err error) { r.failed = append(r.failed, err) }

// add keeps a message for print. It returns false if sentences are wanted: then
// the caller prints them.
func (r *results) add(s *session.Session, m proto.Message, name string) bool {
	if s.Print.ForPeople() {
		return false
	}
	r.messages = append(r.messages, m)
	r.names = append(r.names, name)
	return true
}

// print prints the messages, as a list if several were asked for, and returns
// what failed.
func (r *results) print(s *session.Session, several bool) error {
	if err := r.write(s, several); err != nil {
		return err
	}
	return session.Failures(r.failed)
}

func (r *results) write(s *session.Session, several bool) error {
	switch {
	case s.Print.ForPeople():
		return nil
	case s.Print.Format == output.Name:
		for _, name := range r.names {
			if err := s.Printf("%s", name); err != nil {
				return err
			}
		}
		return nil
	case several:
		return s.Print.Messages(r.messages)
	case len(r.messages) == 1:
		return s.Print.Message(r.messages[0])
	}
	return nil
}
