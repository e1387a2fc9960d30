package bundle_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/bundle"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// digest is that of the module "test".
const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func service(name string, example []byte) any {
	return project.ServiceDocument(&ruedov1.Service{Name: name, Revision: &ruedov1.Revision{Module: digest, Env: map[string]string{"MODE": "0644"}, Example: example}})
}

// write writes a bundle of one decorator, one service and a module.
func write(t *testing.T, path string, opts bundle.Options) {
	t.Helper()
	w, err := bundle.Create(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Remove()
	small := project.DecoratorDocument(&ruedov1.Decorator{Name: "small", Limits: &ruedov1.Limits{MemoryBytes: 1 << 25}})
	if err := errors.Join(
		w.Document(bundle.Decorators, "small", small), w.Document(bundle.Services, "greet", service("greet", []byte(`{"n":1}`))), w.Module(digest, []byte("test")), w.Close(),
	); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	for _, name := range []string{"site", "site.tar", "site.tar.zst", "site.yaml", "site.json"} {
		for _, format := range []bundle.Format{"", bundle.JSON} {
			path := filepath.Join(t.TempDir(), name)
			write(t, path, bundle.Options{Format: format, Time: time.Unix(1700000000, 0)})
			b, err := bundle.Open(path, bundle.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, file := range b.Documents {
				data, err := b.Read(file)
				if err != nil {
					t.Error(err)
				}
				all = append(all, string(data))
			}
			text := strings.Join(all, "")
			if !strings.Contains(text, "0644") || !strings.Contains(text, "32MiB") || !strings.Contains(text, digest) {
				t.Errorf("%s has\n%s", name, text)
			}
			hasModules := filepath.Ext(name) != ".yaml" && filepath.Ext(name) != ".json"
			if b.Has(digest) != hasModules {
				t.Errorf("%s has the module: %t", name, b.Has(digest))
			}
			if hasModules {
				if wasm, err := b.Module(digest); err != nil || string(wasm) != "test" {
					t.Errorf("%s: module %q, %v", name, wasm, err)
				}
			}
			b.Close()
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*part*")); len(left) > 0 {
				t.Errorf("%v is left behind", left)
			}
		}
	}
}

func TestNothingIsThereBeforeItIsComplete(t *testing.T) {
	for _, name := range []string{"site", "site.tar", "site.yaml"} {
		dir := t.TempDir()
		w, err := bundle.Create(filepath.Join(dir, name), bundle.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Document(bundle.Services, "greet", service("greet", nil)); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is there", name)
		}
		w.Remove()
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%v is left behind", left)
		}
	}
}

func TestOnlyTheOwnerReadsAnExport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site")
	write(t, path, bundle.Options{})
	for name, want := range map[string]os.FileMode{"": 0o700, "services": 0o700, "services/greet.yaml": 0o600} {
		if st, err := os.Stat(filepath.Join(path, name)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
}

func TestJSONHoldsNoBytes(t *testing.T) {
	w, err := bundle.Create(filepath.Join(t.TempDir(), "site"), bundle.Options{Format: bundle.JSON})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Remove()
	if err := w.Document(bundle.Services, "greet", service("greet", []byte{0xff, 0})); !errors.Is(err, fault.Usage) || !strings.Contains(err.Error(), "service greet: its example is not text") {
		t.Errorf("%v", err)
	}
}

type file struct {
	name, content string
	kind          byte
}

func tarOf(t *testing.T, files ...file) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Size: int64(len(f.content)), Typeflag: f.kind, Mode: 0o777}
		if f.kind == tar.TypeSymlink {
			h.Linkname, h.Size = "/etc/passwd", 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.content)[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A tar may come from a stranger: nothing is written beyond the directory for it,
// and everything is bounded.
func TestForeignTarsAreRefused(t *testing.T) {
	good := file{"services/greet.yaml", "kind: Service\n", tar.TypeReg}
	for want, c := range map[string]struct {
		limits bundle.Limits
		files  []file
	}{
		`it holds ../services/x.yaml, which no export has`: {files: []file{good, {"../services/x.yaml", "x", tar.TypeReg}}},
		`it holds /services/x.yaml, which no export has`:   {files: []file{good, {"/services/x.yaml", "x", tar.TypeReg}}},
		`it holds services/x.yaml, which no export has`:    {files: []file{{"services/x.yaml", "", tar.TypeSymlink}}},
		`it holds services, which no export has`:           {files: []file{{"services", "", tar.TypeSymlink}}},
		`it holds modules/x.wasm, which no export has`:     {files: []file{{"modules/x.wasm", "x", tar.TypeReg}}},
		"it is a backup, not an export":                    {files: []file{{"ruedo-backup.json", "{}", tar.TypeReg}}},
		"it has no documents":                              {files: []file{{"modules/" + digest + ".wasm", "test", tar.TypeReg}}},
		"a file of documents is over the limit of 3 bytes": {bundle.Limits{Document: 3}, []file{good}},
		"more than 1 files, the limit":                     {bundle.Limits{Files: 1}, []file{good, {"a.yaml", "x", tar.TypeReg}}},
		"more than 20 bytes, the limit":                    {bundle.Limits{Bytes: 20}, []file{good, {"a.yaml", "kind: Service\n", tar.TypeReg}}},
	} {
		t.Run(want, func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			b, err := bundle.Open(tarOf(t, c.files...), c.limits)
			if !errors.Is(err, fault.BackupInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, %v; want: %s", b, err, want)
			}
			if left, _ := filepath.Glob(filepath.Join(temp, "ruedo-import-*")); len(left) > 0 {
				t.Errorf("%v is left behind", left)
			}
		})
	}
}

func TestATarThatIsCutOffIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.tar.zst")
	write(t, path, bundle.Options{})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(data) - 4 { // without the checksum nothing is missing
		cut := filepath.Join(t.TempDir(), "cut.tar.zst")
		if err := os.WriteFile(cut, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := bundle.Open(cut, bundle.Limits{}); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a whole: %v", n, len(data), b.Documents)
			b.Close()
		}
	}
}

// Only what an export has written is replaced.
func TestADirectoryIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site")
	write(t, path, bundle.Options{})
	if _, err := bundle.Create(path, bundle.Options{}); !errors.Is(err, fault.Usage) || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("without force: %v", err)
	}
	for _, name := range []string{"README", "services/old.yaml"} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, path, bundle.Options{Force: true})
	entries, _ := os.ReadDir(path)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"README", "decorators", "modules", "services"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	if _, err := os.Stat(filepath.Join(path, "services", "old.yaml")); err == nil {
		t.Error("services/old.yaml is still there")
	}
	if err := os.WriteFile(filepath.Join(path, "services", "main.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Create(path, bundle.Options{Force: true}); !errors.Is(err, fault.Usage) || !strings.Contains(err.Error(), "main.go does not come from an export") {
		t.Errorf("%v", err)
	}
}
