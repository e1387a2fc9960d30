package verb

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// Command is one verb of one noun.
type Command interface {
	// doc returns the help of the command.
	doc() Doc
	// command returns a pointer to the grammar of the command: a struct with
	// kong's tags and a Run method.
	command(n *Noun) any
}

// Doc is the help of a command.
type Doc struct {
	// Help is a sentence that begins with a verb.
	Help string
	// Examples are command lines, the shortest first.
	Examples []string
	// Argument says what the name on the command line is. Default: "Name of the
	// service." and the like.
	Argument string
}

func (d Doc) doc() Doc { return d }

// Commands are the commands over nouns, for embedding in a grammar.
type Commands struct {
	Get      group        `cmd:"" group:"resources" help:"List ${lists}."`
	Describe group        `cmd:"" group:"resources" help:"Show one ${describes} in full."`
	Create   group        `cmd:"" group:"resources" help:"Create ${creates}."`
	Apply    applyCommand `cmd:"" group:"resources" help:"Create or update what a YAML file describes."`
	Diff     diffCommand  `cmd:"" group:"resources" help:"Show what applying a YAML file would change."`
	Delete   group        `cmd:"" group:"resources" help:"Delete ${deletes}."`
}

// Grammar returns the commands over nouns, and the variables in their help.
func Grammar(nouns []*Noun) (Commands, kong.Vars) {
	var lists []string
	for _, n := range nouns[:min(3, len(nouns))] {
		lists = append(lists, n.Plural)
	}
	c := Commands{
		Get:      commands(nouns, func(n *Noun) (Command, string, string) { return n.Get, n.Plural, n.Name }),
		Describe: commands(nouns, func(n *Noun) (Command, string, string) { return n.Describe, n.Name, n.Plural }),
		Create:   commands(nouns, func(n *Noun) (Command, string, string) { return n.Create, n.Name, n.Plural }),
		Apply:    applyCommand{files: files{nouns: nouns}},
		Diff:     diffCommand{files: files{nouns: nouns}},
		Delete:   commands(nouns, func(n *Noun) (Command, string, string) { return n.Delete, n.Name, n.Plural }),
	}
	c.Get.examples = []string{"ruedo get services", "ruedo get services greet words", "ruedo get runners -o wide", "ruedo get revisions greet -o json"}
	c.Describe.examples = []string{"ruedo describe service greet", "ruedo describe decorator greet-limits -o yaml"}
	c.Create.examples = []string{"ruedo create decorator small --limit memory=32MiB,timeout=1s"}
	c.Delete.examples = []string{"ruedo delete service greet --yes", "ruedo delete services greet words"}
	return c, kong.Vars{
		"lists":     strings.Join(lists, ", ") + " and more",
		"describes": oneOf(c.Describe.nouns),
		"creates":   oneOf(a(c.Create.nouns)),
		"deletes":   oneOf(a(c.Delete.nouns)),
	}
}

// group is a command whose subcommands are nouns, for example `ruedo get`.
type group struct {
	kong.Plugins
	nouns    []string
	examples []string
}

// Examples returns the examples in the help.
func (g *group) Examples() []string { return g.examples }

// commands returns a command with a subcommand for each noun that has a verb. of
// returns the verb of a noun, or nil, the name of the subcommand that help
// shows, and the noun's other name.
//
// Kong reads a grammar from struct tags, and nouns are values. So each
// subcommand becomes a struct with one field, whose tag is made of the value.
func commands(nouns []*Noun, of func(n *Noun) (verb Command, name, other string)) (g group) {
	for _, n := range nouns {
		verb, name, other := of(n)
		if verb == nil {
			continue
		}
		doc := verb.doc()
		tag := fmt.Sprintf(`cmd:"" name:%q aliases:%q help:%q set:%q set:%q`,
			name, strings.Join(append([]string{other}, n.Aliases...), ","), doc.Help,
			"noun="+n.Name, "argument="+cmp.Or(doc.Argument, "Name of the "+n.Name+"."))
		command := reflect.ValueOf(verb.command(n)).Elem()
		plugin := reflect.New(reflect.StructOf([]reflect.StructField{{
			Name: "Command", Type: command.Type(), Tag: reflect.StructTag(tag),
		}}))
		plugin.Elem().Field(0).Set(command)
		g.Plugins = append(g.Plugins, plugin.Interface())
		g.nouns = append(g.nouns, n.Name)
	}
	return g
}

// oneOf writes "a service, a decorator or a runner".
func oneOf(words []string) string {
	var b strings.Builder
	for i, word := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(word)
	}
	return b.String()
}

// a returns words with their articles.
func a(words []string) []string {
	list := make([]string, len(words))
	for i, word := range words {
		list[i] = "a " + word
		if strings.ContainsAny(word[:1], "aeio") { // but not "user"
			list[i] = "an " + word
		}
	}
	return list
}
