// Package completion finds what can stand in the place of the word that a user
// is typing.
//
// [Script] returns what a shell loads. The script asks the program itself, which
// answers by [Completer.Complete]: commands and flags come from kong's model of
// the grammar, values from the tag "complete" of a flag or argument. The tag is
// either a noun, whose names the cluster is asked for, or a list of words. A
// value that begins with @ is the name of a file:
//
//	Name  string `arg:"" complete:"service"`
//	Shell string `arg:"" complete:"bash,zsh,fish"`
//
// The tag can name variables of the grammar: in a command that is generic over
// nouns it is "${noun}".
package completion

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/internal/cli/settings"
)

// Tag is the key of the struct tag that says what a value can be.
const Tag = "complete"

// Completer completes the words of one command line. Use it once.
type Completer struct {
	// Root is the model of the grammar.
	Root *kong.Node
	// Names returns the names of the resources of a noun, or nothing if they
	// cannot be found out. args are the arguments given so far, and current is
	// the word that is completed.
	Names func(noun string, args []string, current string) []string
	// Set is called with the settings given so far, by name, before Names: --host
	// decides which core is asked.
	Set func(flags map[string]settings.Flag)

	given map[string]settings.Flag
}

// Complete returns the candidates for current, which follows the words before.
// They need not begin with current.
func (c *Completer) Complete(before []string, current string) []string {
	node := c.Root
	var args []string
	var pending *kong.Flag
	flags := slices.Clone(c.Root.Flags)
	for _, word := range before {
		switch {
		case pending != nil:
			c.set(pending, word)
			pending = nil
		case strings.HasPrefix(word, "-") && word != "-":
			name, value, has := strings.Cut(word, "=")
			if f := flagOf(flags, name); f != nil && has {
				c.set(f, value)
			} else if f != nil && !f.IsBool() {
				pending = f
			}
		default:
			if next := Child(node, word); next != nil && len(args) == 0 {
				node = next
				flags = append(flags, node.Flags...)
				continue
			}
			args = append(args, word)
		}
	}
	switch {
	case pending != nil:
		return c.valuesOf(pending, node, args, current)
	case strings.HasPrefix(current, "-"):
		var names []string
		for _, f := range flags {
			if !f.Hidden {
				names = append(names, "--"+f.Name)
				if f.Tag.Negatable != "" {
					names = append(names, "--no-"+f.Name)
				}
			}
		}
		return names
	case len(node.Children) > 0:
		var names []string
		for _, child := range node.Children {
			if !child.Hidden {
				names = append(names, child.Name)
			}
		}
		return names
	case len(node.Positional) == 0:
		return nil
	}
	last := len(node.Positional) - 1
	if len(args) > last && !node.Positional[last].IsCumulative() {
		return nil
	}
	return c.tagged(node.Positional[min(len(args), last)].Tag, node, args, current)
}

func flagOf(flags []*kong.Flag, word string) *kong.Flag {
	for _, f := range flags {
		if word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short) {
			return f
		}
	}
	return nil
}

// set notes the value of a flag that is a setting.
func (c *Completer) set(f *kong.Flag, value string) {
	name := f.Tag.Get(settings.Tag)
	if name == "" {
		return
	}
	if c.given == nil {
		c.given = make(map[string]settings.Flag)
	}
	c.given[name] = settings.Flag{Name: "--" + f.Name, Value: value}
	c.Set(c.given)
}

// valuesOf returns what a flag of a command can be.
func (c *Completer) valuesOf(f *kong.Flag, node *kong.Node, args []string, current string) []string {
	if e, ok := settings.Lookup(f.Tag.Get(settings.Tag)); ok {
		return e.Enum
	}
	if f.Enum != "" {
		return f.EnumSlice()
	}
	if before, name, ok := strings.Cut(current, "@"); ok && (before == "" || strings.HasSuffix(before, "=")) {
		return files(before+"@", name)
	}
	return c.tagged(f.Tag, node, args, current)
}

// tagged returns what the tag of a flag or argument of a command names.
func (c *Completer) tagged(tag *kong.Tag, node *kong.Node, args []string, current string) []string {
	vars := node.Vars()
	what := os.Expand(tag.Get(Tag), func(name string) string { return vars[name] })
	switch {
	case what == "":
		return nil
	case strings.Contains(what, ","):
		return strings.Split(what, ",")
	}
	return c.Names(what, args, current)
}

// files returns prefix and the names of the files that begin with name.
// Directories end in a slash.
func files(prefix, name string) []string {
	dir, base := filepath.Split(name)
	entries, _ := os.ReadDir(cmp.Or(dir, ".")) // nothing is completed if it cannot be read
	var list []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), base) || base == "" && strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := prefix + dir + e.Name()
		if e.IsDir() {
			path += "/"
		}
		list = append(list, path)
	}
	return list
}

// Child returns the subcommand of a name or alias, or nil.
func Child(n *kong.Node, name string) *kong.Node {
	for _, c := range n.Children {
		if c.Name == name || slices.Contains(c.Aliases, name) {
			return c
		}
	}
	return nil
}
