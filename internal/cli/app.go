package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/ruedo-dev/ruedo/internal/cli/assemble"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// The modes.
const (
	modeLocal  = "local"
	modeClient = "client"
	modeServer = "server"
	modeRunner = "runner"
)

// app is one run of the program: what commands work with.
type app struct {
	ctx context.Context
	env []string
	in  io.Reader
	// out is stdout, for data; talkTo is stderr, for everything else.
	out    io.Writer
	talkTo io.Writer
	sdk    fs.FS

	settings *settings.Resolved
	print    output.Printer
	verbose  bool
	// quiet leaves out what is only said for people's comfort.
	quiet bool

	// compiler starts this program as the child that compiles modules.
	compiler []string

	core  *client.Client
	parts *assemble.Assembler
}

// configure resolves the settings and the ways of printing.
func (a *app) configure(g *globals, flags map[string]settings.Flag) (err error) {
	a.settings, err = settings.Resolve(settings.Input{Flags: flags, ConfigFile: g.ConfigFile, Env: a.env})
	if err != nil {
		return err
	}
	if a.compiler, err = sandbox.CompilerCommand(compilerArg); err != nil {
		return err
	}
	a.print = output.Printer{W: a.out, Format: output.Format(g.Output), NoHeaders: g.NoHeaders}
	if g.Raw {
		a.print.Format = output.JSON
	}
	a.verbose = g.Verbose
	if !a.quiet {
		for _, w := range a.settings.Warnings {
			a.talk("warning: %s", w)
		}
	}
	if a.verbose && a.settings.File != "" {
		a.talk("settings: %s", a.settings.File)
	}
	return nil
}

// talk says one line to the user.
func (a *app) talk(format string, args ...any) {
	fmt.Fprintf(a.talkTo, format+"\n", args...)
}

// say writes one line of data.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format+"\n", args...)
	return err
}

// logger is for the processes that run for long.
func (a *app) logger() *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(a.settings.Log.Level)) // settings allow only these
	opts := &slog.HandlerOptions{Level: level}
	if a.settings.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.talkTo, opts))
	}
	return slog.New(slog.NewTextHandler(a.talkTo, opts))
}

// assembler makes the processes that this one consists of.
func (a *app) assembler() *assemble.Assembler {
	if a.parts == nil {
		a.parts = &assemble.Assembler{Settings: a.settings, CacheDir: a.cacheDir(), Compiler: a.compiler, Version: version()}
		if !a.quiet {
			a.parts.Say = a.talk
		}
	}
	return a.parts
}

// close gives back what the command used.
func (a *app) close() error {
	if a.parts == nil {
		return nil
	}
	return a.parts.Close()
}

// connect gives a client of the core that the settings name; in mode local, of
// one in this process.
func (a *app) connect() (*client.Client, error) {
	if a.core != nil {
		return a.core, nil
	}
	url, local := a.target()
	if local {
		c, err := a.assembler().Local(a.ctx, a.quietLogger())
		if err != nil {
			return nil, err
		}
		a.core = c
		return c, nil
	}
	if a.verbose {
		a.talk("core: %s (client.host from %s)", url, a.settings.Origin("client.host"))
	}
	a.core = client.New(url)
	return a.core, nil
}

// target says which core to talk to, or that it is the one in this process.
func (a *app) target() (url string, local bool) {
	s := a.settings
	url = assemble.URL(s.Client.Host, s.Client.Port)
	switch s.Application.Mode {
	case modeLocal:
		return "", true
	case modeServer:
		// On the machine of a server its own address is the nearest.
		if !s.IsSet("client.host") {
			return "http://" + net.JoinHostPort(s.Server.ListenAddress, strconv.Itoa(s.Server.Port)), false
		}
		return url, false
	case modeClient, modeRunner:
		return url, false
	}
	if s.IsSet("client.host") || s.IsSet("client.port") || listening(a.ctx, url) {
		return url, false
	}
	return "", true
}

// listening tells whether anything answers at url, quickly.
func listening(ctx context.Context, url string) bool {
	d := net.Dialer{Timeout: 200 * time.Millisecond}
	c, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// quietLogger is for parts that serve a command: only what goes wrong matters.
func (a *app) quietLogger() *slog.Logger {
	return slog.New(atLeast{a.logger().Handler(), slog.LevelWarn})
}

// atLeast leaves out what is less important than min.
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

// cacheDir is the folder for modules and compiled code, or "" where the user
// has no place for it: a temporary one then.
func (a *app) cacheDir() string {
	if a.settings.Runner.CacheDir != "" {
		return a.settings.Runner.CacheDir
	}
	base := a.getenv("XDG_CACHE_HOME")
	if base == "" {
		if home := a.getenv("HOME"); home != "" {
			base = filepath.Join(home, ".cache")
		}
	}
	if base == "" {
		return ""
	}
	dir := filepath.Join(base, "ruedo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	return dir
}

// getenv is a variable of the environment that this run was given.
func (a *app) getenv(name string) string {
	value := ""
	for _, kv := range a.env {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			value = v
		}
	}
	return value
}

// terminal tells whether a stream is one.
func terminal(stream any) bool {
	if p, ok := stream.(*pipeWriter); ok {
		stream = p.w
	}
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// pipeWriter remembers that its reader went away.
type pipeWriter struct {
	w      io.Writer
	broken bool
}

func (p *pipeWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		p.broken = true
	}
	return n, err
}
