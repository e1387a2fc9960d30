// Package publishing has the commands that take a service from its directory to
// a cluster, and back to an older revision: `ruedo check`, `ruedo publish` and
// `ruedo rollback`.
//
// Check and publish open a source with the same flags for its guest. [Check] tries
// it on this machine and makes the calls of a file; [Publish] makes it live, once
// or each time a file changes. [Rollback] makes an older revision live again.
package publishing

import (
	"regexp"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/derive"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/source"
	"github.com/ruedo-dev/ruedo/internal/cli/watch"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/route"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Publish is `ruedo publish`.
type Publish struct {
	Source string `arg:"" optional:"" default:"." help:"Directory of the service, or a .wasm file. Default: the current directory."`

	Name        string   `placeholder:"NAME" help:"Publish under this name."`
	Description string   `placeholder:"TEXT" help:"Description of the service."`
	Tag         []string `placeholder:"TAG" sep:"none" help:"Tag of the service. May be repeated."`
	Decorator   []string `placeholder:"NAME" sep:"none" complete:"decorator" help:"Decorator of the service. May be repeated."`
	Placement   string   `placeholder:"SELECTOR" help:"Runners that may execute the service, as a label selector such as zone=eu-1,!gpu."`
	Route       []string `placeholder:"ROUTE" sep:"none" help:"Where requests reach a service of kind http, such as 'GET,POST shop.example.com/api/': methods and host can be left out. May be repeated."`
	guestFlags
	Force  bool `help:"Change decorators even if other services that carry them could not run, and go live even if no runner meets the placement."`
	Check  bool `default:"true" negatable:"" help:"Try the module on this machine first, in the sandbox that runners have."`
	NoLive bool `help:"Prepare and store the revision, but leave the live one live; see ruedo promote."`
	Watch  bool `short:"w" help:"Publish again each time a file of the directory changes, until Ctrl-C."`
}

// guestFlags are what a guest is given; check tries it, publish keeps it.
type guestFlags struct {
	Env       []string `placeholder:"KEY=VALUE" sep:"none" help:"Environment of the guest. May be repeated."`
	Arg       []string `placeholder:"ARG" sep:"none" help:"Argument of a command. May be repeated."`
	Example   string   `placeholder:"INPUT" help:"An input that the service accepts, or @FILE. For kind http a request, such as '{path: /}'."`
	Isolation string   `placeholder:"WORD" complete:"pristine,shared,fresh" help:"State shared between calls: pristine (none, default), shared, fresh."`
}

// Help is the part of the help that comes after the first line.
func (*Publish) Help() string {
	return `Uploads the module and has the runners prepare it with the decorators that are
defined next to the service. As soon as runners are ready, the new
revision goes live in one step, with the decorators; until then calls go to the
old one. If no runner can prepare it, or if another service that carries one of
the decorators could not run any more, nothing changes. Publishing the same
content again changes nothing either.

Only the runners whose labels meet the placement prepare and execute the service. If
no runner does, a warning says so, and calls fail with NO_RUNNER until one attaches;
but a live revision that runners can execute is replaced only with --force.

The types of the handler that sdk.Handle registers make a JSON Schema, which calls
have to pass next to those of the decorators. What contradicts is printed as a
warning; unknown_fields and schema in ruedo.yaml change what the types say.

--watch publishes each time a file changes, without trying the module here first:
the runners do that. What fails is printed, and the next change is waited for;
the live revision stays live.`
}

func (*Publish) Examples() []string {
	return []string{
		"ruedo publish                                 the service in this directory",
		"ruedo publish examples/greet",
		"ruedo publish --watch                         again on each save",
		"ruedo publish --no-live                       then: ruedo call NAME@REVISION, ruedo promote NAME@REVISION",
		"ruedo publish --placement 'zone=eu-1,!gpu'    only on runners with these labels",
		"ruedo publish --route shop.example.com/       a service of kind http, on a host of its own",
		"ruedo publish app.wasm --name app --decorator small --env MODE=test",
	}
}

func (c *Publish) Run(s *session.Session) error {
	if !c.Watch {
		return c.publish(s, nil, nil)
	}
	core, err := s.ConnectToCreate()
	if err != nil {
		return err
	}
	var last derive.Listing
	return watch.Publishing(s.Ctx, s, c.Source, func() error { return c.publish(s, core, &last) })
}

// publish publishes the service once. A nil core means the one that the settings
// name. The listing is of the last time, nil if there is no other.
func (c *Publish) publish(s *session.Session, core *client.Client, last *derive.Listing) error {
	over, err := c.overlay()
	if err != nil {
		return err
	}
	over.Listing = last
	over.Description, over.Tags, over.Decorators, over.Placement = c.Description, c.Tag, c.Decorator, c.Placement
	if err := project.CheckPlacement(c.Placement); err != nil {
		return session.About(err, "--placement")
	}
	for _, text := range c.Route {
		r, err := route.Parse(text)
		if err != nil {
			return session.About(err, "--route")
		}
		over.Routes = append(over.Routes, r)
	}
	src, err := source.Open(s, c.Source, c.Name, over)
	if err != nil {
		return err
	}
	// A mistake in the module is found before anything is opened or sent.
	if err := src.Examine(s, c.Check && !c.Watch); err != nil {
		return session.About(err, "service %s", src.Name())
	}
	if core == nil {
		if core, err = s.ConnectToCreate(); err != nil {
			return err
		}
	}
	if err := src.Compare(s, core); err != nil {
		return err
	}
	src.Request.NoLive = c.NoLive
	res, err := src.Publish(s, core, c.Force)
	if err != nil {
		return session.About(err, "service %s", src.Name())
	}
	return source.PrintPublished(s, len(src.Wasm), res)
}

// variable is what the name of an environment variable looks like.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// overlay returns what the flags say over what the source says.
func (f *guestFlags) overlay() (over source.Overlay, err error) {
	over = source.Overlay{Args: f.Arg, Dir: "."}
	if over.Isolation, err = project.ParseIsolation(f.Isolation); err != nil {
		return over, err
	}
	for _, kv := range f.Env {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return over, fault.New(fault.Usage, "--env %s has no value", kv).WithFix("--env KEY=VALUE")
		}
		if !variable.MatchString(k) {
			return over, fault.New(fault.Usage, "--env %s: %q is not the name of a variable", kv, k).WithFix("use letters, digits and underscores, at most 128, and no digit at the beginning")
		}
		if over.Env == nil {
			over.Env = make(map[string]string)
		}
		over.Env[k] = v
	}
	if f.Example != "" {
		over.Example = f.Example
	}
	return over, nil
}
