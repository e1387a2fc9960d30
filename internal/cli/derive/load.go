package derive

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// maxList bounds what the go command may print, in bytes.
	maxList = 32 << 20
	// maxSource bounds the files of one package that is read, in bytes.
	maxSource = 16 << 20
	// maxSearched bounds the packages that are searched for the handler.
	maxSearched = 8
)

// listed is a package as the go command describes it.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles, Imports        []string
	ImportMap               map[string]string
	Standard, DepOnly       bool
	Module                  *module
	Error                   *struct{ Err string }
}

// source is a program, and what of it was read.
type source struct {
	fset     *token.FileSet
	packages map[string]*listed // by import path
	order    []*listed          // what is imported comes first
	imports  types.Importer
	checked  map[string]*checked // by import path; nil if it cannot be read
	fields   map[token.Pos]*ast.Field
	specs    map[token.Pos]string // comments of types, by the position of the name
}

// checked is a package whose source was read.
type checked struct {
	*types.Package
	info *types.Info
	err  error // the first of several
}

// load finds out the packages of a program.
func load(ctx context.Context, p Program) (*source, error) {
	s := &source{
		fset: token.NewFileSet(), packages: map[string]*listed{}, checked: map[string]*checked{},
		fields: map[token.Pos]*ast.Field{}, specs: map[token.Pos]string{},
	}
	if p.Last != nil {
		s.order = p.Last.of(p)
	}
	if s.order == nil {
		began := time.Now()
		var err error
		if s.order, err = list(ctx, p); err != nil {
			return nil, err
		}
		if p.Last != nil {
			p.Last.keep(p, s.order, began)
		}
	}
	for _, l := range s.order {
		s.packages[l.ImportPath] = l
	}
	s.imports = importer.ForCompiler(s.fset, "gc", func(path string) (io.ReadCloser, error) {
		l := s.packages[path]
		if l == nil || l.Export == "" {
			return nil, fmt.Errorf("package %s has no export data", path)
		}
		return os.Open(l.Export)
	})
	return s, nil
}

// list asks the go command for the packages of a program. What is imported comes
// first.
func list(ctx context.Context, p Program) ([]*listed, error) {
	args := append([]string{"list", "-e", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Imports,ImportMap,Standard,DepOnly,Module,Error"}, p.Flags...)
	cmd := exec.CommandContext(ctx, p.Tool, append(args, ".")...)
	cmd.Dir, cmd.Env = p.Dir, p.Env
	var out, messages limited
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, bytes.TrimSpace(messages.data))
	}
	var packages []*listed
	dec := json.NewDecoder(bytes.NewReader(out.data))
	for {
		l := new(listed)
		err := dec.Decode(l)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, l)
	}
	return packages, nil
}

// limited keeps what is written to it, up to maxList bytes.
type limited struct{ data []byte }

func (l *limited) Write(b []byte) (int, error) {
	if len(l.data)+len(b) > maxList {
		return 0, fmt.Errorf("more than %d bytes", maxList)
	}
	l.data = append(l.data, b...)
	return len(b), nil
}

// handler returns the types of the program's handler. They are nil if there is
// no call of sdk.Handle.
func (s *source) handler() (in, out types.Type, err error) {
	var root *listed
	var others []*listed
	for _, l := range s.order {
		switch {
		case !l.DepOnly:
			root = l
		case !l.Standard && slices.Contains(l.Imports, SDK):
			others = append(others, l)
		}
	}
	if root == nil {
		return nil, nil, errors.New("there is no package")
	}
	var failed error
	for _, l := range append([]*listed{root}, others[:min(len(others), maxSearched)]...) {
		if !slices.Contains(l.Imports, SDK) {
			continue
		}
		c := s.check(l, true)
		failed = cmp.Or(failed, c.err)
		for ident, instance := range c.info.Instances {
			if f, ok := c.info.Uses[ident].(*types.Func); !ok || f.Pkg() == nil || f.Pkg().Path() != SDK || f.Name() != "Handle" || instance.TypeArgs.Len() != 2 {
				continue
			}
			i, o := types.Unalias(instance.TypeArgs.At(0)), types.Unalias(instance.TypeArgs.At(1))
			if in != nil && !(types.Identical(in, i) && types.Identical(out, o)) {
				return nil, nil, errors.New("sdk.Handle is called with handlers of different types")
			}
			in, out = i, o
		}
		if in != nil {
			break
		}
	}
	switch {
	case in == nil:
		return nil, nil, failed
	case isParameter(in), isParameter(out):
		return nil, nil, errors.New("the types of the handler are type parameters: call sdk.Handle where they are known")
	}
	return in, out, nil
}

