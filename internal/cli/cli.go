// Package cli is the command line of Ruedo, and the assembler of its programs:
// it alone knows how store, core and runner become a process.
//
// [Main] is the whole program: one run from arguments to exit code. Each
// command has a file of its own; what they share is in app.go.
//
// # Manners
//
//   - stdout is data, stderr is talk. Nothing but what was asked for is written
//     to stdout.
//   - A failure is one line "error: what (object)" and mostly a second one
//     "fix: what to do"; with -o json it is JSON on stderr. Exit codes are those
//     of internal/fault.
//   - Text of others (names, logs, outputs) cannot steer the terminal.
package cli

import (
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

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// Version of the program; the linker sets it.
var Version = "devel"

// Process is what surrounds one run of the program.
type Process struct {
	// Args without the program's name.
	Args []string
	// Env as os.Environ gives it.
	Env            []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// SDK is the source of the SDK for `ruedo new`: sdk/*.go, internal/abi/*.go
	// and LICENSE.
	SDK fs.FS
}

// Main runs the program once and gives its exit code. An interrupt ends it
// gently, a second one at once.
func Main(ctx context.Context, p Process) int {
	if len(p.Args) == 1 && p.Args[0] == compilerArg {
		return sandbox.CompileChild(p.Stdin, p.Stdout)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	// Without this a closed pipe kills the process before it can tidy up.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)

	a := &app{
		ctx:    ctx,
		env:    p.Env,
		in:     p.Stdin,
		out:    &pipeWriter{w: p.Stdout},
		talkTo: p.Stderr,
		sdk:    p.SDK,
	}
	err := a.run(p.Args)
	return a.exit(errors.Join(err, a.close()))
}

// compilerArg makes this program the child that compiles modules for a runner.
// It is for no one else: it reads a module from stdin and limits itself first.
const compilerArg = "__compile"

// run parses the arguments, resolves the settings and runs the command.
func (a *app) run(args []string) error {
	a.guessOutput(args)
	g := &grammar{}
	helped := false
	parser, err := a.parser(g, &helped)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return a.bare(parser)
	}
	kctx, err := parser.Parse(args)
	if helped {
		return nil
	}
	if err != nil {
		return usage(err)
	}
	if err := a.configure(&g.globals, flagsOf(kctx)); err != nil {
		return err
	}
	return kctx.Run(a)
}

// bare is `ruedo` alone: what the mode says, or help.
func (a *app) bare(parser *kong.Kong) error {
	if err := a.configure(&globals{}, nil); err != nil {
		return err
	}
	switch a.settings.Application.Mode {
	case modeServer:
		return (&serverCmd{}).Run(a)
	case modeRunner:
		return (&runnerCmd{}).Run(a)
	}
	return a.help(parser, nil)
}

func (a *app) parser(g *grammar, helped *bool) (*kong.Kong, error) {
	parser, err := kong.New(g,
		kong.Name("ruedo"),
		kong.Description("Publish WebAssembly services and call them, on this machine or on a fleet of runners."),
		kong.Vars{"limits": limits.Usage()},
		kong.Writers(a.out, a.talkTo),
		kong.Help(func(_ kong.HelpOptions, k *kong.Context) error { return a.printHelp(k.Model.Node, k.Selected()) }),
		// Called after help was printed; parsing goes on and its result is
		// not looked at.
		kong.Exit(func(int) { *helped = true }),
		kong.Bind(a),
	)
	if err != nil {
		return nil, err
	}
	parser.Model.Name = "ruedo"
	describeSettings(parser.Model.Node)
	return parser, nil
}

// settingTag ties a flag to the setting that it overrides.
const settingTag = "setting"

// describeSettings gives the flags of settings their help.
func describeSettings(n *kong.Node) {
	for _, f := range n.Flags {
		if e, ok := settings.Lookup(f.Tag.Get(settingTag)); ok && f.Help == "" {
			f.Help = e.Help
			if e.Default != "" && e.Type != "true/false" {
				f.Help += " (default " + e.Default + ")"
			}
		}
	}
	for _, c := range n.Children {
		describeSettings(c)
	}
}

// flagsOf gives the flags of settings that the command line has.
func flagsOf(k *kong.Context) map[string]settings.Flag {
	flags := make(map[string]settings.Flag)
	for _, p := range k.Path {
		if p.Flag == nil || p.Flag.Tag.Get(settingTag) == "" {
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
		flags[p.Flag.Tag.Get(settingTag)] = settings.Flag{Name: "--" + p.Flag.Name, Value: value}
	}
	return flags
}

// guessOutput finds -o before the arguments are parsed, so that errors of the
// parser come out in the right form too.
func (a *app) guessOutput(args []string) {
	for i, arg := range args {
		switch {
		case arg == "--raw", arg == "-ojson", arg == "-o=json", arg == "--output=json",
			(arg == "-o" || arg == "--output") && i+1 < len(args) && args[i+1] == "json":
			a.print.Format = output.JSON
		case arg == "--":
			return
		}
	}
}

// usage makes a parser's complaint an error with exit code 2.
func usage(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	e := fault.Wrap(err, fault.Usage, "%s", err.Error())
	e.Fix = "ruedo --help"
	if pe, ok := errors.AsType[*kong.ParseError](err); ok && pe.Context != nil {
		if n := pe.Context.Selected(); n != nil {
			e.Fix = n.FullPath() + " --help"
		} else if c := pe.Context.Command(); c != "" {
			e.Fix = "ruedo " + c + " --help"
		}
	}
	return e
}

// version is Version, or the module's where it was built without a linker flag.
func version() string {
	if Version != "devel" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return Version
}
