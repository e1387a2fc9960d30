package cli

import (
	"errors"
	"reflect"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/internal/cli/calling"
	"github.com/ruedo-dev/ruedo/internal/cli/completion"
	"github.com/ruedo-dev/ruedo/internal/cli/help"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// usage returns an error of the parser as one with exit code 2.
func usage(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	e := fault.Wrap(err, fault.Usage, "%s", plain(err.Error()))
	e.Fix = "ruedo --help"
	pe, ok := errors.AsType[*kong.ParseError](err)
	if !ok || pe.Context == nil {
		return e
	}
	switch n := pe.Context.Selected(); {
	case n != nil && n.Name != "bare":
		e.Fix = help.Path(n) + " --help"
		switch arg, ok := strings.CutPrefix(e.Message, "unexpected argument "); {
		case !ok:
		case n.Target.Type() == reflect.TypeFor[calling.Call]():
			name := pe.Context.Value(pe.Context.Path[len(pe.Context.Path)-1])
			e.Fix = "give the input with -d: " + help.Path(n) + " " + name.String() + " -d " + output.Quote(arg)
		case !n.Leaf():
			e.Message = "unknown command " + strings.TrimPrefix(help.Path(n), "ruedo ") + " " + arg
			root := pe.Context.Model.Node
			if noun := help.ServiceNoun(n); completion.Child(completion.Child(root, "get"), arg) != nil {
				e.Fix = elsewhere(root, arg)
			} else if noun != "" && project.CheckName("service", arg) == nil {
				e.Fix = help.Path(n) + " " + noun + " " + arg
			}
		}
	case n == nil && pe.Context.Command() != "":
		e.Fix = "ruedo " + pe.Context.Command() + " --help"
	default:
		if arg, ok := strings.CutPrefix(e.Message, "unexpected argument "); ok {
			e.Message = "unknown command " + arg
			arg, _, _ = strings.Cut(arg, ",")
			if fix := elsewhere(pe.Context.Model.Node, arg); fix != "" {
				e.Message, e.Fix = "unknown command "+arg, fix
			}
		}
	}
	return e
}

// phrases replaces what the parser says of arguments by words of this program.
var phrases = []struct {
	says *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`^expected "(<.*)"$`), "missing argument: $1"},
	{regexp.MustCompile(`^(--\S+): (?:missing value, expecting .*|expected .* value but got "EOL" .*)$`), "$1 has no value"},
	{regexp.MustCompile(`^(--\S+): expected .* value but got "(.*)" \(.*\); perhaps try (.*)\?$`), `$1 has no value: "$2" looks like a flag; if it is the value, write $3`},
	{regexp.MustCompile(`^(--\S+): expected duration but got ("[^"]*")(?:: .*)?$`), "$1 is $2: a duration such as 30s, 10m or 2h is expected"},
	{regexp.MustCompile(`^(--\S+): expected a valid .* bit u?int but got (".*")$`), "$1 is $2: a number is expected"},
	{regexp.MustCompile(`^(unknown flag -\w), did you mean .*$`), "$1"}, // all flags of one letter are alike
}

var placeholder = regexp.MustCompile(`<([^>]*)>( \.\.\.)?`)

// plain returns an error of the parser in words of this program.
func plain(message string) string {
	for _, p := range phrases {
		if !p.says.MatchString(message) {
			continue
		}
		message = p.says.ReplaceAllString(message, p.text)
		if args, ok := strings.CutPrefix(message, "missing argument: "); ok {
			names := placeholder.ReplaceAllStringFunc(args, func(s string) string {
				s = strings.ToUpper(s)
				return strings.NewReplacer("<", "", ">", "", " ...", "...").Replace(s)
			})
			message = "missing argument: " + names
			if strings.Contains(names, " ") {
				message = "missing arguments: " + names
			}
		}
		break
	}
	return message
}

// otherTools are commands of other tools, and what they are called here.
var otherTools = map[string]string{
	"deploy": "ruedo publish", "push": "ruedo publish", "invoke": "ruedo call NAME", "init": "ruedo new NAME",
	"list": "ruedo get services", "ls": "ruedo get services", "status": "ruedo get status", "ps": "ruedo inspect cluster activity", "top": "ruedo inspect cluster activity",
	"tail": "ruedo logs NAME --follow", "edit": "ruedo apply -f FILE", "config": "ruedo version --show-config", "auth": "ruedo login", "start": "ruedo server, or ruedo runner",
}

// elsewhere returns how the command that a word stands for is typed, or "": it can be a
// noun without its verb, a command without the one that it belongs to, or a word of
// another tool.
func elsewhere(root *kong.Node, word string) string {
	if fix, ok := otherTools[word]; ok {
		return fix
	}
	for _, parent := range []string{"get", "db", "inspect cluster", "leader", "job", "member", "store"} {
		n := root
		for _, name := range strings.Fields(parent) {
			n = completion.Child(n, name)
		}
		if child := completion.Child(n, word); child != nil {
			return help.Path(child)
		}
	}
	return ""
}
