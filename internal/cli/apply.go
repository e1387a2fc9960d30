package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/strict"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// applyCmd is `ruedo apply`.
type applyCmd struct {
	File []string `short:"f" required:"" placeholder:"FILE" sep:"none" help:"YAML of decorators and services; - is stdin. May be repeated."`
}

func (*applyCmd) Examples() []string {
	return []string{"ruedo apply -f cluster.yaml", "cat cluster.yaml | ruedo apply -f -"}
}

// kindService is the kind that a service's document states.
const kindService = "Service"

// serviceDocument is a document of kind Service. Exactly one of Source and
// Module says what is executed.
type serviceDocument struct {
	Kind        string       `yaml:"kind"`
	Name        string       `yaml:"name"`
	Description string       `yaml:"description"`
	Tags        []string     `yaml:"tags"`
	Decorators  []string     `yaml:"decorators"`
	Env         project.Env  `yaml:"env"`
	Args        project.Args `yaml:"args"`
	Example     any          `yaml:"example"`
	Isolation   string       `yaml:"isolation"`
	// Source is a folder or a .wasm file, relative to the YAML file.
	Source string `yaml:"source"`
	// Module is the digest of a module that the cluster has.
	Module project.Text `yaml:"module"`
}

// applied is one line of what apply did.
type applied struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Result string `json:"result"`
}

func (c *applyCmd) Run(a *app) error {
	type step struct {
		doc  strict.Document
		base string
	}
	var steps []step
	for _, file := range c.File {
		data, err := a.readFile(file)
		if err != nil {
			return err
		}
		docs, err := strict.All(file, data)
		if err != nil {
			return err
		}
		for _, d := range docs {
			switch kind := d.Field("kind"); kind {
			case project.KindDecorator, kindService:
			default:
				return d.Errorf("kind is %q: Decorator or Service is expected", kind)
			}
			steps = append(steps, step{d, filepath.Dir(file)})
		}
	}
	if len(steps) == 0 {
		return fault.New(fault.ConfigInvalid, "there is nothing in %s to apply", c.File[0])
	}
	core, err := a.connect()
	if err != nil {
		return err
	}
	list := []applied{}
	for _, s := range steps {
		done, err := a.apply(core, s.doc, s.base)
		if err != nil {
			// What went before stays applied, and is told.
			return errors.Join(err, a.printApplied(list))
		}
		if a.print.ForPeople() {
			if err := a.say("%s %s %s", done.Kind, done.Name, done.Result); err != nil {
				return err
			}
		}
		list = append(list, done)
	}
	return a.printApplied(list)
}

func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		data, err := io.ReadAll(a.in)
		if err != nil {
			return nil, fileError(err, "cannot read", "stdin")
		}
		return data, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fileError(err, "cannot read", name)
	}
	return data, nil
}

func (a *app) apply(core *client.Client, doc strict.Document, base string) (applied, error) {
	if doc.Field("kind") == project.KindDecorator {
		d, err := project.ReadDecorator(doc)
		if err != nil {
			return applied{}, err
		}
		result, err := applyDecorator(a.ctx, core, d)
		return applied{"decorator", d.GetName(), result}, about(err, "decorator %s", d.GetName())
	}
	return a.applyService(core, doc, base)
}

func (a *app) applyService(core *client.Client, doc strict.Document, base string) (applied, error) {
	var d serviceDocument
	if err := doc.Decode(&d); err != nil {
		return applied{}, err
	}
	if (d.Source == "") == (d.Module == "") {
		return applied{}, doc.Errorf("exactly one of source (a folder or a .wasm file) and module (a digest) is expected")
	}
	_, err := core.Services.GetService(a.ctx, &ruedov1.GetServiceRequest{Name: d.Name})
	result := "updated"
	switch {
	case errors.Is(err, fault.ServiceNotFound):
		result = "created"
	case errors.Is(err, fault.Integrity): // the publish replaces what cannot be read
	case err != nil:
		return applied{}, about(err, "service %s", d.Name)
	}
	overlay := func(r *ruedov1.PublishServiceRequest) error {
		r.Description = or(d.Description, r.GetDescription())
		r.Tags = append(r.Tags, d.Tags...)
		r.Decorators = append(r.Decorators, d.Decorators...)
		if d.Args != nil {
			r.Args = d.Args.Strings()
		}
		for k, v := range d.Env.Strings() {
			if r.Env == nil {
				r.Env = make(map[string]string)
			}
			r.Env[k] = v
		}
		if d.Isolation != "" {
			var err error
			if r.Isolation, err = project.ParseIsolation(d.Isolation); err != nil {
				return doc.Errorf("%s", err)
			}
		}
		example, err := (&project.Service{Dir: base, Example: d.Example}).ExampleBytes()
		if example != nil {
			r.Example = example
		}
		return err
	}
	var res *ruedov1.PublishServiceResponse
	if d.Module != "" {
		r := &ruedov1.PublishServiceRequest{Name: d.Name, Module: string(d.Module)}
		if err := overlay(r); err != nil {
			return applied{}, err
		}
		res, err = core.Services.PublishService(a.ctx, r)
	} else {
		path := d.Source
		if !filepath.IsAbs(path) {
			path = filepath.Join(base, path)
		}
		src, err2 := a.openSource(path, d.Name, overlay)
		if err2 != nil {
			return applied{}, err2
		}
		d.Name = src.request.GetName()
		if err := a.examine(src, true); err != nil {
			return applied{}, about(err, "service %s", d.Name)
		}
		res, err = a.publish(core, src)
	}
	if err != nil {
		return applied{}, about(err, "service %s", d.Name)
	}
	if res.GetUnchanged() {
		result = "unchanged"
	}
	return applied{"service", d.Name, result}, nil
}

func (a *app) printApplied(list []applied) error {
	switch {
	case a.print.ForPeople():
		return nil
	case a.print.Format == output.Name:
		for _, item := range list {
			if err := a.say("%s/%s", item.Kind, item.Name); err != nil {
				return err
			}
		}
		return nil
	}
	return a.print.Value(map[string]any{"items": list})
}

// applyDecorator makes a decorator what it should be and says what that took.
func applyDecorator(ctx context.Context, core *client.Client, d *ruedov1.Decorator) (string, error) {
	res, err := core.Decorators.UpdateDecorator(ctx, &ruedov1.UpdateDecoratorRequest{Decorator: d})
	switch {
	case errors.Is(err, fault.DecoratorNotFound):
		_, err = core.Decorators.CreateDecorator(ctx, &ruedov1.CreateDecoratorRequest{Decorator: d})
		return "created", err
	case err != nil:
		return "", err
	case res.GetUnchanged():
		return "unchanged", nil
	}
	return "updated", nil
}
