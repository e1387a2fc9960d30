package cli

import (
	"bufio"
	"fmt"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// deleteCmd is `ruedo delete`.
type deleteCmd struct {
	Service   deleteServiceCmd   `cmd:"" help:"Delete a service and all its revisions."`
	Decorator deleteDecoratorCmd `cmd:"" help:"Delete a decorator that no service carries."`
}

func (*deleteCmd) Examples() []string { return []string{"ruedo delete service greet --yes"} }

type deleteServiceCmd struct {
	Name string `arg:"" help:"Name of the service."`
	Yes  bool   `short:"y" help:"Do not ask."`
}

func (*deleteServiceCmd) Examples() []string {
	return []string{"ruedo delete service greet", "ruedo delete service greet --yes"}
}

func (c *deleteServiceCmd) Run(a *app) error {
	if err := a.confirm(c.Yes, "Delete service "+c.Name+" and all its revisions?"); err != nil {
		return err
	}
	core, err := a.connect()
	if err != nil {
		return err
	}
	res, err := core.Services.DeleteService(a.ctx, &ruedov1.DeleteServiceRequest{Name: c.Name})
	if err != nil {
		return about(err, "service %s", c.Name)
	}
	if done, err := a.plain(res, c.Name); done {
		return err
	}
	return a.say("deleted service %s", c.Name)
}

type deleteDecoratorCmd struct {
	Name string `arg:"" help:"Name of the decorator."`
	Yes  bool   `short:"y" help:"Do not ask."`
}

func (*deleteDecoratorCmd) Examples() []string {
	return []string{"ruedo delete decorator small --yes"}
}

func (c *deleteDecoratorCmd) Run(a *app) error {
	if err := a.confirm(c.Yes, "Delete decorator "+c.Name+"?"); err != nil {
		return err
	}
	core, err := a.connect()
	if err != nil {
		return err
	}
	res, err := core.Decorators.DeleteDecorator(a.ctx, &ruedov1.DeleteDecoratorRequest{Name: c.Name})
	if err != nil {
		return about(err, "decorator %s", c.Name)
	}
	if done, err := a.plain(res, c.Name); done {
		return err
	}
	return a.say("deleted decorator %s", c.Name)
}

// confirm asks on a terminal. Elsewhere nobody can answer: --yes is needed.
func (a *app) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !terminal(a.in) || !terminal(a.talkTo) {
		return fault.New(fault.Usage, "nobody can be asked here: %s", strings.TrimSuffix(question, "?")).WithFix("add --yes")
	}
	fmt.Fprintf(a.talkTo, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-a.ctx.Done():
		return a.ctx.Err()
	case line := <-answer:
		if line == "y" || line == "yes" {
			return nil
		}
	}
	return fault.New(fault.Usage, "nothing was deleted")
}
