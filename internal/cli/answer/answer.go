// Package answer prints what a call returned.
//
// On stdout, the output is as the service wrote it, escaped on a terminal. With
// -o json or yaml it is one object: output, content_type, info, logs and
// exit_code. The output is JSON if that is its media type, else text; bytes that
// are not text are output_base64.
package answer

import (
	"cmp"
	"encoding/json"
	"io"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Print prints the answer of a call. It returns GUEST_EXIT if the service is a
// command that exited with a code.
func Print(s *session.Session, res *client.Response) error {
	write := printOutput
	if forPrograms(s) {
		write = printObject
	}
	if err := write(s, res); err != nil {
		return err
	}
	return exited(res.Info)
}

// PrintStream is Print for an output that is still arriving. It prints it as it
// arrives, unless it has to be escaped or becomes a part of an object. It calls
// received when all of it is here.
func PrintStream(s *session.Session, res *client.Stream, received func()) error {
	if !session.Terminal(s.Out) && !forPrograms(s) {
		if _, err := io.Copy(s.Out, res.Body); err != nil {
			return err
		}
		return exited(res.Info)
	}
	output, err := io.ReadAll(res.Body)
	received()
	if err != nil {
		return err
	}
	return Print(s, &client.Response{Output: output, ContentType: res.ContentType, Info: res.Info})
}

// forPrograms reports whether the answer is printed as an object.
func forPrograms(s *session.Session) bool {
	return s.Print.Format.IsJSON() || s.Print.Format == output.YAML
}

// exited returns the error of a command that exited with a code.
func exited(info *ruedov1.CallInfo) error {
	if code := exitCode(info); code != 0 {
		return fault.New(fault.GuestExit, "the service exited with code %d", code).With("exit_code", code)
	}
	return nil
}

func exitCode(info *ruedov1.CallInfo) uint32 { return uint32(info.GetExitCode()) }

// printOutput writes the output unchanged; on a terminal escaped, so that it
// cannot steer the terminal.
func printOutput(s *session.Session, res *client.Response) error {
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

// printObject prints all that is known of the call as one object.
func printObject(s *session.Session, res *client.Response) error {
	out := object.Bytes("output", res.Output)
	if isJSON(res.ContentType) && json.Valid(res.Output) && utf8.Valid(res.Output) {
		out = object.Field{Name: "output", Value: json.RawMessage(res.Output)}
	}
	info, _ := object.Of(res.Info).(object.Object)
	info = slices.DeleteFunc(info, func(f object.Field) bool { // they stand next to it, or belong to failures
		return slices.Contains([]string{"logs", "exit_code", "trace"}, f.Name)
	})
	return s.Print.Value(object.Object{
		out,
		{Name: "content_type", Value: res.ContentType},
		{Name: "info", Value: info},
		{Name: "logs", Value: string(res.Info.GetLogs())},
		{Name: "exit_code", Value: exitCode(res.Info)},
	})
}

// isJSON reports whether a media type is JSON.
func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == "application/json" || strings.HasSuffix(t, "+json"))
}

// Said prints to stderr what the guest logged and where it failed, and with
// figures what the call used. It prints nothing of what the object on stdout, or
// the error on stderr, has as JSON.
func Said(s *session.Session, info *ruedov1.CallInfo, failed, figures bool) {
	if info == nil || s.Print.Format.IsJSON() || forPrograms(s) && !failed {
		return
	}
	s.PrintLogs(string(info.GetLogs()), info.GetTrace())
	if !figures {
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
	if code := exitCode(info); code != 0 {
		s.Infof("exit:     %d", code)
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
