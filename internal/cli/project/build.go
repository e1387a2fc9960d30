package project

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// sdkImport makes a Go program a function, and webImport one of kind http. Both are
// built as a reactor, and what the module is its exports say.
const (
	sdkImport = "github.com/ruedo-dev/ruedo/sdk"
	webImport = sdkImport + "/web"
)

// outPlaceholder stands for the file to write in a build command.
const outPlaceholder = "{out}"

// Build builds the module of the service and writes it to out. The compiler's
// output goes to messages. env is the environment to build in, as os.Environ
// returns it.
//
// The same source and compiler produce the same module, byte for byte: it
// contains no path, time or version control state, so that publishing it again
// changes nothing. Names of functions are kept for the traces of traps; leaving
// them out would save two per cent.
func (s *Service) Build(ctx context.Context, out string, env []string, messages io.Writer) error {
	t, err := s.Toolchain(ctx, env)
	if err != nil {
		return err
	}
	return s.BuildWith(ctx, t, out, env, messages)
}

// BuildWith is Build with the toolchain that [Service.Toolchain] has returned for
// the same environment.
func (s *Service) BuildWith(ctx context.Context, t *Toolchain, out string, env []string, messages io.Writer) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return fault.Wrap(err, fault.BuildFailed, "%s cannot be written", out)
	}
	if t == nil {
		return s.buildByCommand(ctx, out, env, messages)
	}
	args := append([]string{"build"}, t.Flags...)
	args = append(args, "-ldflags=-buildid=")
	if t.Kind != KindCommand {
		args = append(args, "-buildmode=c-shared")
	}
	args = append(args, "-o", out, ".")
	err = s.run(ctx, t.Tool, args, t.Env, messages)
	if err != nil && ctx.Err() == nil {
		return s.loose(ctx, t, err)
	}
	return err
}

// Toolchain is how the packages of a Go program are compiled. Whoever uses it for
// more than the build finds them compiled in the build cache.
type Toolchain struct {
	// Tool is the path of the go command.
	Tool string
	// Flags are its build flags, and Env is the environment that it runs in.
	Flags, Env []string
	// Kind is KindFunction, KindHTTP or KindCommand.
	Kind string
}

// Toolchain returns how the service is compiled, nil if a command of its own
// builds it.
func (s *Service) Toolchain(ctx context.Context, env []string) (*Toolchain, error) {
	if len(s.Command) > 0 {
		return nil, nil
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, fault.Wrap(err, fault.BuildFailed, "go is not on the PATH: it is needed to build %s", s.Name).
			WithFix("install Go 1.26 or newer from https://go.dev/dl")
	}
	kind, err := detectKind(s.Dir)
	switch {
	case err != nil:
		return nil, err
	case s.Kind == KindCommand && kind != KindCommand:
		return nil, fault.New(fault.ConfigInvalid, "%s: kind is command, but the program imports the SDK, whose handlers make a service of kind %s", filepath.Join(s.Dir, ServiceFile), kind).
			WithFix("kind: %s, or leave kind out", kind)
	case s.Kind != "":
		kind = s.Kind
	}
	t := &Toolchain{Tool: tool, Flags: []string{"-trimpath", "-buildvcs=false"}, Kind: kind}
	t.Env = append(env[:len(env):len(env)], "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if _, err := os.Stat(filepath.Join(s.Dir, "vendor", "modules.txt")); err == nil {
		// Use the vendored packages, whatever GOFLAGS or a workspace above say.
		t.Flags = append(t.Flags, "-mod=vendor")
		t.Env = append(t.Env, "GOWORK=off")
	} else if s.besideWorkspace(ctx, tool, t.Env) {
		t.Env = append(t.Env, "GOWORK=off")
	}
	return t, nil
}

// loose returns a better error for a build that failed because the directory is
// part of no Go module, else err.
func (s *Service) loose(ctx context.Context, t *Toolchain, err error) error {
	cmd := exec.CommandContext(ctx, t.Tool, "env", "GOMOD")
	cmd.Dir, cmd.Env = s.Dir, t.Env
	out, failed := cmd.Output()
	if file := string(bytes.TrimSpace(out)); failed != nil || file != "" && file != os.DevNull {
		return err
	}
	e := fault.New(fault.BuildFailed, "%s is in no Go module: there is no go.mod in it or above it", s.Dir)
	if t.Kind != KindCommand {
		return e.WithFix("ruedo new %s elsewhere, which has the SDK next to it, and copy these files over its own", s.Name)
	}
	return e.WithFix("go mod init %s, in %s", s.Name, s.Dir)
}

