package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// helpCmd is `ruedo help`.
type helpCmd struct {
	Command  []string `arg:"" optional:"" help:"The command, or settings."`
	Markdown bool     `hidden:"" help:"The settings as docs/settings.md."`
}

func (*helpCmd) Examples() []string {
	return []string{"ruedo help publish", "ruedo help settings"}
}

func (c *helpCmd) Run(a *app, parser *kong.Kong) error {
	if len(c.Command) == 1 && c.Command[0] == "settings" {
		if c.Markdown {
			_, err := io.WriteString(a.out, settings.Markdown())
			return err
		}
		return a.helpSettings()
	}
	return a.help(parser, c.Command)
}

// help prints the help of a command.
func (a *app) help(parser *kong.Kong, path []string) error {
	node := parser.Model.Node
	for _, name := range path {
		next := childOf(node, name)
		if next == nil {
			var names []string
			for _, c := range node.Children {
				if !c.Hidden {
					names = append(names, c.Name)
				}
			}
			e := fault.New(fault.Usage, "there is no command %q", strings.Join(path, " "))
			if hint := fault.DidYouMean(name, names); hint != "" {
				e.Message += ", " + hint
			}
			return e.WithFix("ruedo --help")
		}
		node = next
	}
	return a.printHelp(parser.Model.Node, node)
}

func childOf(n *kong.Node, name string) *kong.Node {
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
		for _, alias := range c.Aliases {
			if alias == name {
				return c
			}
		}
	}
	return nil
}

// exampler is a command that shows how it is used.
type exampler interface{ Examples() []string }

// printHelp prints the help of one command; examples stand first.
func (a *app) printHelp(root, node *kong.Node) error {
	var b strings.Builder
	if node == nil || node == root {
		node = root
		fmt.Fprintf(&b, "Usage: ruedo COMMAND [FLAGS]\n\n%s\n\nExamples:\n", root.Help)
		writeExamples(&b, []string{
			"ruedo dev                               a cluster on this machine",
			"ruedo new greet && cd greet",
			"ruedo publish",
			`ruedo call greet -d '{"name":"Ada"}'`,
		})
		for _, group := range groupTitles() {
			fmt.Fprintf(&b, "\n%s:\n", group[1])
			var rows [][2]string
			for _, c := range root.Children {
				if c.Group != nil && c.Group.Key == group[0] && !c.Hidden {
					rows = append(rows, [2]string{c.Name, c.Help})
				}
			}
			writeRows(&b, rows)
		}
		b.WriteString("\nFlags of every command:\n")
		writeFlags(&b, root.Flags)
		b.WriteString("\nruedo help COMMAND says more; ruedo help settings lists environment and config file.\n")
		_, err := a.out.Write([]byte(b.String()))
		return err
	}
	fmt.Fprintf(&b, "Usage: %s\n\n%s\n", synopsis(node), node.Help)
	if x, ok := node.Target.Addr().Interface().(exampler); ok {
		b.WriteString("\nExamples:\n")
		writeExamples(&b, x.Examples())
	}
	if len(node.Children) > 0 {
		b.WriteString("\nCommands:\n")
		var rows [][2]string
		for _, c := range node.Children {
			rows = append(rows, [2]string{synopsisTail(c), c.Help})
		}
		writeRows(&b, rows)
	}
	if len(node.Positional) > 0 {
		b.WriteString("\nArguments:\n")
		var rows [][2]string
		for _, p := range node.Positional {
			rows = append(rows, [2]string{strings.ToUpper(p.Name), p.Help})
		}
		writeRows(&b, rows)
	}
	if len(node.Flags) > 0 {
		b.WriteString("\nFlags:\n")
		writeFlags(&b, node.Flags)
	}
	b.WriteString("\nFlags of every command: ruedo --help\n")
	_, err := a.out.Write([]byte(b.String()))
	return err
}

func synopsis(n *kong.Node) string {
	path := n.Name
	for p := n.Parent; p != nil; p = p.Parent {
		path = p.Name + " " + path
	}
	return strings.TrimSuffix(path, n.Name) + synopsisTail(n)
}

func synopsisTail(n *kong.Node) string {
	text := n.Name
	if len(n.Children) > 0 {
		text += " COMMAND"
	}
	for _, p := range n.Positional {
		name := strings.ToUpper(p.Name)
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

func writeExamples(b *strings.Builder, examples []string) {
	for _, e := range examples {
		fmt.Fprintf(b, "  %s\n", e)
	}
}

func writeFlags(b *strings.Builder, flags []*kong.Flag) {
	var rows [][2]string
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		name := "    --" + f.Name
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", --" + f.Name
		}
		if !f.IsBool() {
			name += " " + strings.ToUpper(strings.Trim(f.FormatPlaceHolder(), `"`))
		}
		rows = append(rows, [2]string{name, f.Help})
	}
	writeRows(b, rows)
}

// writeRows writes two columns; long texts of the second wrap under it.
func writeRows(b *strings.Builder, rows [][2]string) {
	const total = 100
	width := 0
	for _, r := range rows {
		width = max(width, min(len(r[0]), 36))
	}
	for _, r := range rows {
		fmt.Fprintf(b, "  %-*s", width, r[0])
		if len(r[0]) > width {
			fmt.Fprintf(b, "\n  %-*s", width, "")
		}
		column := 0
		for _, word := range strings.Fields(r[1]) {
			if column > 0 && width+5+column+1+len(word) > total {
				fmt.Fprintf(b, "\n  %-*s", width, "")
				column = 0
			}
			if column == 0 {
				b.WriteString("   " + word)
			} else {
				b.WriteString(" " + word)
			}
			column += len(word) + 1
		}
		b.WriteString("\n")
	}
}

// helpSettings prints every setting.
func (a *app) helpSettings() error {
	var b strings.Builder
	b.WriteString(`A setting comes from the first of: flag, environment, config file, default.

The config file is the first of --config FILE, RUEDO_CONFIG,
$XDG_CONFIG_HOME/ruedo/config.yaml (~/.config/ruedo/config.yaml) and
/etc/ruedo/config.yaml. It is YAML:

  server:
    port: 7833

ruedo version --show-config shows every value and where it came from.
`)
	section := ""
	var rows [][2]string
	flush := func() {
		if section != "" {
			fmt.Fprintf(&b, "\n%s:\n", section)
			writeRows(&b, rows)
		}
		rows = nil
	}
	for _, e := range settings.Table() {
		if e.Section != section {
			flush()
			section = e.Section
		}
		text := e.Help
		if e.Default != "" {
			text += " Default: " + e.Default + "."
		}
		rows = append(rows, [2]string{e.Env, text})
	}
	flush()
	_, err := a.out.Write([]byte(b.String()))
	return err
}
