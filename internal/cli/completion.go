package cli

import (
	"context"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/internal/cli/completion"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/resource"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// completionCmd is `ruedo completion`.
type completionCmd struct {
	Shell string `arg:"" complete:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (*completionCmd) Examples() []string {
	return []string{
		"source <(ruedo completion bash)",
		"source <(ruedo completion zsh)",
		"ruedo completion fish > ~/.config/fish/completions/ruedo.fish",
	}
}

func (c *completionCmd) Run(s *session.Session) error {
	script := completion.Script(c.Shell)
	if script == "" {
		return fault.New(fault.Usage, "there is no completion for %q: bash, zsh or fish", c.Shell).WithFix("ruedo completion bash")
	}
	return s.Printf("%s", script)
}

// completeCmd prints what can stand in the place of the last word. It never
// fails: a shell has nowhere to show an error.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
	nouns []*verb.Noun
}

func (c *completeCmd) Run(s *session.Session, parser *kong.Kong) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}
	before, current := words[:len(words)-1], words[len(words)-1]
	ctx, cancel := context.WithTimeout(s.Ctx, 1500*time.Millisecond)
	defer cancel()
	s.Ctx, s.Quiet = ctx, true
	completer := &completion.Completer{
		Root: parser.Model.Node,
		Names: func(noun string, args []string, current string) []string {
			// A shell has nowhere to show why there are none.
			var names []string
			switch noun {
			case "input":
				names, _ = resource.Inputs(s, args, current)
			case "pinned":
				names, _ = resource.Pinned(s, current)
			case "callee":
				if strings.Contains(current, "@") {
					names, _ = resource.Pinned(s, current)
				} else {
					names, _ = verb.Names(s, c.nouns, "service")
				}
			case "revision":
				names, _ = resource.Revisions(s, args)
			default:
				names, _ = verb.Names(s, c.nouns, noun)
			}
			return names
		},
		Set: func(flags map[string]settings.Flag) {
			if r, err := settings.Resolve(settings.Input{Env: s.Env, Flags: flags}); err == nil {
				s.Settings = r
			}
		},
	}
	for _, candidate := range completer.Complete(before, current) {
		if strings.HasPrefix(candidate, current) {
			if err := s.Printf("%s", output.Safe(candidate)); err != nil {
				return err
			}
		}
	}
	return nil
}
