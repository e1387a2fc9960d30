package cli

import (
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/internal/cli/completion"
	"github.com/ruedo-dev/ruedo/internal/cli/help"
	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/cli/reference"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// helpCmd is `ruedo help`.
type helpCmd struct {
	Command []string `arg:"" optional:"" complete:"${topics}" help:"Command, or a topic: ${topicList}."`

	topics []reference.Topic
}

func (*helpCmd) Examples() []string {
	return []string{"ruedo help publish", "ruedo help service-file", "ruedo help exit-codes"}
}

func (c *helpCmd) Run(s *session.Session, parser *kong.Kong) error {
	if len(c.Command) == 1 {
		if topic, ok := reference.Lookup(c.topics, c.Command[0]); ok {
			text, err := topic.Text(s.Columns(page.Width))
			if err != nil {
				return err
			}
			_, err = io.WriteString(s.Out, text)
			return err
		}
	}
	root := parser.Model.Node
	node := root
	for _, name := range c.Command {
		next := completion.Child(node, name)
		if next == nil {
			names := reference.Names(c.topics)
			for _, child := range node.Children {
				if !child.Hidden {
					names = append(names, child.Name)
				}
			}
			e := fault.New(fault.Usage, "there is no command or topic %q", strings.Join(c.Command, " "))
			if hint := suggest.DidYouMean(name, names); hint != "" {
				e.Message += ", " + hint
			}
			return e.WithFix("ruedo --help")
		}
		node = next
	}
	return help.Command(s.Out, s.Columns(page.Width), root, node)
}
