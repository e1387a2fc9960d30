package input

import (
	"fmt"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
)

// Print writes the accepted fields as a table, or empty if any input is
// accepted.
func (s *Schemas) Print(p *output.Printer, empty string) error {
	if s.Empty() {
		_, err := fmt.Fprintln(p.W, empty)
		return err
	}
	lines := s.Lines()
	if len(lines) == 0 {
		_, err := fmt.Fprintln(p.W, "Any input that the schemas pass (-o json shows them).")
		return err
	}
	rows := [][]string{{"INPUT", "TYPE", "REQUIRED", "DECORATOR", "MEANING"}}
	for _, l := range lines {
		required := "-"
		if l.Required {
			required = "yes"
		}
		rows = append(rows, []string{output.Safe(l.Field), output.Safe(l.Type), required, l.Decorator, output.Safe(l.Text)})
	}
	return p.Rows(rows)
}
