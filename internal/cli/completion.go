package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// completionCmd is `ruedo completion`.
type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish."`
}

func (*completionCmd) Examples() []string {
	return []string{
		"source <(ruedo completion bash)",
		"source <(ruedo completion zsh)",
		"ruedo completion fish > ~/.config/fish/completions/ruedo.fish",
	}
}

func (c *completionCmd) Run(a *app) error {
	switch c.Shell {
	case "bash":
		return a.say("%s", bashCompletion)
	case "zsh":
		return a.say("%s", zshCompletion)
	case "fish":
		return a.say("%s", fishCompletion)
	}
	return fault.New(fault.Usage, "there is no completion for %q: bash, zsh or fish", c.Shell).WithFix("ruedo completion bash")
}

// The scripts ask the program itself: everything it knows is in one place.
const (
	bashCompletion = `_ruedo() {
  local cur="${COMP_WORDS[COMP_CWORD]}" IFS=$'\n'
  COMPREPLY=($(compgen -W "$(ruedo __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "$cur"))
  [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "$cur"))
}
complete -F _ruedo ruedo`

	zshCompletion = `#compdef ruedo
_ruedo() {
  local -a found
  found=("${(@f)$(ruedo __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _ruedo ruedo`

	fishCompletion = `function __ruedo_complete
  set -l words (commandline -opc) (commandline -ct)
  ruedo __complete -- $words[2..-1] 2>/dev/null
end
complete -c ruedo -a '(__ruedo_complete)'`
)

// completeCmd prints what may stand in the place of the last word. It never
// fails: a shell has nowhere to show an error.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

func (c *completeCmd) Run(a *app, parser *kong.Kong) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}
	before, current := words[:len(words)-1], words[len(words)-1]
	ctx, cancel := context.WithTimeout(a.ctx, 1500*time.Millisecond)
	defer cancel()
	a.ctx, a.quiet = ctx, true
	for _, candidate := range a.complete(parser.Model.Node, before, current) {
		if strings.HasPrefix(candidate, current) {
			if err := a.say("%s", output.Safe(candidate)); err != nil {
				return err
			}
		}
	}
	return nil
}

// complete walks the words typed so far down the commands.
func (a *app) complete(root *kong.Node, before []string, current string) []string {
	node, given := root, []string{}
	var pending *kong.Flag
	flags := slices.Clone(root.Flags)
	for _, word := range before {
		switch {
		case pending != nil:
			a.override(pending, word)
			pending = nil
		case strings.HasPrefix(word, "-") && word != "-":
			name, value, has := strings.Cut(word, "=")
			if f := flagOf(flags, name); f != nil && has {
				a.override(f, value)
			} else if f != nil && !f.IsBool() {
				pending = f
			}
		default:
			if next := childOf(node, word); next != nil && len(given) == 0 {
				node = next
				flags = append(flags, node.Flags...)
				continue
			}
			given = append(given, word)
		}
	}
	switch {
	case pending != nil:
		return a.valuesOf(pending)
	case strings.HasPrefix(current, "-"):
		var names []string
		for _, f := range flags {
			if !f.Hidden {
				names = append(names, "--"+f.Name)
			}
		}
		return names
	case len(node.Children) > 0:
		var names []string
		for _, c := range node.Children {
			if !c.Hidden {
				names = append(names, c.Name)
			}
		}
		return names
	case len(given) > 0:
		return nil
	}
	return a.namesFor(node)
}

func flagOf(flags []*kong.Flag, word string) *kong.Flag {
	for _, f := range flags {
		if word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short) {
			return f
		}
	}
	return nil
}

// override lets --host and the like count for what is completed after them.
func (a *app) override(f *kong.Flag, value string) {
	name := f.Tag.Get(settingTag)
	if name == "" {
		return
	}
	r, err := settings.Resolve(settings.Input{Env: a.env, Flags: map[string]settings.Flag{name: {Name: "--" + f.Name, Value: value}}})
	if err == nil {
		a.settings = r
	}
}

// valuesOf lists what a flag may be.
func (a *app) valuesOf(f *kong.Flag) []string {
	if e, ok := settings.Lookup(f.Tag.Get(settingTag)); ok {
		return e.Enum
	}
	switch {
	case f.Name == "decorator":
		return a.names("decorator")
	case f.Name == "limit":
		var names []string
		for _, name := range limits.Names() {
			names = append(names, name+"=")
		}
		return names
	case f.Enum != "":
		return f.EnumSlice()
	}
	return nil
}

// namesFor lists what may stand as the argument of a command.
func (a *app) namesFor(n *kong.Node) []string {
	path := n.Name
	if n.Parent != nil && n.Parent.Name != "ruedo" {
		path = n.Parent.Name + " " + path
	}
	switch path {
	case "call", "run service", "rollback", "get services", "get revisions", "describe service", "delete service":
		return a.names("service")
	case "get decorators", "describe decorator", "delete decorator":
		return a.names("decorator")
	case "get runners", "describe runner":
		return a.names("runner")
	case "completion":
		return []string{"bash", "zsh", "fish"}
	}
	return nil
}

// names asks the cluster.
func (a *app) names(what string) (names []string) {
	core, err := a.connect()
	if err != nil {
		return nil
	}
	switch what {
	case "service":
		res, err := core.Services.ListServices(a.ctx, &ruedov1.ListServicesRequest{})
		if err == nil {
			for _, s := range res.GetItems() {
				names = append(names, s.GetName())
			}
		}
	case "decorator":
		res, err := core.Decorators.ListDecorators(a.ctx, &ruedov1.ListDecoratorsRequest{})
		if err == nil {
			for _, d := range res.GetItems() {
				names = append(names, d.GetName())
			}
		}
	case "runner":
		res, err := core.Cluster.ListRunners(a.ctx, &ruedov1.ListRunnersRequest{})
		if err == nil {
			for _, r := range res.GetItems() {
				names = append(names, r.GetId())
			}
		}
	}
	return names
}