// besideWorkspace reports whether the directory is a module that a workspace
// above it does not use. Go refuses to build there until the workspace is off.
func (s *Service) besideWorkspace(ctx context.Context, tool string, env []string) bool {
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return false
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil || !mayHaveWorkspace(dir, env) {
		return false
	}
	ask := func(args ...string) []byte {
		cmd := exec.CommandContext(ctx, tool, args...)
		cmd.Dir, cmd.Env = dir, env
		out, _ := cmd.Output() // the build reports what is wrong
		return bytes.TrimSpace(out)
	}
	file := string(ask("env", "GOWORK"))
	if file == "" || file == "off" {
		return false
	}
	var workspace struct{ Use []struct{ DiskPath string } }
	if json.Unmarshal(ask("work", "edit", "-json", file), &workspace) != nil {
		return false
	}
	for _, use := range workspace.Use {
		member := filepath.FromSlash(use.DiskPath)
		if !filepath.IsAbs(member) {
			member = filepath.Join(filepath.Dir(file), member)
		}
		if same(member, dir) {
			return false
		}
	}
	return true
}

// mayHaveWorkspace reports whether there is a workspace to ask Go for: a file
// go.work in the directory or above it, or one that the environment names. Go has
// no other way to set one, and asking it takes a tenth of a small build.
func mayHaveWorkspace(dir string, env []string) bool {
	if slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "GOWORK=") }) {
		return true
	}
	above := func(dir string) bool {
		for ; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
				return true
			}
			if dir == filepath.Dir(dir) {
				return false
			}
		}
	}
	target, err := filepath.EvalSymlinks(dir)
	return above(dir) || err == nil && above(target)
}

func (s *Service) buildByCommand(ctx context.Context, out string, env []string, messages io.Writer) error {
	argv := make([]string, len(s.Command))
	named := false
	for i, a := range s.Command {
		argv[i] = strings.ReplaceAll(a, outPlaceholder, out)
		named = named || argv[i] != a
	}
	tool := argv[0]
	if strings.ContainsRune(tool, filepath.Separator) && !filepath.IsAbs(tool) {
		tool = filepath.Join(s.Dir, tool)
	}
	tool, err := exec.LookPath(tool)
	if err == nil {
		tool, err = filepath.Abs(tool)
	}
	if err != nil {
		return fault.Wrap(err, fault.BuildFailed, "%s is not on the PATH: ruedo.yaml names it to build %s", argv[0], s.Name)
	}
	made := out
	if !named {
		made = filepath.Join(s.Dir, s.Name+".wasm")
	}
	if err := s.run(ctx, tool, argv[1:], env, messages); err != nil {
		return err
	}
	if _, err := os.Stat(made); err != nil {
		return fault.Wrap(err, fault.BuildFailed, "the build command did not create %s", made).
			WithFix("use %s in ruedo.yaml for the file that the command must write", outPlaceholder)
	}
	if same(made, out) {
		return nil
	}
	data, err := os.ReadFile(made)
	if err == nil {
		err = os.WriteFile(out, data, 0o644)
	}
	if err != nil {
		return fault.Wrap(err, fault.BuildFailed, "%s cannot be written: %s", out, text.Cause(err))
	}
	return nil
}

func same(a, b string) bool {
	sa, err1 := os.Stat(a)
	sb, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(sa, sb)
}

func (s *Service) run(ctx context.Context, tool string, args, env []string, messages io.Writer) error {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = s.Dir
	cmd.Env = env
	cmd.Stdout = messages
	cmd.Stderr = messages
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 3 * time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fault.Wrap(err, fault.BuildFailed, "%s does not build: %s: %s", s.Name, filepath.Base(tool), err).
		WithFix("see what the compiler says above")
}

// detectKind reads the imports of the Go files in a directory: a program that
// imports sdk is a function, one that imports only sdk/web is of kind http, and any
// other is a command.
func detectKind(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fault.Wrap(err, fault.BuildFailed, "%s cannot be read: %s", dir, text.Cause(err))
	}
	files, kind := 0, KindCommand
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.ImportsOnly)
		if err != nil {
			continue // the compiler reports it better
		}
		for _, i := range f.Imports {
			switch path, _ := strconv.Unquote(i.Path.Value); path {
			case sdkImport:
				return KindFunction, nil
			case webImport:
				kind = KindHTTP
			}
		}
	}
	if files == 0 {
		return "", fault.New(fault.BuildFailed, "there are no Go files in %s", dir).
			WithFix("set build in %s, for example build: [cargo, build, --release]", ServiceFile)
	}
	return kind, nil
}

// ReadModule reads a module of at most max bytes.
func ReadModule(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		e := fault.Wrap(err, fault.RequestInvalid, "%s cannot be read: %s", path, text.Cause(err))
		if errors.Is(err, fs.ErrNotExist) {
			e.Fix = "ruedo build"
		}
		return nil, e
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, fault.Wrap(err, fault.RequestInvalid, "%s cannot be read: %s", path, text.Cause(err))
	}
	if int64(len(data)) > max {
		st, _ := f.Stat()
		size := "larger"
		if st != nil {
			size = limits.RoundSize(uint64(st.Size()))
		}
		return nil, fault.New(fault.UploadTooLarge, "%s has %s, the limit for a module is %s", path, size, limits.RoundSize(uint64(max))).
			WithFix(`make it smaller, for example with -ldflags="-s -w"; or raise module.size here, and for cores and runners`)
	}
	return data, nil
}
