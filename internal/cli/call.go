package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// callCmd is `ruedo call` and `ruedo run service`.
type callCmd struct {
	Name string `arg:"" help:"Name of the service."`

	Data        string   `short:"d" placeholder:"INPUT" help:"The input; @FILE reads a file, - or a pipe reads stdin."`
	Set         []string `placeholder:"FIELD=VALUE" sep:"none" help:"Set one field of the input, typed by the schema; a.b=1 goes inside. May be repeated."`
	Use         bool     `help:"Show the inputs that the service accepts instead of calling it."`
	Info        bool     `short:"i" help:"Say on stderr which runner executed the call, and how long it took."`
	ContentType string   `placeholder:"TYPE" help:"Media type of the input; guessed where it is left out."`
	RawBytes    bool     `help:"The input is bytes, whatever it looks like (application/octet-stream)."`
}

func (*callCmd) Examples() []string {
	return []string{
		`ruedo call greet -d '{"name":"Ada"}'`,
		"ruedo call greet --set name=Ada --set age=36",
		"ruedo call greet --use                        what it accepts",
		"ruedo call thumbnail -d @photo.jpg > small.png",
		"cat text | ruedo call wordcount",
	}
}

// runCmd is `ruedo run`.
type runCmd struct {
	Service callCmd `cmd:"" help:"Call a service; the same as ruedo call."`
}

func (c *callCmd) Run(a *app) error {
	if err := project.CheckName("service", c.Name); err != nil {
		return err
	}
	core, err := a.connect()
	if err != nil {
		return err
	}
	if c.Use {
		return about(c.use(a, core), "service %s", c.Name)
	}
	body, contentType, err := c.body(a, core)
	if err != nil {
		return about(err, "service %s", c.Name)
	}
	res, err := core.Call(a.ctx, c.Name, body, client.WithContentType(contentType), client.WithLogs())
	if err != nil {
		c.tell(a, client.InfoOf(err))
		return about(err, "service %s", c.Name)
	}
	c.tell(a, res.Info)
	return a.writeOutput(res)
}

// body makes the input of the call and its media type.
func (c *callCmd) body(a *app, core *client.Client) (body []byte, contentType string, err error) {
	given := c.Data != ""
	switch name, isFile := strings.CutPrefix(c.Data, "@"); {
	case isFile && name != "-":
		if body, err = os.ReadFile(name); err != nil {
			return nil, "", fileError(err, "cannot read", name)
		}
		contentType = mime.TypeByExtension(filepath.Ext(name))
	case c.Data == "-", c.Data == "@-", !given && len(c.Set) == 0 && piped(a.in):
		if body, err = io.ReadAll(a.in); err != nil {
			return nil, "", fileError(err, "cannot read", "stdin")
		}
		given = given || len(body) > 0
	default:
		body = []byte(c.Data)
	}
	if len(c.Set) > 0 || !given {
		res, err := core.Services.GetService(a.ctx, &ruedov1.GetServiceRequest{Name: c.Name})
		if err != nil {
			return nil, "", err
		}
		schemas := input.New(res.GetSchemas())
		// Without any input, a service that takes JSON gets an empty object and
		// says what it misses.
		if len(c.Set) > 0 || !schemas.Empty() {
			if body, err = schemas.Build(body, c.Set); err != nil {
				return nil, "", err
			}
			contentType = "application/json"
		}
	}
	switch {
	case c.ContentType != "":
		contentType = c.ContentType
	case c.RawBytes:
		contentType = "application/octet-stream"
	case contentType == "":
		contentType = guessType(body)
	}
	return body, contentType, nil
}

// guessType names the media type of bytes. What begins like JSON is called so
// even if it is broken: the answer then says where.
func guessType(body []byte) string {
	trimmed := bytes.TrimSpace(body)
	switch {
	case len(trimmed) > 0 && (json.Valid(trimmed) || trimmed[0] == '{' || trimmed[0] == '['):
		return "application/json"
	case utf8.Valid(body):
		return "text/plain; charset=utf-8"
	}
	return http.DetectContentType(body)
}

