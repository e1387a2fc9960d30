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

// offline returns the environment of a machine that cannot reach the network
// and whose settings would ignore the vendored packages.
func offline() []string {
	return append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod", "GOSUMDB=off")
}

func TestNewBuildsOffline(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hello")
	paths, err := Write(dir, "hello", os.DirFS(repository))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") && p != "main_test.go" {
			t.Errorf("a test of the SDK was vendored: %s", p)
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
		cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s: %v\n%s", args[0], err, out)
		}
	}
}

func TestRefused(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sdk := os.DirFS(repository)
	if _, err := Write(full, "hello", sdk); !errors.Is(err, fault.AlreadyExists) {
		t.Errorf("a directory with files: %v", err)
	}
	if _, err := Write(filepath.Join(full, "x"), "hello", sdk); !errors.Is(err, fault.AlreadyExists) {
		t.Errorf("a file: %v", err)
	}
	for _, name := range []string{"", "Hello", "-a", "a-", "a_b", "../a", strings.Repeat("a", 64)} {
		to := filepath.Join(full, "new")
		if _, err := Write(to, name, sdk); !errors.Is(err, fault.RequestInvalid) {
			t.Errorf("name %q: %v", name, err)
		}
		if _, err := os.Stat(to); err == nil {
			t.Fatalf("name %q left a directory behind", name)
		}
	}
	if _, err := Write(filepath.Join(full, "new"), "hello", os.DirFS(full)); err == nil {
		t.Error("a program without SDK made a service")
	}
}

// The longest name must not make the decorator's name too long.
func TestLongName(t *testing.T) {
	dir, name := t.TempDir(), strings.Repeat("a", 63)
	if _, err := Write(dir, name, os.DirFS(repository)); err != nil {
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
