package executor_test

import (
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/executor"
)

func TestNamesOfCallers(t *testing.T) {
	for name, want := range map[string]string{
		"":                                   "",
		"user/ada":                           "user/ada",
		"okta/ada+ci@acme.com":               "okta/ada+ci@acme.com",
		"github/repo:acme/web:ref=main":      "github/repo:acme/web:ref=main",
		"local/José Ruedo":                   "local/Jos%C3%A9%20Ruedo",
		"a%20b":                              "a%2520b",
		"x\x00\n\x7f<'\"`$;|&\\>{}()*?[]#!~": "x%00%0A%7F%3C%27%22%60%24%3B%7C%26%5C%3E%7B%7D%28%29%2A%3F%5B%5D%23%21%7E",
	} {
		got := executor.EscapeCaller(name)
		if got != want || !executor.ValidCaller(got) {
			t.Errorf("%q is seen as %q, want %q", name, got, want)
		}
	}
	if long := strings.Repeat("a", executor.MaxCaller); !executor.ValidCaller(long) || executor.ValidCaller(long+"a") || executor.ValidCaller("a b") {
		t.Error("the bound of names")
	}
	if n := testing.AllocsPerRun(100, func() { executor.EscapeCaller("okta/ada@acme.com") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
