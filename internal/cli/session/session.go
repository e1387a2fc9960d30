// Package session is one run of the command line: what every command works
// with.
//
// A [Session] holds the streams, the environment and, after [Session.Configure],
// the settings and the output format. Commands call [Session.Connect] for a
// client of the core, print data with [Session.Printf] or [Session.Print], and
// everything else with [Session.Infof]. [Session.Exit] turns an error into the
// exit code and into the lines that the user reads.
//
// A Session serves one command and is not safe for concurrent use.
package session

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/internal/cli/assemble"
	"github.com/ruedo-dev/ruedo/internal/cli/credential"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Session is one run of the program.
type Session struct {
	// Ctx ends when the user interrupts the program.
	Ctx context.Context
	// Env is the environment as os.Environ returns it.
	Env []string
	In  io.Reader
	// Out is stdout, for data; Err is stderr, for everything else.
	Out, Err io.Writer
	// SDK is the source of the SDK for `ruedo new`. May be nil.
	SDK fs.FS
	// Version of the program.
	Version string
	// Compiler is the command line that starts this program as the child that
	// compiles modules.
	Compiler []string
	// Hasher is the same for the child that hashes passwords.
	Hasher []string

	// Settings and Print are set by Configure.
	Settings *settings.Resolved
	Print    output.Printer
	// Verbose adds the causes of errors, and where things are.
	Verbose bool
	// Quiet suppresses informational messages.
	Quiet bool

	core     *client.Client
	cred     *credential.Credential // what core is shown; may be nil
	sockets  map[string]string      // URLs of cores, by the addresses of their sockets
	renewed  atomic.Pointer[renewal]
	stdin    *bufio.Reader // of secrets, line by line
	local    bool          // core is in this process, and ends with it
	origin   string        // where the addresses of core come from
	answered func()        // remembers which core has answered; may be nil
	parts    *assemble.Assembler
	closeLog func() // writes what loggers hold; may be nil

	warned map[string]bool // by the keys of WarnOnce
}

// Options are the flags of every command that are not settings.
type Options struct {
	// ConfigFile is the --config flag; may be empty.
	ConfigFile string
	// Flags are the settings given on the command line, by name.
	Flags     map[string]settings.Flag
	Format    output.Format
	NoHeaders bool
	Verbose   bool
}

// Configure resolves the settings and sets the output format. It prints what is
// wrong with the environment as warnings.
func (s *Session) Configure(o Options) (err error) {
	s.Settings, err = settings.Resolve(settings.Input{Flags: o.Flags, ConfigFile: o.ConfigFile, Env: s.Env})
	if err != nil {
		return err
	}
	s.Print = output.Printer{W: s.Out, Format: o.Format, NoHeaders: o.NoHeaders}
	s.Verbose = o.Verbose
	if !s.Quiet {
		for _, w := range s.Settings.Warnings {
			s.Warnf("%s", w)
		}
	}
	if s.Verbose && s.Settings.File != "" {
		s.Infof("settings: %s", s.Settings.File)
	}
	return nil
}

// Infof prints a line to stderr.
func (s *Session) Infof(format string, args ...any) {
	fmt.Fprintf(s.Err, format+"\n", args...)
}

// Warnf prints a warning to stderr.
func (s *Session) Warnf(format string, args ...any) {
	s.Infof("warning: "+format, args...)
}

// WarnOnce is Warnf, unless this run has warned with the same key before: one that
// watches files says the same with each change.
func (s *Session) WarnOnce(key, format string, args ...any) {
	if s.warned[key] {
		return
	}
	if s.warned == nil {
		s.warned = make(map[string]bool)
	}
	s.warned[key] = true
	s.Warnf(format, args...)
}

// Progressf prints a line to stderr for a user who watches. It prints nothing
// if the output is for programs.
func (s *Session) Progressf(format string, args ...any) {
	if s.Print.ForPeople() && !s.Quiet {
		s.Infof(format, args...)
	}
}

// Printf writes a line of data to stdout.
func (s *Session) Printf(format string, args ...any) error {
	_, err := fmt.Fprintf(s.Out, format+"\n", args...)
	return err
}

// Logger returns the logger of processes that run for long.
func (s *Session) Logger() *slog.Logger { return s.logger(s.Err) }

// Loggers returns the logger of a process that serves others, and the one for its
// calls that succeed. There can be many, so their lines are held for up to 100 ms
// to be written together: until the session is closed, or Ctx ends.
func (s *Session) Loggers() (log, calls *slog.Logger) {
	l := newLines(s.Err)
	stop := context.AfterFunc(s.Ctx, l.close)
	s.closeLog = func() { stop(); l.close() }
	return s.logger(l), s.logger(held{l})
}

func (s *Session) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.Settings.Log.Level)) // settings allow only these
	opts := &slog.HandlerOptions{Level: level}
	if s.Settings.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// QuietLogger returns the logger of parts that serve one command: only warnings
// and errors matter.
func (s *Session) QuietLogger() *slog.Logger {
	return slog.New(atLeast{s.Logger().Handler(), slog.LevelWarn})
}

// atLeast drops records below min.
type atLeast struct {
	slog.Handler
	min slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.min && h.Handler.Enabled(ctx, l)
}
func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.min}
}
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.min}
}

// Getenv returns the value of an environment variable, or "".
func (s *Session) Getenv(name string) string {
	value := ""
	for _, kv := range s.Env {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			value = v
		}
	}
	return value
}

// PrintMessage prints a message of the API for programs: its name with -o name,
// the whole of it as JSON or YAML. done is false if a table is wanted; then
// nothing was printed.
func (s *Session) PrintMessage(m proto.Message, name string) (done bool, err error) {
	switch {
	case s.Print.Format == output.Name:
		return true, s.Printf("%s", name)
	case !s.Print.ForPeople():
		return true, s.Print.Message(m)
	}
	return false, nil
}
