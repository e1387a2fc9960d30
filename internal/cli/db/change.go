package db

import (
	"github.com/ruedo-dev/ruedo/internal/cli/delta"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// The results of carrying a resource to a cluster.
const (
	added       = "add"         // the cluster does not have it
	replacement = "replacement" // the cluster has another one, which is replaced
	conflict    = "conflict"    // the cluster has another one, which stays
	removal     = "removal"     // only the cluster has it, and loses it
	unchanged   = "unchanged"
)

// change is what becomes of one resource.
type change struct {
	Kind    string         `json:"kind"`
	Name    string         `json:"name"`
	Result  string         `json:"result"`
	Changes []delta.Change `json:"changes,omitempty"`
}

// maxChanges bounds the fields of one resource that are printed.
const maxChanges = 100

// printChanges prints what becomes of resources; verbose adds the fields that
// differ.
func printChanges(s *session.Session, list []change, verbose bool) error {
	switch {
	case s.Print.Format == output.Name:
		for _, c := range list {
			if err := s.Printf("%s/%s", c.Kind, c.Name); err != nil {
				return err
			}
		}
		return nil
	case !s.Print.ForPeople():
		return s.Print.Value(map[string]any{"items": append([]change{}, list...)})
	}
	for _, c := range list {
		if err := s.Printf("%-11s %s %s", c.Result, c.Kind, output.Safe(c.Name)); err != nil {
			return err
		}
		if !verbose || c.Result == added {
			continue
		}
		for _, field := range c.Changes[:min(len(c.Changes), maxChanges)] {
			if err := s.Printf("  %s", field); err != nil {
				return err
			}
		}
		if more := len(c.Changes) - maxChanges; more > 0 {
			if err := s.Printf("  and %s", text.Count(more, "more change")); err != nil {
				return err
			}
		}
	}
	return nil
}
