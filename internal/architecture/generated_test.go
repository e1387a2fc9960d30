package architecture_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/pluginpb"

	_ "github.com/ruedo-dev/ruedo/examples/todo/todo/v1"
	_ "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	_ "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	_ "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// The generators are the ones that buf.gen.yaml names. buf itself only parses
// the sources and sets options of files; the options are taken from gen here, so
// that the test needs no tool that has to be built first.
func TestGeneratedCodeIsUpToDate(t *testing.T) {
	upToDate(t, "proto", "gen")
	upToDate(t, "examples/todo", "examples/todo")
}

// upToDate compares what is generated from the sources below one directory with what
// is below another.
func upToDate(t *testing.T, sources, made string) {
	t.Helper()
	protos, gen := "../../"+sources, "../../"+made
	var names []string
	for _, path := range files(t, protos, ".proto") {
		names = append(names, filepath.ToSlash(path))
	}
	request := codeGeneratorRequest(t, names, protos, "../../third_party/protovalidate")
	want := make(map[string]string)
	for _, plugin := range []struct{ name, parameter string }{
		{"protoc-gen-go", "paths=source_relative"},
		{"protoc-gen-connect-go", "paths=source_relative,simple"},
	} {
		request.Parameter = proto.String(plugin.parameter)
		for _, f := range generate(t, plugin.name, request) {
			want[f.GetName()] = f.GetContent()
		}
	}
	if len(want) < len(names) {
		t.Fatalf("%d files are generated from %d", len(want), len(names))
	}
	have := files(t, gen, ".go")
	if sources == made { // next to code that is written
		have = slices.DeleteFunc(have, func(name string) bool {
			return !strings.HasSuffix(name, ".pb.go") && !strings.HasSuffix(name, ".connect.go")
		})
	}
	for name, content := range want {
		if !slices.Contains(have, filepath.FromSlash(name)) {
			t.Errorf("%s/%s is missing: run `make generate`", made, name)
			continue
		}
		b, err := os.ReadFile(filepath.Join(gen, name))
		if err != nil {
			t.Fatal(err)
		}
		if line, got, want := firstDifference(string(b), content); line > 0 {
			t.Errorf("%s/%s is not what %s says; run `make generate`. Line %d:\nhas   %s\nwants %s", made, name, sources, line, got, want)
		}
	}
	for _, name := range have {
		if _, ok := want[filepath.ToSlash(name)]; !ok {
			t.Errorf("%s/%s has no source in %s: run `make generate`", made, name, sources)
		}
	}
}

// files returns the files below dir that end in ext, relative to dir.
func files(t *testing.T, dir, ext string) []string {
	t.Helper()
	var list []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ext) {
			list = append(list, filepath.FromSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// codeGeneratorRequest parses the sources, comments included, and returns what
// a compiler of protos asks of its plugins.
func codeGeneratorRequest(t *testing.T, names []string, importPaths ...string) *pluginpb.CodeGeneratorRequest {
	t.Helper()
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: importPaths}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: names}
	seen := make(map[string]bool)
	var add func(protoreflect.FileDescriptor) // imports first
	add = func(d protoreflect.FileDescriptor) {
		if seen[d.Path()] {
			return
		}
		seen[d.Path()] = true
		for i := range d.Imports().Len() {
			add(d.Imports().Get(i).FileDescriptor)
		}
		f := proto.CloneOf(protoutil.ProtoFromFileDescriptor(d))
		generated, err := protoregistry.GlobalFiles.FindFileByPath(d.Path())
		if err != nil {
			t.Fatalf("%s: nothing is generated from it: %v; run `make generate`", d.Path(), err)
		}
		if slices.Contains(names, d.Path()) && f.Options != nil {
			t.Errorf("%s: options of a file are set by buf.gen.yaml: %v", d.Path(), f.Options)
		}
		f.Options = protodesc.ToFileDescriptorProto(generated).GetOptions()
		request.ProtoFile = append(request.ProtoFile, f)
	}
	for _, d := range compiled {
		add(d)
	}
	return request
}

// generate runs a generator of the versions in go.mod.
func generate(t *testing.T, plugin string, request *pluginpb.CodeGeneratorRequest) []*pluginpb.CodeGeneratorResponse_File {
	t.Helper()
	in, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "tool", plugin)
	cmd.Env = append(os.Environ(), "GOFLAGS=-trimpath") // as the program is, so that nothing is compiled twice
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", plugin, err)
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &response); err != nil {
		t.Fatal(err)
	}
	if response.Error != nil {
		t.Fatalf("%s: %s", plugin, response.GetError())
	}
	return response.GetFile()
}

// firstDifference returns the number of the first line that differs, and both
// lines; 0 if the texts are equal.
func firstDifference(a, b string) (line int, inA, inB string) {
	if a == b {
		return 0, "", ""
	}
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return i + 1, as[i], bs[i]
		}
	}
	return min(len(as), len(bs)) + 1, "", ""
}
