package derive

import (
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Listing is what the go command said of a program, for the next time that its
// types are read. It is asked again if it could say something else: not if only
// what follows the imports has changed in the program's own package. The zero
// value is empty. It is not safe for concurrent use.
type Listing struct {
	program  Program
	packages []*listed
	stamps   map[string]stamp  // of the other files that the answer depends on, by path
	heads    map[string]string // of the program's own files; see heads
}

// stamp distinguishes a changed file from an unchanged one, or from none.
type stamp struct {
	size int64
	time time.Time
}

func stampOf(path string) stamp {
	st, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{st.Size(), st.ModTime()}
}

// tick is more than the clock of a file system can be late.
const tick = 10 * time.Millisecond

// keep keeps what the go command said since it began, or nothing if that may have
// changed already.
func (l *Listing) keep(p Program, packages []*listed, began time.Time) {
	*l = Listing{}
	if hasWorkspace(p) {
		return
	}
	p.Last = nil
	next := Listing{program: p, packages: packages, stamps: map[string]stamp{}}
	next.stamp(p.Tool)
	if dir, err := os.UserConfigDir(); err == nil {
		next.stamp(filepath.Join(dir, "go", "env"))
	}
	own := map[string]stamp{}
	for _, pkg := range packages {
		if pkg.Error != nil {
			return
		}
		if pkg.Standard || pkg.Module.fixed(pkg.Dir) {
			continue
		}
		if pkg.Module != nil {
			dir := filepath.Dir(pkg.Module.GoMod)
			next.stamp(pkg.Module.GoMod)
			next.stamp(filepath.Join(dir, "go.sum"))
			next.stamp(filepath.Join(dir, "vendor", "modules.txt"))
		}
		files, err := goFiles(pkg.Dir)
		if err != nil {
			return
		}
		for _, file := range files {
			if pkg.DepOnly {
				next.stamp(file)
			} else {
				own[file] = stampOf(file)
			}
		}
		if !pkg.DepOnly {
			if next.heads, err = heads(files); err != nil {
				return
			}
		}
	}
	for _, stamps := range []map[string]stamp{own, next.stamps} {
		for _, s := range stamps {
			if !s.time.Before(began.Add(-tick)) {
				return
			}
		}
	}
	*l = next
}

func (l *Listing) stamp(path string) { l.stamps[path] = stampOf(path) }

// of returns the answer about a program, nil if the go command must be asked.
func (l *Listing) of(p Program) []*listed {
	was := l.program
	if l.packages == nil || p.Dir != was.Dir || p.Tool != was.Tool || !slices.Equal(p.Flags, was.Flags) || !slices.Equal(p.Env, was.Env) || hasWorkspace(p) {
		return nil
	}
	for path, s := range l.stamps {
		if now := stampOf(path); now.size != s.size || !now.time.Equal(s.time) {
			return nil
		}
	}
	for _, pkg := range l.packages {
		// The build cache forgets, and never changes what it has.
		if pkg.DepOnly && pkg.Export != "" && stampOf(pkg.Export) == (stamp{}) {
			return nil
		}
		if pkg.Standard || pkg.Module.fixed(pkg.Dir) {
			continue
		}
		files, err := goFiles(pkg.Dir)
		if err != nil {
			return nil
		}
		if !pkg.DepOnly {
			if now, err := heads(files); err != nil || !maps.Equal(now, l.heads) {
				return nil
			}
			continue
		}
		for _, file := range files {
			if _, known := l.stamps[file]; !known {
				return nil
			}
		}
	}
	return l.packages
}

// module is the module of a package, as the go command describes it.
type module struct {
	Version, GoMod string
	Replace        *struct{}
}

// fixed reports whether a package lies in the cache of modules, where nothing
// changes.
func (m *module) fixed(dir string) bool {
	return m != nil && m.Replace == nil && m.Version != "" && strings.Contains(dir, "@"+m.Version)
}

// goFiles returns the paths of the Go files in a directory, but for tests.
func goFiles(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths, err
}

// heads returns the text of each file up to the end of its imports: its build
// constraints are in there.
func heads(files []string) (map[string]string, error) {
	texts := make(map[string]string, len(files))
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, src, parser.ImportsOnly)
		if err != nil {
			return nil, err
		}
		end := f.Name.End()
		for _, i := range f.Imports {
			end = max(end, i.End())
		}
		texts[path] = string(src[:set.Position(end).Offset])
	}
	return texts, nil
}

// hasWorkspace reports whether there can be a workspace, whose modules are not
// looked at.
func hasWorkspace(p Program) bool {
	value := "" // the last one counts
	for _, kv := range p.Env {
		if v, ok := strings.CutPrefix(kv, "GOWORK="); ok {
			value = v
		}
	}
	if value != "" {
		return value != "off"
	}
	dir, err := filepath.Abs(p.Dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.work")); missing == nil {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
		dir = filepath.Dir(dir)
	}
	return true
}
