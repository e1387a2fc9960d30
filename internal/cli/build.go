package cli

import (
	"os"
	"path/filepath"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/source"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// buildCmd is `ruedo build`.
type buildCmd struct {
	Dir string `arg:"" optional:"" default:"." help:"Directory of the service. Default: the current one."`
	Out string `placeholder:"FILE" help:"File to write; - is stdout. Default: NAME.wasm in the directory of the service."`
}

func (*buildCmd) Examples() []string {
	return []string{"ruedo build", "ruedo build examples/greet --out greet.wasm", "ruedo build --out - | wasm-objdump -x -"}
}

func (c *buildCmd) Run(s *session.Session) error {
	p, err := project.Load(c.Dir)
	if err != nil {
		return err
	}
	out := c.Out
	switch out {
	case "":
		out = filepath.Join(c.Dir, p.Name+".wasm")
	case "-":
		if session.Terminal(s.Out) {
			return fault.New(fault.Usage, "a module is not shown on a terminal").WithFix("redirect stdout to a file, or leave out --out")
		}
		dir, err := os.MkdirTemp("", "ruedo-build-")
		if err != nil {
			return session.FileError(err, "cannot create a temporary directory", os.TempDir())
		}
		defer os.RemoveAll(dir)
		out = filepath.Join(dir, p.Name+".wasm")
	default:
		if st, err := os.Stat(out); err == nil && st.IsDir() {
			return fault.New(fault.Usage, "%s is a directory", out).WithFix("name a file in it: --out %s", filepath.Join(out, p.Name+".wasm"))
		}
	}
	start := time.Now()
	if err := p.Build(s.Ctx, out, s.Env, s.Err); err != nil {
		return session.About(err, "service %s", p.Name)
	}
	wasm, err := project.ReadModule(out, s.Settings.Module.Limits().Size)
	if err != nil {
		return err
	}
	info, err := source.Admit(s, wasm)
	if err != nil {
		return session.About(err, "module %s", out)
	}
	if c.Out == "-" {
		_, err := s.Out.Write(wasm)
		return err
	}
	built := struct {
		Name   string `json:"name"`
		File   string `json:"file"`
		Digest string `json:"digest"`
		Size   int    `json:"size_bytes"`
		Kind   string `json:"kind"`
	}{p.Name, out, client.Digest(wasm), len(wasm), string(info.Kind)}
	if s.Print.Format == output.Name {
		return s.Printf("%s", out)
	}
	if !s.Print.ForPeople() {
		return s.Print.Value(built)
	}
	return s.Printf("built %s: %s, %s, %s, in %s", out, built.Kind, output.Size(uint64(len(wasm))), output.Digest(built.Digest), output.Duration(time.Since(start)))
}
