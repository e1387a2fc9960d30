// Package bundle is documents with the modules that they name, as a directory or
// as a file.
//
//	w, err := bundle.Create("site", bundle.Options{})
//	err = w.Document("services", "greet", document)
//	err = w.Module(digest, wasm)
//	err = w.Close()
//
//	b, err := bundle.Open("site", bundle.Limits{})
//	data, err := b.Read(b.Documents[0])
//	path, ok := b.Module(digest)
//
// # Layout
//
//	decorators/<name>.yaml   services/<name>.yaml   one document each
//	modules/<sha256>.wasm
//
// A tar (.tar, .tar.zst) has the same layout. A file of documents (.yaml, .yml,
// .json) has no modules of its own: those in the directory modules next to it
// count. Documents at the top of a directory are read too, so that a directory
// written by hand needs no other ones. A directory can have more than that, for
// example sources: only these files are read.
//
// A Writer and a Bundle are for one goroutine at a time.
package bundle

import (
	"path"
	"path/filepath"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/names"
)

// Names of the directories.
const (
	Decorators = "decorators"
	Services   = "services"
	modules    = "modules"
)

// Format is how documents are written.
type Format string

// The formats.
const (
	YAML Format = "yaml"
	JSON Format = "json"
)

// shape is what a bundle is on disk.
type shape int

const (
	directory shape = iota
	tarball
	documents // a file of documents
)

// shapeOf returns what a path means by its name.
func shapeOf(name string) shape {
	switch {
	case strings.HasSuffix(name, ".tar"), compressed(name):
		return tarball
	case isDocument(name):
		return documents
	}
	return directory
}

// compressed reports whether a tar of this name is compressed with Zstandard.
func compressed(name string) bool { return strings.HasSuffix(name, ".tar.zst") }

// isDocument reports whether a file of this name holds documents.
func isDocument(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// belongs reports whether a bundle can have a file at this path, which has
// slashes.
func belongs(name string) bool {
	dir, file := path.Split(name)
	switch dir {
	case "", Decorators + "/", Services + "/":
		return isDocument(file) && !strings.HasPrefix(file, ".")
	case modules + "/":
		_, ok := digestOf(file)
		return ok
	}
	return false
}

// digestOf returns the digest in the name of a module's file.
func digestOf(file string) (string, bool) {
	digest, ok := strings.CutSuffix(file, ".wasm")
	return digest, ok && names.ValidDigest(digest)
}

// moduleFile is where a module is in a bundle.
func moduleFile(digest string) string { return modules + "/" + digest + ".wasm" }
