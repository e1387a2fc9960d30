package architecture_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// uncalled are the exported functions and methods that no code of the product
// names, and who calls them.
var uncalled = map[string]string{
	"Allocate":             "wazero, an allocator of memories",
	"Endpoint":             "tests that connect to an embedded store from outside",
	"Free":                 "wazero, a memory",
	"HandleConn":           "grpc, a handler of statistics",
	"HandleRPC":            "grpc, a handler of statistics",
	"HostImports":          "tests that hold the sdk and the reader of modules to the same list",
	"IsBinary":             "connect, a codec",
	"LogValue":             "log/slog",
	"MarshalJSON":          "encoding/json",
	"MarshalStable":        "connect, a codec",
	"MarshalYAML":          "the library for YAML",
	"OnWrite":              "zap, a hook",
	"Reallocate":           "wazero, a memory",
	"TagConn":              "grpc, a handler of statistics",
	"TagRPC":               "grpc, a handler of statistics",
	"UnmarshalYAML":        "the library for YAML",
	"WatchServices":        "connect, a procedure of the API",
	"WrapStreamingClient":  "connect, an interceptor",
	"WrapStreamingHandler": "connect, an interceptor",
	"WrapUnary":            "connect, an interceptor",
}

// Names that occur more than once are not told apart, so a dead one can escape.
// One that is found is dead.
func TestExportedFunctionsAreCalled(t *testing.T) {
	type place struct{ room, name string }
	var declared []place
	named := make(map[string]int) // in code, without declarations of functions
	for _, p := range packages(t) {
		if inAny(p.ImportPath, generated) {
			continue
		}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					named[id.Name]++
				}
				return true
			})
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					named[fn.Name.Name]--
					if fn.Name.IsExported() && !inAny(p.ImportPath, forOthers) {
						declared = append(declared, place{p.ImportPath, fn.Name.Name})
					}
				}
			}
		}
	}
	found := make(map[string]bool)
	for _, d := range declared {
		if named[d.name] > 0 {
			continue
		}
		found[d.name] = true
		if uncalled[d.name] == "" {
			t.Errorf("%s.%s is exported and nothing but tests calls it: remove it, or say in uncalled who does", d.room, d.name)
		}
	}
	for name := range uncalled {
		if !found[name] {
			t.Errorf("%s is in uncalled, but the product calls it, or it is gone", name)
		}
	}
}

// forOthers are the rooms whose callers are authors of services and apps, or
// tests.
var forOthers = []string{"core/coretest", "core/store/chain/chaintest", "core/store/storetest", "internal/etcdembed/etcdtest", "internal/testkit", "sdk", "examples", "internal/ruedotest", "internal/executor/executortest", "internal/pki/pkitest", "internal/wasmbin/wasmtest"}
