package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/ruedo-dev/ruedo/internal/cli/derive"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// build builds a service outside its directory, so that publishing leaves
// nothing behind in it, and passes the module to built. Meanwhile it reads the
// types of the handler.
func build(s *session.Session, p *project.Service, last *derive.Listing, built func(wasm []byte)) (derive.Schemas, error) {
	none := derive.Schemas{}
	dir, err := os.MkdirTemp("", "ruedo-build-")
	if err != nil {
		return none, session.FileError(err, "cannot create a temporary directory", os.TempDir())
	}
	defer os.RemoveAll(dir)
	tools, err := p.Toolchain(s.Ctx, s.Env)
	if err != nil {
		return none, err
	}
	types := readTypes(s, p, tools, last)
	wasm, err := buildModule(s, p, tools, filepath.Join(dir, p.Name+".wasm"))
	if err == nil {
		built(wasm)
	}
	return types(err == nil), err
}

func buildModule(s *session.Session, p *project.Service, tools *project.Toolchain, out string) ([]byte, error) {
	if err := p.BuildWith(s.Ctx, tools, out, s.Env, s.Err); err != nil {
		return nil, err
	}
	return project.ReadModule(out, s.Settings.Module.Limits().Size)
}

// readTypes begins to read the types of the handler. The result waits for them,
// or ends reading if they are not wanted. Types that cannot be read make no
// schema, with a warning.
func readTypes(s *session.Session, p *project.Service, tools *project.Toolchain, last *derive.Listing) func(wanted bool) derive.Schemas {
	if tools == nil || tools.Kind != project.KindFunction || p.Schema == "none" {
		return func(bool) derive.Schemas { return derive.Schemas{} }
	}
	ctx, cancel := context.WithCancel(s.Ctx)
	var schemas derive.Schemas
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		schemas, err = derive.Types(ctx, derive.Program{Dir: p.Dir, Tool: tools.Tool, Flags: tools.Flags, Env: tools.Env, Open: p.UnknownFields == "allow", Last: last})
	}()
	return func(wanted bool) derive.Schemas {
		if !wanted {
			cancel()
		}
		<-done
		cancel()
		if err != nil && wanted && !errors.Is(err, context.Canceled) {
			s.WarnOnce("types of "+p.Name+err.Error(), "the types of %s make no schema: %s", p.Name, output.Safe(err.Error()))
		}
		return schemas
	}
}

// Settle lays what the decorators that the cluster has say over what the types
// say, without a word: [Source.Publish] and [Source.Examine] do the same and warn.
func (src *Source) Settle(s *session.Session, core *client.Client) {
	if src.derived != nil {
		_ = src.fetchDecorators(s, core) // who needs them says what is missing
		_ = src.reconcile()
	}
}

// Reconcile lays what the known decorators say over what the types say, and warns
// of what no input can pass in both.
func (src *Source) Reconcile(s *session.Session) {
	src.reconciled = true
	for _, text := range src.reconcile() {
		s.WarnOnce(text, "%s", output.Safe(text))
	}
}

func (src *Source) reconcile() (contradictions []string) {
	if src.derived != nil {
		src.Request.InputSchema, contradictions = input.Reconcile(src.derived, src.Carried())
	}
	return contradictions
}
