// Package output prints the results of commands: as tables and text, or as JSON and
// YAML.
//
// A [Printer] writes lists and single messages in the format that -o names.
// JSON and YAML are the API's messages in the words of package object; a list is
// always {"items": [...]}.
// Tables are to be read only: they change between versions.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/object"
)

// Format is a value of -o.
type Format string

// The formats.
const (
	Table Format = "table"
	Wide  Format = "wide"
	JSON  Format = "json"
	JSONL Format = "jsonl" // JSON, one item a line
	YAML  Format = "yaml"
	Name  Format = "name"
)

// IsJSON reports whether a format is JSON, however its lines are.
func (f Format) IsJSON() bool { return f == JSON || f == JSONL }

// Printer writes to one stream.
type Printer struct {
	W io.Writer
	// Format; "" means Table.
	Format Format
	// NoHeaders omits the first line of tables.
	NoHeaders bool
}

// ForPeople reports whether tables and sentences are wanted.
func (p *Printer) ForPeople() bool {
	return p.Format == "" || p.Format == Table || p.Format == Wide
}

// Column is one column of a table.
type Column[T any] struct {
	Head string
	Cell func(T) string
	// Wide columns are shown with -o wide only.
	Wide bool
}

// List prints items. message is the API's answer that holds them, name returns
// what -o name prints of one, empty is printed instead of an empty table.
func List[T any](p *Printer, message proto.Message, items []T, name func(T) string, empty string, columns ...Column[T]) error {
	switch p.Format {
	case JSONL:
		return p.lines(object.Of(message))
	case JSON, YAML:
		return p.Message(message)
	case Name:
		for _, item := range items {
			if _, err := fmt.Fprintln(p.W, name(item)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(items) == 0 && !p.NoHeaders && empty != "" {
		_, err := fmt.Fprintln(p.W, empty)
		return err
	}
	var rows [][]string
	head := []string{}
	for _, c := range columns {
		if !c.Wide || p.Format == Wide {
			head = append(head, c.Head)
		}
	}
	if !p.NoHeaders {
		rows = append(rows, head)
	}
	for _, item := range items {
		var row []string
		for _, c := range columns {
			if c.Wide && p.Format != Wide {
				continue
			}
			cell := Safe(c.Cell(item))
			if cell == "" {
				cell = "-"
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return p.Rows(rows)
}

// Rows writes lines of cells, aligned.
func (p *Printer) Rows(rows [][]string) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range bytes.Lines(b.Bytes()) {
		if _, err := p.W.Write(append(bytes.TrimRight(line, " \n"), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// Message writes one message of the API as JSON or YAML, in the words of
// package object.
func (p *Printer) Message(m proto.Message) error { return p.Value(object.Of(m)) }

// Messages writes a list of messages as JSON or YAML: {"items": [...]}.
func (p *Printer) Messages(list []proto.Message) error {
	items := []any{}
	for _, m := range list {
		items = append(items, object.Of(m))
	}
	if p.Format == JSONL {
		return p.each(items)
	}
	return p.Value(map[string]any{"items": items})
}

// lines writes the items of a list, each on a line.
func (p *Printer) lines(list any) error {
	switch list := list.(type) {
	case object.Object:
		for _, f := range list {
			if items, ok := f.Value.([]any); ok && f.Name == "items" {
				return p.each(items)
			}
		}
	case map[string]any:
		if items, ok := list["items"].([]any); ok {
			return p.each(items)
		}
	}
	return p.Value(list)
}

func (p *Printer) each(items []any) error {
	for _, item := range items {
		if err := p.Value(item); err != nil {
			return err
		}
	}
	return nil
}

// Documents writes YAML documents.
func (p *Printer) Documents(docs []any) error {
	for i, doc := range docs {
		data, err := yaml.MarshalWithOptions(doc, yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
		if err != nil {
			return err
		}
		if i > 0 {
			data = append([]byte("---\n"), data...)
		}
		if _, err := p.W.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// Value writes any value that encoding/json encodes, as JSON or YAML.
func (p *Printer) Value(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if p.Format != JSONL {
		enc.SetIndent("", "  ")
	}
	if err := enc.Encode(v); err != nil {
		return err
	}
	data := safeJSON(b.Bytes())
	if p.Format == YAML {
		var err error
		if data, err = yaml.JSONToYAML(data); err != nil {
			return err
		}
		data = append(bytes.TrimSpace(data), '\n')
	}
	_, err := p.W.Write(data)
	return err
}
