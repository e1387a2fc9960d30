package cli

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// publishCmd is `ruedo publish`.
type publishCmd struct {
	Source string `arg:"" optional:"" default:"." help:"Folder of the service, or a .wasm file; the current folder where it is left out."`

	Name        string   `placeholder:"NAME" help:"Publish under this name."`
	Description string   `placeholder:"TEXT" help:"Description of the service."`
	Tag         []string `placeholder:"TAG" sep:"none" help:"Tag of the service. May be repeated."`
	Decorator   []string `placeholder:"NAME" sep:"none" help:"Decorator of the service. May be repeated."`
	Env         []string `placeholder:"KEY=VALUE" sep:"none" help:"Environment of the guest. May be repeated."`
	Arg         []string `placeholder:"ARG" sep:"none" help:"Argument of a command. May be repeated."`
	Example     string   `placeholder:"INPUT" help:"An input that the service accepts, or @FILE."`
	Isolation   string   `placeholder:"WORD" help:"What a call sees of the calls before it: pristine (nothing), shared or fresh."`
	Check       bool     `default:"true" negatable:"" help:"Try the module on this machine first, in the sandbox that runners have."`
}

func (*publishCmd) Examples() []string {
	return []string{
		"ruedo publish                                 the service in this folder",
		"ruedo publish examples/greet",
		"ruedo publish app.wasm --name app --decorator small --env MODE=test",
	}
}

// source is what is going to be published.
type source struct {
	request    *ruedov1.PublishServiceRequest
	wasm       []byte
	decorators []*ruedov1.Decorator
}

func (c *publishCmd) Run(a *app) error {
	src, err := a.openSource(c.Source, c.Name, c.overlay)
	if err != nil {
		return err
	}
	// What is wrong with the module is found before anything is opened or sent.
	if err := a.examine(src, c.Check); err != nil {
		return about(err, "service %s", src.request.GetName())
	}
	core, err := a.connect()
	if err != nil {
		return err
	}
	res, err := a.publish(core, src)
	if err != nil {
		return about(err, "service %s", src.request.GetName())
	}
	return a.printPublished(src, res)
}

// overlay lays the flags over what the folder says.
func (c *publishCmd) overlay(r *ruedov1.PublishServiceRequest) error {
	if c.Description != "" {
		r.Description = c.Description
	}
	r.Tags = append(r.Tags, c.Tag...)
	r.Decorators = append(r.Decorators, c.Decorator...)
	if len(c.Arg) > 0 {
		r.Args = c.Arg
	}
	if c.Isolation != "" {
		var err error
		if r.Isolation, err = project.ParseIsolation(c.Isolation); err != nil {
			return err
		}
	}
	for _, kv := range c.Env {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return fault.New(fault.Usage, "--env %s has no value", kv).WithFix("--env KEY=VALUE")
		}
		if r.Env == nil {
			r.Env = make(map[string]string)
		}
		r.Env[k] = v
	}
	if c.Example != "" {
		example, err := (&project.Service{Dir: ".", Example: c.Example}).ExampleBytes()
		if err != nil {
			return err
		}
		r.Example = example
	}
	return nil
}

// openSource builds a folder, or reads a .wasm file.
func (a *app) openSource(path, name string, overlay func(*ruedov1.PublishServiceRequest) error) (*source, error) {
	src := &source{}
	if st, err := os.Stat(path); err == nil && !st.IsDir() {
		if name == "" {
			name = strings.TrimSuffix(filepath.Base(path), ".wasm")
			if err := project.CheckName("service", name); err != nil {
				return nil, fault.Wrap(err, fault.Usage, "the name of %s is none of a service", path).WithFix("ruedo publish %s --name NAME", path)
			}
		}
		if src.wasm, err = project.ReadModule(path, maxModule); err != nil {
			return nil, err
		}
		src.request = &ruedov1.PublishServiceRequest{Name: name}
		return src, overlay(src.request)
	} else if err != nil && strings.HasSuffix(path, ".wasm") {
		return nil, fileError(err, "cannot read", path)
	}
	s, err := project.Load(path)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = s.Name
	}
	if err := project.CheckName("service", name); err != nil {
		return nil, err
	}
	if src.decorators, err = project.Decorators(path); err != nil {
		return nil, err
	}
	example, err := s.ExampleBytes()
	if err != nil {
		return nil, err
	}
	isolation, err := project.ParseIsolation(s.Isolation)
	if err != nil {
		return nil, err
	}
	src.request = &ruedov1.PublishServiceRequest{
		Name: name, Description: s.Description, Tags: s.Tags, Decorators: s.Decorators, Env: s.Env.Strings(), Args: s.Args.Strings(), Example: example, Isolation: isolation,
	}
	if err := overlay(src.request); err != nil {
		return nil, err
	}
	a.hint("building %s", name)
	if src.wasm, err = a.buildTemp(s); err != nil {
		return nil, about(err, "service %s", name)
	}
	return src, nil
}

// examine checks a module by its structure and, if tried is true, in the
// sandbox.
func (a *app) examine(src *source, tried bool) error {
	info, err := admit(src.wasm)
	if err != nil || !tried {
		return err
	}
	a.hint("checking: %s, %s, %s", info.Kind, output.Size(uint64(len(src.wasm))), output.Plural(len(info.Imports), "import"))
	report, err := a.try(src)
	if err != nil {
		return err
	}
	for _, line := range report.lines() {
		a.hint("  %s", line)
	}
	a.warn(report)
	return nil
}

// publish applies the decorators, uploads and switches over.
func (a *app) publish(core *client.Client, src *source) (*ruedov1.PublishServiceResponse, error) {
	for _, d := range src.decorators {
		what, err := applyDecorator(a.ctx, core, d)
		if err != nil {
			return nil, about(err, "decorator %s", d.GetName())
		}
		a.hint("decorator %s %s", d.GetName(), what)
	}
	step, done := a.progress("uploading")
	digest, err := core.Upload(a.ctx, src.wasm, step)
	done()
	if err != nil {
		return nil, err
	}
	src.request.Module = digest
	return core.Services.PublishService(a.ctx, src.request)
}

func (a *app) printPublished(src *source, res *ruedov1.PublishServiceResponse) error {
	switch {
	case a.print.Format == output.Name:
		return a.say("%s", res.GetService().GetName())
	case !a.print.ForPeople():
		return a.print.Message(res)
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
			a.talk("warning: runner %s %s", p.GetRunner(), output.Safe(p.GetError()))
			continue
		}
		if p.GetError() != "" {
			failed++
			a.talk("warning: runner %s cannot prepare it: %s", p.GetRunner(), output.Safe(p.GetError()))
			continue
		}
		slowest = max(slowest, p.GetCompileTime().AsDuration())
	}
	prepared := ""
	if n := len(res.GetPreparations()) - failed; n > 0 {
		prepared = ", prepared by " + output.Plural(n, "runner") + " (compile " + output.Duration(slowest) + ")"
	}
	return a.say("%s %s: revision %d, %s, %s%s", what, res.GetService().GetName(), r.GetNumber(), output.Digest(r.GetModule()), output.Size(uint64(len(src.wasm))), prepared)
}

// hint is talk that is only for people who watch.
func (a *app) hint(format string, args ...any) {
	if a.print.ForPeople() && !a.quiet {
		a.talk(format, args...)
	}
}