func isParameter(t types.Type) bool {
	_, is := t.(*types.TypeParam)
	return is
}

// check reads the source of a package. Its functions are read only if bodies is
// true.
func (s *source) check(l *listed, bodies bool) *checked {
	if c := s.checked[l.ImportPath]; c != nil {
		return c
	}
	c := &checked{info: &types.Info{Instances: map[*ast.Ident]types.Instance{}, Uses: map[*ast.Ident]types.Object{}}}
	s.checked[l.ImportPath] = c
	var files []*ast.File
	size := int64(0)
	for _, name := range l.GoFiles {
		path := filepath.Join(l.Dir, name)
		if st, err := os.Stat(path); err == nil {
			size += st.Size()
		}
		if size > maxSource {
			c.err = fmt.Errorf("package %s has more than %d bytes of source", l.ImportPath, maxSource)
			break
		}
		f, err := parser.ParseFile(s.fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			c.err = cmp.Or(c.err, err)
			continue
		}
		s.index(f)
		files = append(files, f)
	}
	conf := types.Config{
		Importer:         mapped{s, l.ImportMap},
		Sizes:            types.SizesFor("gc", "wasm"),
		IgnoreFuncBodies: !bodies,
		Error:            func(err error) { c.err = cmp.Or(c.err, err) },
	}
	c.Package, _ = conf.Check(l.ImportPath, s.fset, files, c.info) // Error has the error
	return c
}

// mapped imports packages under the names that a package has for them.
type mapped struct {
	s     *source
	names map[string]string
}

func (m mapped) Import(path string) (*types.Package, error) {
	return m.s.imports.Import(cmp.Or(m.names[path], path))
}

// index remembers the comments of a file.
func (s *source) index(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			for _, spec := range n.Specs {
				t, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				doc := t.Doc.Text()
				if doc == "" && len(n.Specs) == 1 {
					doc = n.Doc.Text()
				}
				s.specs[t.Name.Pos()] = comment(doc)
			}
		case *ast.StructType:
			for _, field := range n.Fields.List {
				for _, name := range field.Names {
					s.fields[name.Pos()] = field
				}
			}
		}
		return true
	})
}

// origin returns the declaration of a named type in the source of its package,
// nil if it cannot be read. Packages of the standard library are not read.
func (s *source) origin(n *types.Named) types.Object {
	obj := n.Origin().Obj()
	if obj.Pkg() == nil {
		return nil
	}
	if c := s.checked[obj.Pkg().Path()]; c != nil && c.Package == obj.Pkg() {
		return obj
	}
	l := s.packages[obj.Pkg().Path()]
	if l == nil || l.Standard {
		return nil
	}
	c := s.check(l, false)
	if c.Package == nil {
		return nil
	}
	return c.Scope().Lookup(obj.Name())
}

// typeComment returns the comment of a named type.
func (s *source) typeComment(n *types.Named) string {
	if obj := s.origin(n); obj != nil {
		return s.specs[obj.Pos()]
	}
	return ""
}

// fieldComment returns the comment of field i of a struct; owner is the named
// type that the struct belongs to, or nil.
func (s *source) fieldComment(owner *types.Named, st *types.Struct, i int) string {
	pos := st.Field(i).Pos()
	if owner != nil {
		obj := s.origin(owner)
		if obj == nil {
			return ""
		}
		declared, ok := obj.Type().Underlying().(*types.Struct)
		if !ok || i >= declared.NumFields() {
			return ""
		}
		pos = declared.Field(i).Pos()
	}
	field := s.fields[pos]
	if field == nil {
		return ""
	}
	return cmp.Or(comment(field.Doc.Text()), comment(field.Comment.Text()))
}

// constants returns the values of the constants of a string type, in the order
// in which they are declared. It returns nil if they are not all known.
func (s *source) constants(n *types.Named) []string {
	obj := s.origin(n)
	if obj == nil || obj.Pkg() == nil || n.TypeArgs().Len() > 0 {
		return nil
	}
	scope := obj.Pkg().Scope()
	var found []*types.Const
	for _, name := range scope.Names() {
		if c, ok := scope.Lookup(name).(*types.Const); ok && types.Identical(types.Unalias(c.Type()), obj.Type()) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b *types.Const) int { return cmp.Compare(a.Pos(), b.Pos()) })
	var values []string
	for _, c := range found {
		if v := constantText(c); !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values
}

// comment returns a comment as one line of bounded length.
func comment(text string) string {
	line := strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "")
	if len(line) <= maxDescription {
		return line
	}
	cut := line[:maxDescription]
	if i := strings.LastIndexByte(cut, ' '); i > 0 {
		cut = cut[:i]
	}
	return strings.ToValidUTF8(cut, "") + " ..."
}
