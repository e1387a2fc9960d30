package cli

import (
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/source"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// publishCmd is `ruedo publish`.
type publishCmd struct {
	Source string `arg:"" optional:"" default:"." help:"Directory of the service, or a .wasm file. Default: the current directory."`

	Name        string   `placeholder:"NAME" help:"Publish under this name."`
	Description string   `placeholder:"TEXT" help:"Description of the service."`
	Tag         []string `placeholder:"TAG" sep:"none" help:"Tag of the service. May be repeated."`
	Decorator   []string `placeholder:"NAME" sep:"none" complete:"decorator" help:"Decorator of the service. May be repeated."`
	guestFlags
	Force bool `help:"Change decorators even if other services that carry them could not run."`
	Check bool `default:"true" negatable:"" help:"Try the module on this machine first, in the sandbox that runners have."`
}

// guestFlags are what a guest is given; check tries it, publish keeps it.
type guestFlags struct {
	Env       []string `placeholder:"KEY=VALUE" sep:"none" help:"Environment of the guest. May be repeated."`
	Arg       []string `placeholder:"ARG" sep:"none" help:"Argument of a command. May be repeated."`
	Example   string   `placeholder:"INPUT" help:"An input that the service accepts, or @FILE."`
	Isolation string   `placeholder:"WORD" complete:"pristine,shared,fresh" help:"State shared between calls: pristine (none, default), shared, fresh."`
}

// Help is the part of the help that comes after the first line.
func (*publishCmd) Help() string {
	return `Uploads the module and has the runners prepare it with the decorators that are
defined next to the service. As soon as runners are ready, the new
revision goes live in one step, with the decorators; until then calls go to the
old one. If no runner can prepare it, or if another service that carries one of
the decorators could not run any more, nothing changes. Publishing the same
content again changes nothing either.`
}

func (*publishCmd) Examples() []string {
	return []string{
		"ruedo publish                                 the service in this directory",
		"ruedo publish examples/greet",
		"ruedo publish app.wasm --name app --decorator small --env MODE=test",
	}
}

func (c *publishCmd) Run(s *session.Session) error {
	over, err := c.overlay()
	if err != nil {
		return err
	}
	over.Description, over.Tags, over.Decorators = c.Description, c.Tag, c.Decorator
	src, err := source.Open(s, c.Source, c.Name, over)
	if err != nil {
		return err
	}
	// A mistake in the module is found before anything is opened or sent.
	if err := src.Examine(s, c.Check); err != nil {
		return session.About(err, "service %s", src.Name())
	}
	core, err := s.ConnectToCreate()
	if err != nil {
		return err
	}
	if err := src.Compare(s, core); err != nil {
		return err
	}
	res, err := src.Publish(s, core, c.Force)
	if err != nil {
		return session.About(err, "service %s", src.Name())
	}
	return printPublished(s, len(src.Wasm), res)
}

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

// printPublished prints what was published, size bytes of module.
func printPublished(s *session.Session, size int, res *ruedov1.PublishServiceResponse) error {
	if done, err := s.PrintMessage(res, res.GetService().GetName()); done {
		return err
	}
	r := res.GetService().GetRevision()
	what := "published"
	if res.GetUnchanged() {
		what = "unchanged"
	}
	var failed int
	var slowest time.Duration
	for _, p := range res.GetPreparations() {
		if p.GetLate() {
			failed++
			s.Warnf("runner %s %s", p.GetRunner(), output.Safe(p.GetError()))
			continue
		}
		if p.GetError() != "" {
			failed++
			s.Warnf("runner %s cannot prepare it: %s", p.GetRunner(), output.Safe(p.GetError()))
			continue
		}
		slowest = max(slowest, p.GetCompileTime().AsDuration())
	}
	prepared := ""
	if n := len(res.GetPreparations()) - failed; n > 0 {
		prepared = ", prepared by " + output.Plural(n, "runner") + " (compile " + output.Duration(slowest) + ")"
	}
	return s.Printf("%s %s: revision %d, %s, %s%s", what, res.GetService().GetName(), r.GetNumber(), output.Digest(r.GetModule()), output.Size(uint64(size)), prepared)
}
