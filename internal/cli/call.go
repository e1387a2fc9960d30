package cli

import (
	"cmp"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// callCmd is `ruedo call` and `ruedo run service`.
type callCmd struct {
	Name string `arg:"" complete:"service" help:"Name of the service, or NAME@REVISION."`

	Data        string   `short:"d" placeholder:"INPUT" help:"Input of the call; @FILE reads a file, - or a pipe reads stdin."`
	Set         []string `placeholder:"FIELD=VALUE" sep:"none" complete:"input" help:"Set one field of the input, typed by the schema; a.b=1 sets a field inside, a.0=1 an element, a=@FILE reads a file. May be repeated."`
	Use         bool     `help:"Show the inputs that the service accepts instead of calling it."`
	Info        bool     `short:"i" help:"Print to stderr which runner executed the call, and how long it took."`
	ContentType string   `placeholder:"TYPE" help:"Media type of the input. Default: guessed."`
	RawBytes    bool     `help:"Send the input as bytes (application/octet-stream), whatever it looks like."`
}

// Help is the part of the help that comes after the first line.
func (*callCmd) Help() string {
	return `Writes the output of the service to stdout, and its log to stderr. The exit code
says what failed; ruedo help exit-codes lists the codes. It is 10 if a command has exited
with a code, and stderr has that code. What the service logged in a failed call can
be read again later, with ruedo logs --call ID.`
}

func (*callCmd) Examples() []string {
	return []string{
		`ruedo call greet -d '{"name":"Ada"}'`,
		"ruedo call greet --set name=Ada --set age=36",
		"ruedo call greet@3 --set name=Ada             revision 3, live or not",
		"ruedo call greet --use                        what it accepts",
		"ruedo call thumbnail -d @photo.jpg > small.png",
		"cat text | ruedo call wordcount",
	}
}

// runCmd is `ruedo run`.
type runCmd struct {
	Service callCmd `cmd:"" help:"Call a service; the same as ruedo call."`
}

func (c *callCmd) Run(s *session.Session) error {
	name, revision, err := splitRevision(c.Name)
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
			c.printInfo(s, client.InfoOf(err))
			return session.About(err, "service %s", c.Name)
		}
		defer res.Body.Close()
		c.printInfo(s, res.Info)
		return session.About(writeStream(s, res, receiving), "service %s", c.Name)
	}
	res, err := core.Call(s.Ctx, c.Name, in.data, opts...)
	receiving()
	if err != nil {
		c.printInfo(s, client.InfoOf(err))
		return session.About(err, "service %s", c.Name)
	}
	c.printInfo(s, res.Info)
	if err := writeOutput(s, res); err != nil {
		return err
	}
	if code := uint32(res.Info.GetExitCode()); code != 0 {
		return session.About(fault.New(fault.GuestExit, "the service exited with code %d", code).With("exit_code", code), "service %s", c.Name)
	}
	return nil
}

// splitRevision splits "greet@3"; without a revision, the number is 0.
func splitRevision(arg string) (name string, revision uint64, err error) {
	name, number, pinned := strings.Cut(arg, "@")
	if err := project.CheckName("service", name); err != nil {
		return "", 0, err
	}
	if !pinned {
		return name, 0, nil
	}
	if revision, err = strconv.ParseUint(number, 10, 64); err != nil || revision == 0 {
		return "", 0, fault.New(fault.Usage, "%s names no revision: a number from 1 is expected after the @", arg).WithFix("ruedo get revisions %s", name)
	}
	return name, revision, nil
}

// writeStream writes the output of a call as it arrives; on a terminal all at
// the end, because it has to be escaped. It calls received when all of it is here.
func writeStream(s *session.Session, res *client.Stream, received func()) error {
	if !session.Terminal(s.Out) {
		_, err := io.Copy(s.Out, res.Body)
		return err
	}
	output, err := io.ReadAll(res.Body)
	received()
	if err != nil {
		return err
	}
	return writeOutput(s, &client.Response{Output: output, ContentType: res.ContentType, Info: res.Info})
}

// piped reports whether stdin is a pipe or a regular file, so that the user wants
// it to be read. A terminal and /dev/null are not.
func piped(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return in != nil
	}
	st, err := f.Stat()
	return err == nil && (st.Mode()&os.ModeNamedPipe != 0 || st.Mode().IsRegular())
}

// printInfo prints what the guest logged and where it failed, and with -i the
// figures of the call.
func (c *callCmd) printInfo(s *session.Session, info *ruedov1.CallInfo) {
	if info == nil {
		return
	}
	s.PrintLogs(string(info.GetLogs()), info.GetTrace())
	if !c.Info {
		return
	}
	s.Infof("call:     %s", info.GetCallId())
	s.Infof("runner:   %s", info.GetRunner())
	s.Infof("revision: %d", info.GetRevision())
	s.Infof("duration: %s", output.Duration(info.GetDuration().AsDuration()))
	s.Infof("cpu:      %s", output.Duration(info.GetCpuTime().AsDuration()))
	s.Infof("fuel:     %d", info.GetFuel())
	s.Infof("memory:   %s", output.Size(info.GetMemoryBytes()))
	s.Infof("start:    %s", startText(info))
	if info.GetExitCode() != 0 {
		s.Infof("exit:     %d", uint32(info.GetExitCode()))
	}
}

// startText writes whether an instance was ready, and how long it took to
// restore it.
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

// writeOutput writes the output of a call unchanged; on a terminal escaped, so
// that it cannot steer the terminal.
func writeOutput(s *session.Session, res *client.Response) error {
	if !session.Terminal(s.Out) {
		_, err := s.Out.Write(res.Output)
		return err
	}
	if !utf8.Valid(res.Output) {
		s.Infof("%s of %s: not shown on a terminal, redirect it to a file", output.Size(uint64(len(res.Output))), output.Safe(cmp.Or(res.ContentType, "bytes")))
		return nil
	}
	text := output.SafeLines(string(res.Output))
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err := io.WriteString(s.Out, text)
	return err
}

// use prints the inputs that the service accepts.
func (c *callCmd) use(s *session.Session, core *client.Client) error {
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
