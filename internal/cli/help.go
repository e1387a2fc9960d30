package cli

import (
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/internal/cli/completion"
	"github.com/ruedo-dev/ruedo/internal/cli/help"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// helpCmd is `ruedo help`.
type helpCmd struct {
	Command  []string `arg:"" optional:"" help:"Command, or the word settings."`
	Markdown bool     `hidden:"" help:"Print the settings as docs/settings.md."`
}

func (*helpCmd) Examples() []string {
	return []string{"ruedo help publish", "ruedo help settings"}
}

func (c *helpCmd) Run(s *session.Session, parser *kong.Kong) error {
	if len(c.Command) == 1 && c.Command[0] == "settings" {
		if c.Markdown {
			_, err := io.WriteString(s.Out, settings.Markdown())
			return err
		}
		return help.Settings(s.Out)
	}
	root := parser.Model.Node
	node := root
	for _, name := range c.Command {
		next := completion.Child(node, name)
		if next == nil {
			var names []string
			for _, child := range node.Children {
				if !child.Hidden {
					names = append(names, child.Name)
				}
			}
			e := fault.New(fault.Usage, "there is no command %q", strings.Join(c.Command, " "))
			if hint := suggest.DidYouMean(name, names); hint != "" {
				e.Message += ", " + hint
			}
			return e.WithFix("ruedo --help")
		}
		node = next
	}
	return help.Command(s.Out, root, node)
}
