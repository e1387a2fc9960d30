// Package scaffold makes the directory of a new service.
//
// [Write] fills it: a typed handler, its test, the two YAML files, and the SDK
// as a Go module of its own in ruedo-sdk/, which go.mod names in a replace
// directive. So the service builds offline and outside of any other module, and
// `go get` adds libraries to it as to any module.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

//go:embed template
var templates embed.FS

const (
	modulePath = "github.com/ruedo-dev/ruedo"
	// moduleVersion is only for go.mod: the build uses the module in sdkDir.
	moduleVersion = "v0.0.0"
	// goVersion is the language version that the SDK is written in.
	goVersion = "1.26.0"
)

// sdkDir is the directory of the SDK in that of the service.
const sdkDir = "ruedo-sdk"

// sdkPackages returns the directories of the SDK, by import path below
// modulePath.
func sdkPackages() []string { return []string{"internal/abi", "sdk"} }

// Write makes dir and, in it, the files of a service named name. It returns
// their paths relative to dir. sdk holds the source of the SDK as the
// repository has it: sdk/*.go, internal/abi/*.go and LICENSE. If dir exists, it
// must be empty.
func Write(dir, name string, sdk fs.FS) ([]string, error) {
	if err := project.CheckName("service", name); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil && len(entries) > 0:
		return nil, fault.New(fault.AlreadyExists, "the directory %s exists and is not empty", dir).
			WithFix("choose another name, or remove the directory first")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fault.Wrap(err, fault.AlreadyExists, "%s exists and is not a directory that can be read", dir)
	}
	files, err := render(name)
	if err != nil {
		return nil, err
	}
	module, err := sdkModule(sdk)
	if err != nil {
		return nil, err
	}
	files = append(files, module...)
	var paths []string
	for _, f := range files {
		to := filepath.Join(dir, filepath.FromSlash(f.path))
		err := os.MkdirAll(filepath.Dir(to), 0o755)
		if err == nil {
			err = os.WriteFile(to, f.content, 0o644)
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "%s cannot be written: %s", to, errors.Unwrap(err))
		}
		paths = append(paths, f.path)
	}
	return paths, nil
}

type file struct {
	path    string
	content []byte
}

// render executes the templates. A file "x.tmpl" becomes "x", and "dot.x.tmpl"
// becomes ".x": Go embeds neither other modules nor dot files.
func render(name string) ([]file, error) {
	values := struct{ Name, Module, Version, SDK, Go string }{name, modulePath, moduleVersion, sdkDir, goVersion}
	all, err := template.New("").Delims("<<", ">>").ParseFS(templates, "template/*.tmpl")
	if err != nil {
		return nil, err
	}
	var files []file
	for _, t := range all.Templates() {
		if t.Name() == "" {
			continue
		}
		var b strings.Builder
		if err := t.Execute(&b, values); err != nil {
			return nil, err
		}
		to := strings.TrimSuffix(t.Name(), ".tmpl")
		if rest, ok := strings.CutPrefix(to, "dot."); ok {
			to = "." + rest
		}
		files = append(files, file{to, []byte(b.String())})
	}
	return files, nil
}

// sdkModule returns the files of the SDK's module, without tests. It needs no
// other module, so its go.mod is complete.
func sdkModule(sdk fs.FS) ([]file, error) {
	files := []file{{path.Join(sdkDir, "go.mod"), fmt.Appendf(nil, "module %s\n\ngo %s\n", modulePath, goVersion)}}
	for _, pkg := range sdkPackages() {
		names, err := fs.Glob(sdk, pkg+"/*.go")
		if err != nil {
			return nil, err
		}
		n := 0
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			content, err := fs.ReadFile(sdk, name)
			if err != nil {
				return nil, err
			}
			files = append(files, file{path.Join(sdkDir, name), content})
			n++
		}
		if n == 0 {
			return nil, fault.New(fault.Internal, "this program was built without the SDK (%s): it cannot create new services", pkg)
		}
	}
	if license, err := fs.ReadFile(sdk, "LICENSE"); err == nil {
		files = append(files, file{path.Join(sdkDir, "LICENSE"), license})
	}
	return files, nil
}
