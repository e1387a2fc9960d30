//go:build !wasip1

package sdk

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
)

// Main serves one call from stdin to stdout and ends the program. The exit code
// is 0 if the call succeeded, 1 if it failed, with code and message on stderr,
// and 2 if no handler is registered. So `go run . < input.json` tries a service
// without a sandbox. A module's main never runs.
func Main() {
	os.Exit(serve(context.Background(), &registered, os.Stdin, os.Stdout, os.Stderr))
}

// serve is Main with its dependencies as arguments; it returns the exit code.
func serve(ctx context.Context, s *service, stdin io.Reader, stdout, stderr io.Writer) int {
	if s.handle == nil {
		fmt.Fprintln(stderr, "error: this service has no handler\nfix: "+noHandlerFix)
		return 2
	}
	if f, ok := stdin.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprintln(stderr, "reading the input from the terminal; end it with Ctrl-D")
		}
	}
	input, err := io.ReadAll(stdin)
	if err != nil {
		fmt.Fprintf(stderr, "error: stdin cannot be read: %v\n", err)
		return 1
	}
	res, err := s.do(ctx, Request{ID: "local", Input: input})
	if err != nil {
		fmt.Fprintf(stderr, "error: %v\n", err)
		return 1
	}
	out := res.Output
	if res.ContentType == jsonType {
		out = append(slices.Clip(out), '\n') // for the terminal; any other output stays unchanged
	}
	if _, err := stdout.Write(out); err != nil {
		fmt.Fprintf(stderr, "error: stdout cannot be written: %v\n", err)
		return 1
	}
	return 0
}

// writeLog writes one log line to stderr.
func writeLog(level slog.Level, line string) {
	fmt.Fprintf(os.Stderr, "%s %s\n", level, line)
}

// misuse ends a program that uses the SDK wrongly.
func misuse(message string) { panic("sdk: " + message) }
