package absent

import (
	"bytes"
	"slices"
	"strings"
)

// Module returns what a module uses whose source is not here, by its imports as
// "module.name". A module that Go built imports the functions for files and
// sockets whether its program uses them or not, so nothing is said of it.
//
// granted reports that a decorator grants it some of the network, or may do so.
func Module(wasm []byte, imports []string, granted bool) []Finding {
	if builtByGo(wasm) {
		return nil
	}
	uses := make(map[Thing][]Use)
	if Dials(imports) && !granted {
		uses[outbound] = append(uses[outbound], Use{Name: dials})
	}
	for _, i := range imports {
		name, ok := strings.CutPrefix(i, "wasi_snapshot_preview1.")
		switch {
		case !ok:
		case strings.HasPrefix(name, "sock_"):
			uses[network] = append(uses[network], Use{Name: name})
		case slices.Contains(fileImports, name):
			uses[files] = append(uses[files], Use{Name: name})
		}
	}
	return group(uses)
}

// dials is the import with which a module asks the host for the network.
const dials = "stream_open"

// Dials reports whether a module can ask the host for the network.
func Dials(imports []string) bool { return slices.Contains(imports, "ruedo."+dials) }

// fileImports are functions that open or change a file. C and Rust import them
// only if the program does so.
var fileImports = []string{
	"path_open", "path_create_directory", "path_unlink_file", "path_remove_directory", "path_rename", "path_symlink", "path_link",
}

// builtByGo reports whether a module names Go's compiler as its producer.
func builtByGo(wasm []byte) bool { return bytes.Contains(wasm, []byte("\x0eGo cmd/compile")) }

// HasZones reports whether a module contains the time zones, as package
// time/tzdata has them.
func HasZones(wasm []byte) bool {
	return bytes.Contains(wasm, []byte("America/Argentina/ComodRivadavia"))
}
