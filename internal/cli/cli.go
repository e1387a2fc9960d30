// Package cli is the command line of Ruedo, and the assembler of its programs:
// it alone knows how store, core and runner become a process.
//
// [Main] is the whole program: one run from arguments to exit code. The grammar
// lists the commands. Those about processes, and the small ones, are files here;
// others have a package, next to their noun if they have one. Package resource
// lists the nouns, package verb has the commands that are the same for each (get,
// describe, create, apply, delete), and package session what commands share.
//
// # Manners
//
//   - stdout is for data, stderr for everything else. Nothing that the user did
//     not ask for is written to stdout.
//   - A failure is one line "error: what (object)" and mostly a second one
//     "fix: what to do"; with -o json it is JSON on stderr. Exit codes are those
//     of internal/fault.
//   - Text of strangers (names, logs, outputs) cannot steer the terminal.
package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/internal/cli/help"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/cli/reference"
	"github.com/ruedo-dev/ruedo/internal/cli/resource"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// Version of the program; the linker sets it.
var Version = "devel"

// Process is what surrounds one run of the program.
type Process struct {
	// Args without the program's name.
	Args []string
	// Env as os.Environ returns it.
	Env            []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// SDK is the source of the SDK for `ruedo new`: sdk/*.go, internal/abi/*.go
	// and LICENSE.
	SDK fs.FS
}

// Main runs the program once and returns its exit code. The first interrupt ends
// it gently, the second one immediately.
func Main(ctx context.Context, p Process) int {
	if len(p.Args) == 1 && p.Args[0] == compilerArg {
		return sandbox.CompileChild(p.Stdin, p.Stdout)
	}
	if len(p.Args) == 1 && p.Args[0] == hasherArg {
		return core.HashChild(p.Stdin, p.Stdout)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	// Without this a closed pipe kills the process before it can clean up.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)

	s := &session.Session{
		Ctx:     ctx,
		Env:     p.Env,
		In:      p.Stdin,
		Out:     session.Pipe(p.Stdout),
		Err:     p.Stderr,
		SDK:     p.SDK,
		Version: version(),
	}
	err := run(s, p.Args, resource.All())
	return s.Exit(errors.Join(err, s.Close()))
}

// compilerArg makes this program the child that compiles modules for a runner.
// It is for no one else: it reads a module from stdin and limits itself first.
const compilerArg = "__compile"

// hasherArg makes this program the child that hashes passwords for a core.
const hasherArg = "__hash"

// run parses the arguments, resolves the settings and runs the command. nouns
// are what get, describe and the like know.
func run(s *session.Session, args []string, nouns []*verb.Noun) error {
	guessOutput(s, args)
	commands, words := verb.Grammar(nouns)
	g := &grammar{Commands: commands, Complete: completeCmd{nouns: nouns}, Help: helpCmd{topics: reference.Topics(nouns)}}
	helped := false
	parser, err := newParser(s, g, words, &helped)
	if err != nil {
		return err
	}
	kctx, err := parser.Parse(args)
	if helped {
		return nil
	}
	if err != nil {
		return usage(err)
	}
	flags, err := flagsOf(kctx, g)
	if err != nil {
		return err
	}
	o := session.Options{
		ConfigFile: g.ConfigFile, Flags: flags, Format: output.Format(g.Output), NoHeaders: g.NoHeaders, Verbose: g.Verbose,
	}
	if g.Raw {
		o.Format = output.JSON
	}
	if err := configure(s, o); err != nil {
		return err
	}
	return kctx.Run(s)
}

func configure(s *session.Session, o session.Options) (err error) {
	if s.Compiler, err = sandbox.CompilerCommand(compilerArg); err != nil {
		return err
	}
	if s.Hasher, err = sandbox.CompilerCommand(hasherArg); err != nil {
		return err
	}
	return s.Configure(o)
}

// bareCmd is `ruedo` without a command: what the mode says, or help.
type bareCmd struct{}

func (*bareCmd) Run(s *session.Session, k *kong.Context) error {
	switch s.Settings.Application.Mode {
	case session.ModeServer:
		return (&serverCmd{}).Run(s)
	case session.ModeRunner:
		return (&runnerCmd{}).Run(s)
	}
	return help.Command(s.Out, s.Columns(page.Width), k.Model.Node, k.Model.Node)
}

// newParser returns the parser of the command line. It sets helped when the
// arguments ask for help, which it prints.
func newParser(s *session.Session, g *grammar, words kong.Vars, helped *bool) (*kong.Kong, error) {
	parser, err := kong.New(g,
		kong.Name("ruedo"),
		kong.Description("Publish WebAssembly services and call them, on this machine or on a fleet of runners."),
		kong.Writers(s.Out, s.Err),
		kong.Help(func(_ kong.HelpOptions, k *kong.Context) error {
			return help.Command(s.Out, s.Columns(page.Width), k.Model.Node, cmp.Or(k.Selected(), k.Model.Node))
		}),
		// Called after help was printed. Parsing goes on, but its result is not
		// used.
		kong.Exit(func(int) { *helped = true }),
		kong.Bind(s),
		groups(),
		words,
		kong.Vars{"version": versionLine()},
		resource.Vars(),
		reference.Vars(g.Help.topics),
	)
	if err != nil {
		return nil, err
	}
	parser.Model.Name = "ruedo"
	parser.Model.HelpFlag.Help = "Show the help of a command."
	return parser, nil
}

// flagsOf returns the settings given on the command line, by name.
func flagsOf(k *kong.Context, g *grammar) (map[string]settings.Flag, error) {
	flags := make(map[string]settings.Flag)
	for _, p := range k.Path {
		if p.Flag == nil || p.Flag.Tag.Get(settings.Tag) == "" {
			continue
		}
		value := ""
		switch v := p.Flag.Target; v.Kind() {
		case reflect.Bool:
			value = "false"
			if v.Bool() {
				value = "true"
			}
		case reflect.Slice:
			list, _ := v.Interface().([]string)
			value = strings.Join(list, " ")
		default:
			value = v.String()
		}
		flags[p.Flag.Tag.Get(settings.Tag)] = settings.Flag{Name: "--" + p.Flag.Name, Value: value}
	}
	if !g.Local {
		return flags, nil
	}
	const mode = "application.mode"
	for _, name := range []string{mode, "client.host", settings.FlagProfile} {
		if f, ok := flags[name]; ok && f.Value != session.ModeLocal {
			return nil, fault.New(fault.Usage, "--local and %s %s exclude each other", f.Name, f.Value)
		}
	}
	flags[mode] = settings.Flag{Name: "--local", Value: session.ModeLocal}
	return flags, nil
}

// guessOutput finds -o before the arguments are parsed, so that errors of the
// parser are printed in the right format too.
func guessOutput(s *session.Session, args []string) {
	for i, arg := range args {
		name, given := strings.CutPrefix(arg, "--output=")
		if short, ok := strings.CutPrefix(arg, "-o"); ok && !given {
			name, given = strings.TrimPrefix(short, "="), true
		}
		if (arg == "-o" || arg == "--output") && i+1 < len(args) {
			name, given = args[i+1], true
		}
		switch {
		case arg == "--raw", given && output.Format(name).IsJSON():
			s.Print.Format = output.JSON
		case arg == "--":
			return
		}
	}
}

// version returns Version, or the version of the Go module if the linker set
// none.
func version() string {
	if Version != "devel" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return Version
}
