package hosts

import (
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for text, want := range map[string]string{
		"a":                               "a",
		" a,b:1\thttps://c/,, a\n[::1]:2": "a b:1 https://c/ [::1]:2",
		"http://u:p@a:1":                  "http://u:p@a:1",
	} {
		if got, err := Split(text); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, says := range map[string]string{
		"":                     "a core is expected",
		"a;b":                  "separated by spaces or commas",
		"ftp://a":              "host, host:port or a URL with http or https is expected",
		"a http://":            `"http://": host`,
		"a http://u:secret@%z": `"http://***@%z"`,
		"a:b:c":                "host, host:port",
		strings.Join(slices.Collect(func(yield func(string) bool) {
			for i := range 33 {
				if !yield(strings.Repeat("x", i+1)) {
					return
				}
			}
		}), " "): "33 cores are too many, the limit is 32",
	} {
		if got, err := Split(text); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.40q: %q, %v; want %q", text, got, err, says)
		}
	}
}