// piped tells whether stdin is a pipe or a file: something that was meant to be
// read. A terminal and /dev/null are not.
func piped(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return in != nil
	}
	st, err := f.Stat()
	return err == nil && (st.Mode()&os.ModeNamedPipe != 0 || st.Mode().IsRegular())
}

// tell writes what the guest logged, and with -i what became of the call.
func (c *callCmd) tell(a *app, info *ruedov1.CallInfo) {
	if info == nil {
		return
	}
	if logs := info.GetLogs(); len(logs) > 0 {
		text := string(logs)
		if terminal(a.talkTo) {
			text = output.SafeLines(text)
		}
		fmt.Fprint(a.talkTo, text)
		if !strings.HasSuffix(text, "\n") {
			fmt.Fprintln(a.talkTo)
		}
	}
	if !c.Info {
		return
	}
	a.talk("call:     %s", info.GetCallId())
	a.talk("runner:   %s", info.GetRunner())
	a.talk("revision: %d", info.GetRevision())
	a.talk("duration: %s", output.Duration(info.GetDuration().AsDuration()))
	a.talk("cpu:      %s", output.Duration(info.GetCpuTime().AsDuration()))
	a.talk("fuel:     %d", info.GetFuel())
	a.talk("memory:   %s", output.Size(info.GetMemoryBytes()))
	a.talk("start:    %s", startText(info))
	if info.GetExitCode() != 0 {
		a.talk("exit:     %d", info.GetExitCode())
	}
}

// startText says whether an instance was there, and what it took to put it back.
func startText(info *ruedov1.CallInfo) string {
	start := "warm"
	if info.GetCold() {
		start = "cold"
	}
	if r := info.GetRestoreTime().AsDuration(); r > 0 {
		start += ", restored in " + output.Duration(r)
	}
	return start
}

// writeOutput writes the output as it is; on a terminal so that it cannot steer
// it.
func (a *app) writeOutput(res *client.Response) error {
	if !terminal(a.out) {
		_, err := a.out.Write(res.Output)
		return err
	}
	if !utf8.Valid(res.Output) {
		kind := res.ContentType
		if kind == "" {
			kind = "bytes"
		}
		a.talk("%s of %s: not shown on a terminal, redirect it to a file", output.Size(uint64(len(res.Output))), output.Safe(kind))
		return nil
	}
	text := output.SafeLines(string(res.Output))
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err := io.WriteString(a.out, text)
	return err
}

// use prints the inputs that the service accepts.
func (c *callCmd) use(a *app, core *client.Client) error {
	res, err := core.Services.GetService(a.ctx, &ruedov1.GetServiceRequest{Name: c.Name})
	if err != nil {
		return err
	}
	if !a.print.ForPeople() {
		return a.print.Message(res)
	}
	service := res.GetService()
	head := "ruedo call " + service.GetName()
	if d := service.GetDescription(); d != "" {
		head += ": " + output.Safe(d)
	}
	if err := a.say("%s\n", head); err != nil {
		return err
	}
	if err := a.printInputs(input.New(res.GetSchemas()), "Any input: no decorator has a schema."); err != nil {
		return err
	}
	example := service.GetRevision().GetExample()
	if len(example) == 0 || !utf8.Valid(example) {
		return nil
	}
	quoted := "'" + strings.ReplaceAll(output.Safe(string(example)), "'", `'\''`) + "'"
	return a.say("\nExample:\n  ruedo call %s -d %s", service.GetName(), quoted)
}

// printInputs prints the fields of a service's input.
func (a *app) printInputs(schemas *input.Schemas, none string) error {
	if schemas.Empty() {
		return a.say("%s", none)
	}
	lines := schemas.Lines()
	if len(lines) == 0 {
		return a.say("Any input that the schemas pass (-o json shows them).")
	}
	rows := [][]string{{"INPUT", "TYPE", "REQUIRED", "DECORATOR", "MEANING"}}
	for _, l := range lines {
		required := "-"
		if l.Required {
			required = "yes"
		}
		rows = append(rows, []string{output.Safe(l.Field), output.Safe(l.Type), required, l.Decorator, output.Safe(l.Text)})
	}
	return a.print.Rows(rows)
}
