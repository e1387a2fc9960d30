// Package calling is the command call.
package calling

import (
	"errors"
	"unicode/utf8"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/answer"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/reach"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Call is `ruedo call` and `ruedo run service`.
type Call struct {
	Name string `arg:"" complete:"callee" help:"Name of the service, or NAME@REVISION."`

	Data        string   `short:"d" placeholder:"INPUT" help:"Input of the call; @FILE reads a file, - or a pipe reads stdin."`
	Set         []string `placeholder:"FIELD=VALUE" sep:"none" complete:"input" help:"Set one field of the input, typed by the schema; a.b=1 sets a field inside, a.0=1 an element, a=@FILE reads a file. May be repeated."`
	Use         bool     `help:"Show the inputs that the service accepts instead of calling it."`
	Info        bool     `short:"i" help:"Print to stderr which runner executed the call, and how long it took."`
	ContentType string   `placeholder:"TYPE" help:"Media type of the input. Default: guessed."`
	RawBytes    bool     `help:"Send the input as bytes (application/octet-stream), whatever it looks like."`
}

// Help is the part of the help that comes after the first line.
func (*Call) Help() string {
	return `Writes the output of the service to stdout, and its log to stderr. The exit code
says what failed; ruedo help exit-codes lists the codes. It is 10 if a command has exited
with a code, and stderr has that code. What the service logged in a failed call can
be read again later, with ruedo logs --call ID.

-o json prints one object: output, content_type, info (call_id, runner, revision and
figures), logs and exit_code. A failed call is an object on stderr.`
}

func (*Call) Examples() []string {
	return []string{
		`ruedo call greet -d '{"name":"Ada"}'`,
		"ruedo call greet --set name=Ada --set age=36",
		"ruedo call greet@3 --set name=Ada             revision 3, live or not",
		"ruedo call greet --use                        what it accepts",
		"ruedo call thumbnail -d @photo.jpg > small.png",
		"cat text | ruedo call wordcount",
	}
}

// Run is `ruedo run`.
type Run struct {
	Service Call `cmd:"" aliases:"services,svc" help:"Call a service; the same as ruedo call."`
}

func (c *Call) Run(s *session.Session) error {
	name, revision, err := project.SplitRevision(c.Name)
	if err != nil {
		return err
	}
	c.Name = name
	core, err := s.Connect()
	if err != nil {
		return err
	}
	if c.Use {
		return session.About(c.use(s, core), "service %s", c.Name)
	}
	in, err := c.input(s, core)
	if err != nil {
		return session.About(err, "service %s", c.Name)
	}
	defer in.close()
	sent, sending := s.Progress("sending")
	defer sending()
	received, receiving := s.Progress("receiving")
	defer receiving()
	opts := []client.CallOption{client.WithContentType(in.contentType), client.WithLogs(), client.WithProgress(sent, received), client.WithRevision(revision)}
	if in.rest != nil {
		res, err := core.Stream(s.Ctx, c.Name, in.rest, opts...)
		sending()
		if err != nil {
			return c.failed(s, core, err)
		}
		defer res.Body.Close()
		answer.Said(s, res.Info, false, c.Info)
		return session.About(answer.PrintStream(s, res, receiving), "service %s", c.Name)
	}
	res, err := core.Call(s.Ctx, c.Name, in.data, opts...)
	receiving()
	if err != nil {
		return c.failed(s, core, err)
	}
	answer.Said(s, res.Info, false, c.Info)
	return session.About(answer.Print(s, res), "service %s", c.Name)
}

// failed prints what is known of a failed call, and returns its error. That of a
// service of kind http says how to send it a request.
func (c *Call) failed(s *session.Session, core *client.Client, err error) error {
	answer.Said(s, client.InfoOf(err), true, c.Info)
	if errors.Is(err, fault.WrongKind) {
		if res, _ := core.Services.GetService(s.Ctx, &ruedov1.GetServiceRequest{Name: c.Name}); res != nil {
			err = faultrpc.FromError(err).WithFix("send it a request: %s", reach.Curls(s.URL(core), res.GetService())[0])
		}
	}
	return session.About(session.MeantFile(err, c.Data), "service %s", c.Name)
}

// use prints the inputs that the service accepts.
func (c *Call) use(s *session.Session, core *client.Client) error {
	res, err := core.Services.GetService(s.Ctx, &ruedov1.GetServiceRequest{Name: c.Name})
	if err != nil {
		return err
	}
	if !s.Print.ForPeople() {
		return s.Print.Message(res)
	}
	service := res.GetService()
	head := "ruedo call " + service.GetName()
	if d := service.GetDescription(); d != "" {
		head += ": " + output.Safe(d)
	}
	if err := s.Printf("%s\n", head); err != nil {
		return err
	}
	if service.GetRevision().GetKind() == ruedov1.Kind_KIND_HTTP {
		return reach.Print(s, "It serves HTTP:", service)
	}
	if err := input.New(res.GetSchemas()).Print(&s.Print, "Any input: there is no schema."); err != nil {
		return err
	}
	if err := input.PrintOutputs(&s.Print, "", service.GetRevision().GetOutputSchema()); err != nil {
		return err
	}
	example := service.GetRevision().GetExample()
	if len(example) == 0 || !utf8.Valid(example) {
		return nil
	}
	return s.Printf("\nExample:\n  ruedo call %s -d %s", service.GetName(), output.Quote(output.Safe(string(example))))
}
