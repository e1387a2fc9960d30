package absent

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	// sdkPath is the module whose packages are not the author's, although a copy of
	// them can be next to the service.
	sdkPath = "github.com/ruedo-dev/ruedo"
	// maxPackages bounds how many packages are read.
	maxPackages = 500
)

// Options says what the program is built into.
type Options struct {
	// Command reports a program that starts again for each call, so nothing of it
	// is in a snapshot. Otherwise it is a function, whose main does not run.
	Command bool
	// Zones reports that the module contains the time zones; see [HasZones].
	Zones bool
	// Dials reports that the module can ask the host for the network, as package
	// sdk/web does; see [Dials].
	Dials bool
	// Granted reports that a decorator grants it some, or may do so.
	Granted bool
}

// Source returns what the program in dir uses, as far as its author's packages
// say so. Paths begin with dir. What cannot be read is left out: the compiler
// reports it.
func Source(dir string, o Options) []Finding {
	s := &search{options: o, rules: rules(), modules: modulesOf(dir), uses: make(map[Thing][]Use), seen: make(map[string]bool)}
	s.context = build.Default
	s.context.GOOS, s.context.GOARCH, s.context.CgoEnabled = "wasip1", "wasm", false
	s.pkg(dir)
	return group(s.uses)
}

// search is one look at a program.
type search struct {
	options Options
	rules   map[string][]rule
	modules []module
	context build.Context
	uses    map[Thing][]Use
	seen    map[string]bool // directories of packages
}

// pkg looks at a package and at those of the same author that it imports.
func (s *search) pkg(dir string) {
	if s.seen[dir] || len(s.seen) >= maxPackages {
		return
	}
	s.seen[dir] = true
	p, err := s.context.ImportDir(dir, 0)
	if err != nil && p == nil {
		return
	}
	for _, name := range p.GoFiles {
		s.file(filepath.Join(dir, name))
	}
	for _, imported := range slices.Sorted(slices.Values(p.Imports)) {
		if strings.HasPrefix(imported+"/", sdkPath+"/sdk/") || strings.HasPrefix(imported, sdkPath+"/internal/") {
			continue
		}
		if in := dirOf(s.modules, imported); in != "" {
			s.pkg(in)
		}
	}
}

// file looks at a file.
func (s *search) file(name string) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, nil, 0)
	if f == nil || err != nil {
		return
	}
	imports := make(map[string]string) // names to paths, of packages that have rules
	for _, i := range f.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		if s.rules[p] == nil {
			continue
		}
		local := path.Base(strings.TrimSuffix(p, "/v2"))
		if i.Name != nil {
			local = i.Name.Name
		}
		imports[local] = p
	}
	if len(imports) == 0 {
		return
	}
	v := &visitor{s: s, fset: fset, file: name, imports: imports, called: seeds(f, imports)}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && fn.Recv == nil && fn.Name.Name == "main" && !s.options.Command {
			continue // it runs only outside of a module
		}
		v.start = !ok || fn.Recv == nil && fn.Name.Name == "init"
		v.look(d)
	}
}

// visitor looks at the syntax of one file.
type visitor struct {
	s       *search
	fset    *token.FileSet
	file    string
	imports map[string]string
	called  bool // the author seeds math/rand
	start   bool // what is looked at runs before the snapshot
}

func (v *visitor) look(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			was := v.start
			v.start = false // it runs whenever it is called
			v.look(n.Body)
			v.start = was
			return false
		case *ast.CompositeLit:
			v.made(n.Type, n)
		case *ast.ValueSpec:
			v.made(n.Type, nil)
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "new" && len(n.Args) == 1 {
				v.made(n.Args[0], nil)
			}
			if v.named(n) {
				for _, arg := range n.Args {
					v.look(arg)
				}
				return false
			}
		case *ast.SelectorExpr:
			v.use(n)
		}
		return true
	})
}

// path returns the package and the name that an expression selects, if the
// package has rules. A variable with the name of a package is not that package.
func (v *visitor) path(e ast.Expr) (pkg, name string) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok || id.Obj != nil {
		return "", ""
	}
	return v.imports[id.Name], sel.Sel.Name
}

// through returns the thing of a rule. What goes through http.DefaultTransport is
// the host's to do in a module that can ask for it.
func (v *visitor) through(r rule) Thing {
	if r.client && v.s.options.Dials {
		return outbound
	}
	return r.thing
}

func (v *visitor) use(sel *ast.SelectorExpr) {
	pkg, name := v.path(sel)
	for _, r := range v.s.rules[pkg] {
		if !r.names[name] {
			continue
		}
		switch {
		case r.when == made:
		case r.when == atStart && (!v.start || v.s.options.Command):
		case r.when == seeded && (v.called && pkg == "math/rand" || v.s.options.Command):
		case r.thing == zones && v.s.options.Zones:
		default:
			v.add(v.through(r), sel.Pos(), pkg+"."+name)
		}
	}
}

// made adds the type of a value that is made. A client with a transport of the
// author's own needs what the transport needs.
func (v *visitor) made(t ast.Expr, lit *ast.CompositeLit) {
	pkg, name := v.path(t)
	for _, r := range v.s.rules[pkg] {
		if r.when == made && r.names[name] && !(name == "Client" && lit != nil && hasKey(lit, "Transport")) {
			v.add(v.through(r), t.Pos(), pkg+"."+name)
		}
	}
}

func hasKey(lit *ast.CompositeLit, name string) bool {
	return slices.ContainsFunc(lit.Elts, func(e ast.Expr) bool {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return false
		}
		id, ok := kv.Key.(*ast.Ident)
		return ok && id.Name == name
	})
}

// named reports whether a call loads a zone that needs no files.
func (v *visitor) named(call *ast.CallExpr) bool {
	if pkg, name := v.path(call.Fun); pkg != "time" || name != "LoadLocation" || len(call.Args) != 1 {
		return false
	}
	lit, ok := call.Args[0].(*ast.BasicLit)
	return ok && slices.Contains([]string{`""`, `"UTC"`, `"Local"`}, lit.Value)
}

func (v *visitor) add(t Thing, at token.Pos, name string) {
	if t == outbound && v.s.options.Granted {
		return
	}
	u := Use{v.file, v.fset.Position(at).Line, name}
	if !slices.Contains(v.s.uses[t], u) {
		v.s.uses[t] = append(v.s.uses[t], u)
	}
}

// seeds reports whether a file seeds math/rand.
func seeds(f *ast.File, imports map[string]string) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Seed" {
			id, ok := sel.X.(*ast.Ident)
			found = found || ok && id.Obj == nil && imports[id.Name] == "math/rand"
		}
		return true
	})
	return found
}
