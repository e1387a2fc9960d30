// Package source takes a service from where it is written to a cluster.
//
// [Open] reads a directory, which it builds, or a .wasm file. [Source.Examine]
// checks the module on this machine, in the sandbox that runners have, and
// [Source.Publish] uploads it and makes it live. `ruedo check`, `ruedo publish`
// and `ruedo apply` are made of these three.
package source

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/absent"
	"github.com/ruedo-dev/ruedo/internal/cli/delta"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// Source is a service that can be published.
type Source struct {
	// Request has all fields but the module's digest.
	Request *ruedov1.PublishServiceRequest
	Wasm    []byte
	// Decorators are those that are defined next to the service.
	Decorators []*ruedov1.Decorator

	// Ahead are decorators that will be written before the service: those of
	// other documents.
	Ahead []*ruedov1.Decorator
	// Absent is what the program uses although a guest does not have it, after
	// Examine.
	Absent []absent.Finding

	// info is what admission found; nil if the module is not admitted, and refused says
	// why.
	info    *wasmbin.Info
	refused error
	path    string // of the directory or file
	dir     string // of Go source; "" if the module was built otherwise
	// derived is the input schema that the types make; nil if there is none.
	derived    *structpb.Struct
	reconciled bool // with all decorators
	// stored are the other ones that it names: as Ahead, or the cluster, has them.
	stored  []*ruedov1.Decorator
	changes map[string][]delta.Change // of decorators that exist, by name; see Compare
}

// Kind returns the kind of the service, unspecified if its module is not admitted.
func (src *Source) Kind() ruedov1.Kind {
	if src.info == nil {
		return ruedov1.Kind_KIND_UNSPECIFIED
	}
	return ruedov1.Kind(ruedov1.Kind_value["KIND_"+strings.ToUpper(string(src.info.Kind))])
}

// Name returns the name of the service.
func (src *Source) Name() string { return src.Request.GetName() }

// Open builds a directory, or reads a .wasm file. An empty name means the one
// that the source has. The overlay comes over what the directory says.
func Open(s *session.Session, path, name string, over Overlay) (*Source, error) {
	return open(s, path, name, over, func(*Source) {})
}

// open is Open. It passes a source that it has built to built, as soon as that has
// its module.
func open(s *session.Session, path, name string, over Overlay, built func(*Source)) (*Source, error) {
	st, err := os.Stat(path)
	switch {
	case err == nil && !st.IsDir():
		return openModule(s, path, name, over)
	case err != nil && filepath.Ext(path) != "" && filepath.Base(path) != filepath.Ext(path):
		return nil, session.FileError(err, "cannot read", path)
	}
	p, err := project.Load(path)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = p.Name
	}
	if err := project.CheckName("service", name); err != nil {
		return nil, err
	}
	src := &Source{path: path}
	if len(p.Command) == 0 {
		src.dir = path
	}
	if src.Decorators, err = project.Decorators(path); err != nil {
		return nil, err
	}
	isolation, err := project.ParseIsolation(p.Isolation)
	if err != nil {
		return nil, err
	}
	src.Request = &ruedov1.PublishServiceRequest{
		Name: name, Description: p.Description, Tags: p.Tags, Decorators: p.Decorators, Env: p.Env.Strings(), Args: p.Args.Strings(), Isolation: isolation,
		Placement: string(p.Placement), Routes: p.Routes,
	}
	if err := over.Apply(src.Request); err != nil {
		return nil, err
	}
	s.Progressf("building %s", name)
	began := time.Now()
	types, err := build(s, p, over.Listing, func(wasm []byte) {
		src.Wasm = wasm
		built(src)
		src.info, src.refused = Admit(s, wasm) // Examine returns the error
	})
	if err != nil {
		return nil, session.About(err, "service %s", name)
	}
	if err := SetExample(src.Request, src.Kind(), p.Example, p.Dir); err != nil {
		return nil, err
	}
	if err := SetExample(src.Request, src.Kind(), over.Example, over.Dir); err != nil {
		return nil, err
	}
	if src.Request.InputSchema == nil {
		src.Request.InputSchema, src.derived = types.Input, types.Input
	}
	if src.Request.OutputSchema == nil {
		src.Request.OutputSchema = types.Output
	}
	s.Progressf("built in %s: %s", output.Duration(time.Since(began)), output.Size(uint64(len(src.Wasm))))
	return src, nil
}

// openModule reads a .wasm file.
func openModule(s *session.Session, path, name string, over Overlay) (*Source, error) {
	wasm, err := project.ReadModule(path, s.Settings.Module.Limits().Size)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(path, ".wasm") && !bytes.HasPrefix(wasm, []byte("\x00asm")) {
		_, err := Admit(s, wasm)
		return nil, session.About(err, "file %s", path)
	}
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(path), ".wasm")
		if err := project.CheckName("service", name); err != nil {
			return nil, fault.Wrap(err, fault.Usage, "cannot derive a service name from %s", path).WithFix("ruedo publish %s --name NAME", path)
		}
	}
	src := &Source{Request: &ruedov1.PublishServiceRequest{Name: name}, Wasm: wasm, path: path}
	src.info, src.refused = Admit(s, wasm) // Examine returns the error
	if err := over.Apply(src.Request); err != nil {
		return nil, err
	}
	return src, SetExample(src.Request, src.Kind(), over.Example, over.Dir)
}

// SetExample sets the example of a service of a kind as it is written, unless it is
// nil.
func SetExample(r *ruedov1.PublishServiceRequest, kind ruedov1.Kind, example any, dir string) (err error) {
	of := &project.Service{Dir: dir, Example: example}
	switch {
	case example == nil:
	case kind == ruedov1.Kind_KIND_HTTP:
		r.HttpExamples, err = of.HTTPExamples()
	default:
		r.Example, err = of.ExampleBytes()
	}
	return session.About(err, "service %s", r.GetName())
}

// Label returns a name for a module in a file whose own name cannot be that of a
// service; "" if Open can derive one.
func Label(path string) string {
	name := filepath.Base(path)
	if st, err := os.Stat(path); err != nil || st.IsDir() || project.CheckName("service", strings.TrimSuffix(name, ".wasm")) == nil {
		return ""
	}
	return name
}

// Examine checks the structure of the module and, if try is true, tries it in
// the sandbox, with the limits that it will have in the cluster. It warns of what
// the program uses and does not have there.
func (src *Source) Examine(s *session.Session, try bool) error {
	if src.refused != nil {
		return src.refused
	}
	info := src.info
	var unknown error
	if try {
		unknown = src.fetchDecorators(s, nil)
	}
	src.warn(s, info)
	if info.Kind != wasmbin.Command && len(src.Request.GetArgs()) > 0 {
		what := "a function"
		if info.Kind == wasmbin.HTTP {
			what = "of kind http"
		}
		return fault.New(fault.RequestInvalid, "%s is %s: arguments are for commands", src.Name(), what).
			WithFix("remove --arg and args, or pass the values with --env")
	}
	if !try {
		return nil
	}
	if unknown != nil {
		return unknown
	}
	src.Reconcile(s)
	s.Progressf("checking: %s, %s, %s", info.Kind, output.Size(uint64(len(src.Wasm))), text.Count(len(info.Imports), "import"))
	report, err := src.Try(s)
	if err != nil {
		return err
	}
	for _, line := range report.Lines(s.Verbose) {
		s.Progressf("  %s", line)
	}
	return nil
}
