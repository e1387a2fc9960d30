package cases

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "cases.yaml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRun(t *testing.T) {
	cases, err := Read(file(t, `
calls:
  - {name: same, input: {a: 1}, output: {a: 1.0, big: 9007199254740993}}
  - {name: other number, input: {a: 1}, output: {a: 1, big: 9007199254740992}}
  - {name: text, input: hello, output: hello}
  - {input: anything}
  - {name: refused, input: bad, error: GUEST_ERROR, message: is bad}
  - {name: by code, input: bad, error: invalid_argument}
  - {name: other reason, input: bad, error: GUEST_TRAP}
  - {name: other message, input: bad, message: is good}
  - {name: not refused, input: hello, error: GUEST_ERROR}
  - {name: fails, input: bad, output: good}
`))
	if err != nil {
		t.Fatal(err)
	}
	results, err := Run(t.Context(), cases, func(_ context.Context, input []byte) ([]byte, error) {
		switch string(input) {
		case "bad":
			e := fault.New(fault.GuestError, "it is bad")
			e.Code = fault.CodeInvalidArgument
			return nil, e
		case `{"a":1}`:
			return []byte(`{"big": 9007199254740993, "a": 1}`), nil
		}
		return input, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"", "expected: {", "", "", "", "", "expected: error GUEST_TRAP", "expected a message with: is good", "it succeeded with hello", "error GUEST_ERROR",
	}
	for i, r := range results {
		if r.OK != (want[i] == "") || !strings.Contains(r.Problem, want[i]) {
			t.Errorf("%s: ok %v, %q; want %q", r.Name, r.OK, r.Problem, want[i])
		}
	}
	if results[3].Name != "call 4" || Failed(results) != 5 {
		t.Errorf("%+v", results)
	}
}

func TestRefusedFiles(t *testing.T) {
	for content, want := range map[string]string{
		"":                     "has no calls",
		"calls: [{inputs: 1}]": `unknown key "inputs"`,
		"calls: [{output: 1, error: GUEST_TRAP}]":     "a call has one of them",
		`calls: [{input: "@nowhere"}]`:                "its input or output nowhere cannot be read",
		"calls:\n" + strings.Repeat("  - {}\n", 1001): "1001 calls, the limit is 1000",
	} {
		if _, err := Read(file(t, content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", content, err, want)
		}
	}
	if _, err := Read("nowhere.yaml"); !errors.Is(err, fault.Usage) {
		t.Error(err)
	}
}
