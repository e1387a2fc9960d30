package input

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
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
		rows = append(rows, []string{output.Safe(l.Field), output.Safe(l.Type), required, cmp.Or(l.Decorator, "(types)"), output.Safe(l.Text)})
	}
	return p.Rows(rows)
}

// PrintOutputs writes the fields of what a service returns as a table under a
// title, nothing if its schema has none.
func PrintOutputs(p *output.Printer, title string, schema *structpb.Struct) error {
	lines := New([]*ruedov1.InputSchema{{Schema: schema}}).Lines()
	if len(lines) == 0 {
		return nil
	}
	rows := [][]string{{"OUTPUT", "TYPE", "ALWAYS", "MEANING"}}
	for _, l := range lines {
		always := "-"
		if l.Required {
			always = "yes"
		}
		rows = append(rows, []string{output.Safe(l.Field), output.Safe(l.Type), always, output.Safe(l.Text)})
	}
	if _, err := fmt.Fprintln(p.W, title); err != nil {
		return err
	}
	return p.Rows(rows)
}
