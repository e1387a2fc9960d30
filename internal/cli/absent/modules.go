package absent

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// module is a Go module of the author, in a directory.
type module struct {
	path, dir string
}

// modulesOf returns the module that dir is in, and those that its go.mod
// replaces with directories. Paths begin with dir.
func modulesOf(dir string) []module {
	root := dir
	for range 32 { // bounds a walk through links
		data, err := os.ReadFile(filepath.Join(root, "go.mod"))
		if err == nil {
			return modulesIn(root, data)
		}
		root = filepath.Join(root, "..")
		if abs, err := filepath.Abs(root); err != nil || filepath.Dir(abs) == abs {
			return nil
		}
	}
	return nil
}

func modulesIn(root string, data []byte) []module {
	f, err := modfile.Parse("go.mod", data, nil)
	if err != nil || f.Module == nil {
		return nil
	}
	list := []module{{f.Module.Mod.Path, root}}
	for _, r := range f.Replace {
		if r.New.Version == "" && modfile.IsDirectoryPath(r.New.Path) {
			dir := filepath.FromSlash(r.New.Path)
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(root, dir)
			}
			list = append(list, module{r.Old.Path, dir})
		}
	}
	return list
}

// dirOf returns the directory of a package of the author, or "".
func dirOf(modules []module, imported string) string {
	best, dir := "", ""
	for _, m := range modules {
		rest, ok := strings.CutPrefix(imported, m.path)
		if ok && (rest == "" || rest[0] == '/') && len(m.path) > len(best) {
			best, dir = m.path, filepath.Join(m.dir, filepath.FromSlash(rest))
		}
	}
	return dir
}
