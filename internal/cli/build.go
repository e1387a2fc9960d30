package cli

import (
	"os"
	"path/filepath"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// maxModule is the size that a core accepts by default.
const maxModule = 32 << 20

// buildCmd is `ruedo build`.
type buildCmd struct {
	Dir string `arg:"" optional:"" default:"." help:"Folder of the service; the current one where it is left out."`
	Out string `placeholder:"FILE" help:"File to write; NAME.wasm in the folder where it is left out."`
}

func (*buildCmd) Examples() []string {
	return []string{"ruedo build", "ruedo build examples/greet --out greet.wasm"}
}

func (c *buildCmd) Run(a *app) error {
	s, err := project.Load(c.Dir)
	if err != nil {
		return err
	}
	out := c.Out
	if out == "" {
		out = filepath.Join(c.Dir, s.Name+".wasm")
	}
	start := time.Now()
	if err := s.Build(a.ctx, out, a.env, a.talkTo); err != nil {
		return about(err, "service %s", s.Name)
	}
	wasm, err := project.ReadModule(out, maxModule)
	if err != nil {
		return err
	}
	info, err := admit(wasm)
	if err != nil {
		return about(err, "module %s", out)
	}
	built := struct {
		Name   string `json:"name"`
		File   string `json:"file"`
		Digest string `json:"digest"`
		Size   int    `json:"size_bytes"`
		Kind   string `json:"kind"`
	}{s.Name, out, client.Digest(wasm), len(wasm), string(info.Kind)}
	if a.print.Format == output.Name {
		return a.say("%s", out)
	}
	if !a.print.ForPeople() {
		return a.print.Value(built)
	}
	return a.say("built %s: %s, %s, %s, in %s", out, built.Kind, output.Size(uint64(len(wasm))), output.Digest(built.Digest), output.Duration(time.Since(start)))
}

// buildTemp builds a service outside its folder, so that publishing leaves
// nothing behind in it.
func (a *app) buildTemp(s *project.Service) ([]byte, error) {
	dir, err := os.MkdirTemp("", "ruedo-build-")
	if err != nil {
		return nil, fileError(err, "cannot make a temporary folder", os.TempDir())
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, s.Name+".wasm")
	if err := s.Build(a.ctx, out, a.env, a.talkTo); err != nil {
		return nil, err
	}
	return project.ReadModule(out, maxModule)
}
