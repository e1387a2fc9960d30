package yamlfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

type limits struct {
	Memory string `yaml:"memory"`
}

type file struct {
	Kind   string            `yaml:"kind"`
	Name   string            `yaml:"name"`
	Tags   []string          `yaml:"tags"`
	Count  int               `yaml:"count"`
	Limits limits            `yaml:"limits"`
	Env    map[string]string `yaml:"env"`
	Any    any               `yaml:"any"`
}

func TestOne(t *testing.T) {
	var f file
	if err := One("f.yaml", []byte("\xef\xbb\xbfname: a\ntags: [x]\nlimits: {memory: 1MiB}\nenv: {K: v}\nany: {b: [1, two]}\n"), &f); err != nil {
		t.Fatal(err)
	}
	if f.Name != "a" || f.Tags[0] != "x" || f.Limits.Memory != "1MiB" || f.Env["K"] != "v" || f.Any == nil {
		t.Errorf("got %+v", f)
	}
	if err := One("f.yaml", []byte("# nothing\n"), &f); err != nil {
		t.Errorf("a file of comments: %v", err)
	}
	if err := One("f.yaml", nil, &f); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct{ name, in, says string }{
		{"unknown key", "name: a\nnmae: b\n", `f.yaml:2: unknown key "nmae", did you mean name?`},
		{"unknown key inside", "name: a\nlimits:\n  memry: 1\n", `f.yaml:3: unknown key "memry", did you mean memory?`},
		{"unlike any key", "zebra: 1\n", `f.yaml:1: unknown key "zebra"`},
		{"broken", "name: [a\nb: c\n", `f.yaml:`},
		{"tab", "name: a\n\tb: c\n", `f.yaml:2:`},
		{"wrong type", "name: a\ncount: many\n", `f.yaml:2: a whole number is expected here, not text`},
		{"list for text", "name: [a]\n", `f.yaml:1: text is expected here, not a list`},
		{"map for text", "name: {a: b}\n", `f.yaml:1: text is expected here, not a mapping`},
		{"list for map", "limits: [a]\n", `f.yaml:1:`},
		{"twice", "name: a\nname: b\n", `f.yaml:2: mapping key "name" already defined`},
		{"a list", "- a\n", "f.yaml:1: f.yaml must contain keys and values"},
		{"two documents", "name: a\n---\nname: b\n", "f.yaml:3: a second document"},
		{"bad second", "name: a\n---\nnmae: b\n", "f.yaml:3: a second document"},
		{"broken second", "name: a\n---\n\nname: [b\nc: d\n", "f.yaml:5:"},
		{"html", "<html>\n<body>", "f.yaml:1:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f file
			err := One("f.yaml", []byte(tt.in), &f)
			if !errors.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("err = %v\nwant CONFIG_INVALID and %q in one line", err, tt.says)
			}
		})
	}
}

func TestAll(t *testing.T) {
	docs, err := All("f.yaml", []byte("---\nkind: A\nname: a\n---\n# nothing\n---\nkind: B\nname: b\n"))
	if err != nil || len(docs) != 2 {
		t.Fatalf("docs=%d err=%v, want 2", len(docs), err)
	}
	var f file
	if err := docs[1].Decode(&f); err != nil || f.Name != "b" {
		t.Errorf("second: %+v, %v", f, err)
	}
	if docs[0].Field("kind") != "A" || docs[1].Field("kind") != "B" || docs[1].Field("none") != "" {
		t.Error("Field does not give the kind")
	}
	if got := docs[1].Errorf("odd").Error(); got != "f.yaml:7: odd" {
		t.Errorf("Errorf = %q", got)
	}
}

func FuzzOne(f *testing.F) {
	f.Add("name: a\nlimits: {memory: 1}\n")
	f.Add("a: &a [*a]\n")
	f.Fuzz(func(t *testing.T, in string) {
		var v file
		_ = One("f.yaml", []byte(in), &v)
	})
}

// A list counts as its items, so that JSON can hold several documents.
func TestAListIsItsItems(t *testing.T) {
	docs, err := All("f.json", []byte("[\n  {\"kind\": \"A\", \"name\": \"a\"},\n  {\"kind\": \"B\",\n   \"name\": \"b\", \"nmae\": 1}\n]\n"))
	if err != nil || len(docs) != 2 {
		t.Fatal(docs, err)
	}
	var f file
	if err := docs[0].Decode(&f); err != nil || f.Name != "a" || docs[1].Field("kind") != "B" || docs[1].Line() != 3 {
		t.Errorf("%+v, %v, line %d", f, err, docs[1].Line())
	}
	if err := docs[1].Decode(&f); err == nil || !strings.Contains(err.Error(), `f.json:4: unknown key "nmae"`) {
		t.Errorf("%v", err)
	}
	if _, err := All("f.json", []byte("[1, 2]")); err != nil {
		t.Error(err) // it is Decode that refuses what is no mapping
	}
}
