package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/internal/cli/help"
	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/cli/resource"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
)

func TestHelpShowsThatASwitchCanBeSwitchedOffAndItsDefault(t *testing.T) {
	commands, words := verb.Grammar(resource.All())
	var helped bool
	parser, err := newParser(&session.Session{}, &grammar{Commands: commands}, words, &helped)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	var visit func(*kong.Node)
	visit = func(node *kong.Node) {
		for _, f := range node.Flags {
			if f.Tag.Negatable == "" || f.Hidden {
				continue
			}
			found++
			var text bytes.Buffer
			if err := help.Command(&text, page.Width, parser.Model.Node, node); err != nil {
				t.Fatal(err)
			}
			_, entry, shown := strings.Cut(text.String(), "--[no-]"+f.Name+" ")
			entry, _, _ = strings.Cut(entry, "--") // the next flag
			if entry = strings.Join(strings.Fields(entry), " "); !shown || !strings.Contains(entry, "(default true)") && !strings.Contains(entry, "(default false)") {
				t.Errorf("%s: the help of --%s shows no default: %q", help.Path(node), f.Name, entry)
			}
		}
		for _, child := range node.Children {
			visit(child)
		}
	}
	visit(parser.Model.Node)
	if found < 2 {
		t.Errorf("found only %d switches", found)
	}
}
