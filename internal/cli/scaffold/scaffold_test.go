package scaffold

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const repository = "../../.."

// compiledOnce has go compile as it does the program, and vet when it is asked to, so
// that nothing is done twice.
const compiledOnce = "GOFLAGS=-trimpath -vet=off"

// offline returns the environment of a machine that cannot reach the network.
func offline() []string {
	return append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod", "GOSUMDB=off")
}

func TestNewBuildsOffline(t *testing.T) {
	for _, kind := range Templates() {
		t.Run(kind, func(t *testing.T) { buildsOffline(t, kind) })
	}
}

func buildsOffline(t *testing.T, kind string) {
	dir := filepath.Join(t.TempDir(), "hello")
	paths, err := Write(dir, "hello", kind, os.DirFS(repository))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") && p != "main_test.go" {
			t.Errorf("a test of the SDK was copied: %s", p)
		}
	}
	s, err := project.Load(dir)
	if err != nil || s.Name != "hello" {
		t.Fatalf("Load = %+v, %v", s, err)
	}
	if ds, err := project.Decorators(dir); err != nil || len(ds) != 1 || ds[0].Name != s.Decorators[0] {
		t.Fatalf("Decorators = %v, %v", ds, err)
	}
	one, two := filepath.Join(dir, "1.wasm"), filepath.Join(dir, "2.wasm")
	for _, out := range []string{one, two} {
		if err := s.Build(t.Context(), out, offline(), os.Stderr); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := os.ReadFile(one)
	b, _ := os.ReadFile(two)
	if !strings.HasPrefix(string(a), "\x00asm") || string(a) != string(b) {
		t.Error("the builds are no modules, or differ")
	}
	for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOPROXY=off", compiledOnce, "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s: %v\n%s", args[0], err, out)
		}
	}
}

// A new service is an ordinary Go module: go adds libraries to it without a
// network, and it still builds. The lib is a module next to the service; x/text
// is in the module cache, because the program itself needs it.
func TestLibrariesCanBeAdded(t *testing.T) {
	parent := t.TempDir()
	dir, lib := filepath.Join(parent, "hello"), filepath.Join(parent, "lib")
	if _, err := Write(dir, "hello", "function", os.DirFS(repository)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "vendor")); err == nil {
		t.Error("a new service has a vendor directory, which go get does not maintain")
	}
	write(t, filepath.Join(lib, "go.mod"), "module example.com/lib\n\ngo 1.26\n")
	write(t, filepath.Join(lib, "lib.go"), "package lib\n\nfunc Mark() string { return \"!\" }\n")
	write(t, filepath.Join(dir, "more.go"), `package main

import (
	"example.com/lib"
	"golang.org/x/text/unicode/norm"
)

var _ = norm.NFC.String(lib.Mark())
`)
	golang := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", compiledOnce, "GOWORK=off", "GOSUMDB=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args, err, out)
		}
	}
	golang("mod", "edit", "-replace=example.com/lib=../lib")
	golang("get", "example.com/lib@v0.0.0", "golang.org/x/text@"+version(t, "golang.org/x/text"))
	golang("mod", "tidy")
	golang("test", "./...")
	s, err := project.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	// Above it may stand a workspace that does not know it.
	write(t, filepath.Join(parent, "go.work"), "go 1.26\n\nuse ./lib\n")
	if err := s.Build(t.Context(), filepath.Join(dir, "1.wasm"), offline(), os.Stderr); err != nil {
		t.Error(err)
	}
}

// version returns the version of a module that the repository needs.
func version(t *testing.T, module string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", module)
	cmd.Dir = repository
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRefused(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sdk := os.DirFS(repository)
	if _, err := Write(full, "hello", "function", sdk); !errors.Is(err, fault.AlreadyExists) {
		t.Errorf("a directory with files: %v", err)
	}
	if _, err := Write(filepath.Join(full, "x"), "hello", "function", sdk); !errors.Is(err, fault.AlreadyExists) {
		t.Errorf("a file: %v", err)
	}
	for _, name := range []string{"", "Hello", "-a", "a-", "a_b", "../a", strings.Repeat("a", 64)} {
		to := filepath.Join(full, "new")
		if _, err := Write(to, name, "function", sdk); !errors.Is(err, fault.RequestInvalid) {
			t.Errorf("name %q: %v", name, err)
		}
		if _, err := os.Stat(to); err == nil {
			t.Fatalf("name %q left a directory behind", name)
		}
	}
	if _, err := Write(filepath.Join(full, "new"), "hello", "function", os.DirFS(full)); err == nil {
		t.Error("a program without SDK made a service")
	}
}

// The longest name must not make the decorator's name too long.
func TestLongName(t *testing.T) {
	dir, name := t.TempDir(), strings.Repeat("a", 63)
	if _, err := Write(dir, name, "function", os.DirFS(repository)); err != nil {
		t.Fatal(err)
	}
	if _, err := project.Decorators(dir); err != nil {
		t.Error(err)
	}
}

func TestGoVersion(t *testing.T) {
	data, err := os.ReadFile(repository + "/go.mod")
	if err != nil || !strings.Contains(string(data), "\ngo "+goVersion+"\n") {
		t.Errorf("go.mod of the SDK does not say go %s (%v)", goVersion, err)
	}
}
