// Package scaffold makes the directory of a new service.
//
// [Write] fills it: a typed handler, its test, the two YAML files, and the SDK
// as a Go module of its own in ruedo-sdk/, which go.mod names in a replace
// directive. So the service builds offline and outside of any other module, and
// `go get` adds libraries to it as to any module.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
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
func sdkPackages() []string {
	return []string{
		"internal/abi", "sdk", "sdk/internal/entry",
		"sdk/web", "sdk/web/internal/exchange", "sdk/web/internal/host", "sdk/web/internal/outbound",
	}
}

// Templates returns the names of what a new service can be: "function" takes and
// returns JSON, "http" is an http.Handler, and "connect" answers Connect and gRPC.
func Templates() []string { return []string{"function", "http", "connect"} }

// Write makes dir and, in it, the files of a service named name, made from one of
// [Templates]. It returns their paths relative to dir. sdk holds the source of the
// SDK as the repository has it: the packages of sdkPackages and LICENSE. If dir
// exists, it must be empty.
func Write(dir, name, kind string, sdk fs.FS) ([]string, error) {
	if err := project.CheckName("service", name); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil && len(entries) > 0:
		return nil, fault.New(fault.AlreadyExists, "the directory %s exists and is not empty", dir).
			WithFix("choose another name, or remove the directory first")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fault.Wrap(err, fault.AlreadyExists, "%s exists and is not a directory that can be read: %s", dir, text.Cause(err)).
			WithFix("choose another name, or another directory with --dir")
	}
	files, err := render(name, kind)
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

// render executes the templates that all kinds have in common, and those of one
// kind, which replace them. A file "x.tmpl" becomes "x", and "dot.x.tmpl" becomes
// ".x": Go embeds neither other modules nor dot files.
func render(name, kind string) ([]file, error) {
	values := struct{ Name, Module, Version, SDK, Go string }{name, modulePath, moduleVersion, sdkDir, goVersion}
	made := map[string][]byte{}
	for _, dir := range []string{"template/common", "template/" + kind} {
		err := fs.WalkDir(templates, dir, func(from string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := fs.ReadFile(templates, from)
			if err != nil {
				return err
			}
			t, err := template.New(from).Delims("<<", ">>").Parse(string(text))
			if err != nil {
				return err
			}
			var b bytes.Buffer
			to := strings.TrimSuffix(strings.TrimPrefix(from, dir+"/"), ".tmpl")
			if rest, ok := strings.CutPrefix(to, "dot."); ok {
				to = "." + rest
			}
			err = t.Execute(&b, values)
			made[to] = b.Bytes()
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var files []file
	for _, to := range slices.Sorted(maps.Keys(made)) {
		files = append(files, file{to, made[to]})
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
