// Package help prints the help of commands. The texts of topics come from package
// reference.
//
// Kong's own printer is not used: it cannot print the examples first, and it
// repeats the flags of every command in the help of each.
package help

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
)

// Exampler is a command that shows how it is used. The first words of an example
// are the command line.
type Exampler interface{ Examples() []string }

// Topical is a program with help about more than commands.
type Topical interface {
	// Topics returns the names of topics, each with one sentence.
	Topics() [][2]string
}

// Command prints the help of a command, in so many columns; of the whole program if
// node is root.
func Command(w io.Writer, columns int, root, node *kong.Node) error {
	b := printer{columns: columns}
	if node == root {
		b.program(root)
	} else {
		b.command(node)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printer is the text so far.
type printer struct {
	strings.Builder
	columns int
}

func (b *printer) rows(rows [][2]string) { page.Rows(&b.Builder, rows, b.columns) }

func (b *printer) program(root *kong.Node) {
	fmt.Fprintf(b, "Usage: ruedo COMMAND [FLAGS]\n\n%s\n", root.Help)
	b.examples(root)
	for _, g := range groups(root) {
		fmt.Fprintf(b, "\n%s:\n", g.Title)
		var rows [][2]string
		for _, c := range root.Children {
			if c.Group != nil && c.Group.Key == g.Key && !c.Hidden {
				rows = append(rows, [2]string{c.Name, c.Help})
			}
		}
		b.rows(rows)
	}
	b.WriteString("\nFlags of every command:\n")
	b.flags(root.Flags)
	b.WriteString("\nruedo help COMMAND says more.\n")
	if x, ok := root.Target.Addr().Interface().(Topical); ok {
		b.WriteString("\nTopics, by ruedo help TOPIC:\n")
		b.rows(x.Topics())
	}
}

// groups returns the groups of commands in their order.
func groups(root *kong.Node) (list []*kong.Group) {
	for _, c := range root.Children {
		if c.Group == nil || slices.ContainsFunc(list, func(g *kong.Group) bool { return g.Key == c.Group.Key }) {
			continue
		}
		list = append(list, c.Group)
	}
	return list
}

func (b *printer) command(node *kong.Node) {
	fmt.Fprintf(b, "Usage: %s\n\n%s\n", synopsis(node), node.Help)
	if node.Detail != "" {
		fmt.Fprintf(b, "\n%s\n", page.Fit(node.Detail, b.columns))
	}
	b.examples(node)
	var rows [][2]string
	for _, c := range node.Children {
		rows = append(rows, [2]string{synopsisTail(c), c.Help})
	}
	b.section("Commands", rows)
	rows = nil
	for _, p := range node.Positional {
		rows = append(rows, [2]string{strings.ToUpper(p.Name), p.Help})
	}
	b.section("Arguments", rows)
	if len(node.Flags) > 0 {
		b.WriteString("\nFlags:\n")
		b.flags(node.Flags)
	}
	b.WriteString("\nFlags of every command: ruedo --help\n")
}

// Path returns how a command is typed: "ruedo get services".
func Path(n *kong.Node) string {
	path := n.Name
	for p := n.Parent; p != nil; p = p.Parent {
		path = p.Name + " " + path
	}
	return path
}

// ServiceNoun returns the word for services after a verb, as in `ruedo get
// services`, or "" if the verb does not work on services.
func ServiceNoun(verb *kong.Node) string {
	for _, noun := range verb.Children {
		if noun.Name == "service" || noun.Name == "services" {
			return noun.Name
		}
	}
	return ""
}

// synopsis writes "ruedo get services [NAME] [FLAGS]".
func synopsis(n *kong.Node) string {
	return strings.TrimSuffix(Path(n), n.Name) + synopsisTail(n)
}

// synopsisTail writes "services [NAME] [FLAGS]".
func synopsisTail(n *kong.Node) string {
	text := n.Name
	if len(n.Children) > 0 {
		text += " COMMAND"
	}
	for _, p := range n.Positional {
		name := strings.ToUpper(p.Name)
		if p.IsCumulative() {
			name += "..."
		}
		if !p.Required {
			name = "[" + name + "]"
		}
		text += " " + name
	}
	if len(n.Flags) > 0 {
		text += " [FLAGS]"
	}
	return text
}

func (b *printer) examples(node *kong.Node) {
	x, ok := node.Target.Addr().Interface().(Exampler)
	if !ok {
		return
	}
	b.WriteString("\nExamples:\n")
	for _, e := range x.Examples() {
		fmt.Fprintf(b, "  %s\n", e)
	}
}

func (b *printer) flags(flags []*kong.Flag) {
	var rows [][2]string
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		name := "    --"
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", --"
		}
		if f.Tag.Negatable != "" {
			name += "[no-]"
		}
		name += f.Name
		if !f.IsBool() {
			name += " " + strings.ToUpper(strings.Trim(f.FormatPlaceHolder(), `"`))
		}
		rows = append(rows, [2]string{name, flagText(f)})
	}
	b.rows(rows)
}

// flagText returns the help of a flag with the values that it can have and its
// default. Those of a setting come from the setting.
func flagText(f *kong.Flag) string {
	e, _ := settings.Lookup(f.Tag.Get(settings.Tag))
	text, values, value := cmp.Or(f.Help, e.Help), e.Enum, e.Default
	if f.Enum != "" {
		values = f.EnumSlice()
	}
	if f.HasDefault {
		value = f.Default
	}
	named := func(v string) bool { return strings.Contains(text, v) }
	if len(values) > 0 && !slices.ContainsFunc(values, named) {
		text += " One of " + strings.Join(values, ", ") + "."
	}
	// A switch is off by default, unless it can be switched off.
	if value != "" && (!f.IsBool() || f.Tag.Negatable != "") {
		text += " (default " + value + ")"
	}
	return text
}

func (b *printer) section(title string, rows [][2]string) {
	if len(rows) > 0 {
		fmt.Fprintf(b, "\n%s:\n", title)
		b.rows(rows)
	}
}
