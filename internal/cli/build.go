package cli

import (
	"path/filepath"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/source"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// buildCmd is `ruedo build`.
type buildCmd struct {
	Dir string `arg:"" optional:"" default:"." help:"Directory of the service. Default: the current one."`
	Out string `placeholder:"FILE" help:"File to write. Default: NAME.wasm in the directory of the service."`
}

func (*buildCmd) Examples() []string {
	return []string{"ruedo build", "ruedo build examples/greet --out greet.wasm"}
}

func (c *buildCmd) Run(s *session.Session) error {
	p, err := project.Load(c.Dir)
	if err != nil {
		return err
	}
	out := c.Out
	if out == "" {
		out = filepath.Join(c.Dir, p.Name+".wasm")
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
