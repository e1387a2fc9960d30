package resource

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// Verb is what one command does with one noun.
type Verb interface {
	// doc returns the help of the command.
	doc() Doc
	// command returns a pointer to the grammar of the command: a struct with
	// kong's tags and a Run method.
	command(r *Resource) any
}

// Doc is the help of a command.
type Doc struct {
	// Help is a sentence that begins with a verb.
	Help string
	// Examples are command lines, the shortest first.
	Examples []string
	// Argument says what the name in the command line is. Empty: "Name of the
	// noun.".
	Argument string
}

func (d Doc) doc() Doc { return d }

// Group is a command whose subcommands are nouns, for example `ruedo get`.
type Group struct {
	kong.Plugins
	examples []string
}

// Examples returns the examples of the help.
func (g *Group) Examples() []string { return g.examples }

// Verbs are the commands that are generic over nouns, in a grammar.
type Verbs struct {
	Get      Group        `cmd:"" group:"resources" help:"List ${lists}."`
	Describe Group        `cmd:"" group:"resources" help:"Show one ${describes} in full."`
	Create   Group        `cmd:"" group:"resources" help:"Create ${creates}."`
	Apply    applyCommand `cmd:"" group:"resources" help:"Create or update what a YAML file describes."`
	Delete   Group        `cmd:"" group:"resources" help:"Delete ${deletes}."`
}

// Grammar returns the commands over nouns, and the variables in their help.
func Grammar(nouns []*Resource) (Verbs, kong.Vars) {
	var lists []string
	for _, r := range nouns[:min(3, len(nouns))] {
		lists = append(lists, r.Plural)
	}
	alternatives := func(r *Resource) []string {
		if r.Name == r.Plural {
			return r.Aliases
		}
		return append([]string{r.Name}, r.Aliases...)
	}
	return Verbs{
			Get: group(nouns, get, plural, alternatives,
				"ruedo get services", "ruedo get runners -o wide", "ruedo get revisions greet -o json"),
			Describe: group(nouns, describe, singular, func(r *Resource) []string { return []string{r.Plural} },
				"ruedo describe service greet", "ruedo describe decorator greet-input -o yaml"),
			Create: group(nouns, create, singular, nil,
				"ruedo create decorator small --limit memory=32MiB,timeout=1s"),
			Apply: applyCommand{nouns: nouns},
			Delete: group(nouns, deletion, singular, nil,
				"ruedo delete service greet --yes"),
		}, kong.Vars{
			"lists":     strings.Join(lists, ", ") + " and more",
			"describes": oneOf(nouns, describe, ""),
			"creates":   oneOf(nouns, create, "a "),
			"deletes":   oneOf(nouns, deletion, "a "),
		}
}

// group makes a command with a subcommand for each noun that has the verb.
//
// Kong reads a grammar from struct tags, and the nouns are values. So each
// subcommand becomes a struct with one field, whose tag says what the value does.
func group(nouns []*Resource, verb func(*Resource) Verb, name func(*Resource) string, aliases func(*Resource) []string, examples ...string) Group {
	g := Group{examples: examples}
	for _, r := range nouns {
		v := verb(r)
		if v == nil {
			continue
		}
		doc := v.doc()
		if doc.Argument == "" {
			doc.Argument = "Name of the " + r.Name + "."
		}
		tag := fmt.Sprintf(`cmd:"" name:%q help:%q set:%q set:%q`, name(r), doc.Help, "noun="+r.Name, "argument="+doc.Argument)
		if aliases != nil {
			tag += fmt.Sprintf(` aliases:%q`, strings.Join(aliases(r), ","))
		}
		command := reflect.ValueOf(v.command(r)).Elem()
		plugin := reflect.New(reflect.StructOf([]reflect.StructField{{
			Name: "Command", Type: command.Type(), Tag: reflect.StructTag(tag),
		}}))
		plugin.Elem().Field(0).Set(command)
		g.Plugins = append(g.Plugins, plugin.Interface())
	}
	return g
}
