package output

import (
	"strings"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

func TestList(t *testing.T) {
	message := &ruedov1.ListRunnersResponse{Items: []*ruedov1.Runner{{Id: "r1", Name: "edge\x1b[31m", Concurrency: 4}, {Id: "runner-2"}}}
	for _, tt := range []struct {
		p    Printer
		want string
	}{
		{Printer{}, "ID         NAME\nr1         edge\\x1b[31m\nrunner-2   -\n"},
		{Printer{Format: Wide, NoHeaders: true}, "r1         edge\\x1b[31m   4\nrunner-2   -              0\n"},
		{Printer{Format: Name}, "r1\nrunner-2\n"},
	} {
		if got := list(t, tt.p, message); got != tt.want {
			t.Errorf("%+v:\n%s\nwant:\n%s", tt.p, got, tt.want)
		}
	}
	for _, p := range []Printer{{Format: JSON}, {Format: YAML}} {
		got := list(t, p, message)
		for _, part := range []string{"items", "r1", "concurrency", "registered"} {
			if !strings.Contains(got, part) {
				t.Errorf("%s lacks %s:\n%s", p.Format, part, got)
			}
		}
	}
}

func TestEmptyList(t *testing.T) {
	message := &ruedov1.ListRunnersResponse{}
	for _, tt := range []struct {
		p    Printer
		want string
	}{
		{Printer{}, "no runners\n"},
		{Printer{NoHeaders: true}, ""},
		{Printer{Format: JSON}, "{\n  \"items\": []\n}\n"},
		{Printer{Format: YAML}, "items: []\n"},
		{Printer{Format: Name}, ""},
	} {
		if got := list(t, tt.p, message); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.p, got, tt.want)
		}
	}
}

func list(t *testing.T, p Printer, m *ruedov1.ListRunnersResponse) string {
	t.Helper()
	var b strings.Builder
	p.W = &b
	err := List(&p, m, m.Items, (*ruedov1.Runner).GetId, "no runners",
		Column[*ruedov1.Runner]{Head: "ID", Cell: (*ruedov1.Runner).GetId},
		Column[*ruedov1.Runner]{Head: "NAME", Cell: (*ruedov1.Runner).GetName},
		Column[*ruedov1.Runner]{Head: "CALLS", Cell: func(r *ruedov1.Runner) string { return itoa(r.Concurrency) }, Wide: true},
	)
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func itoa(n uint32) string { return string(rune('0' + n)) }

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain ñ 日本":       "plain ñ 日本",
		"\x1b]0;x\x07":     `\x1b]0;x\x07`,
		"a\nb\tc\r":        `a\nb\tc\r`,
		"\u009b31m":        `\x9b31m`,
		"\xff\xfe":         `\xff\xfe`,
		"abc\u202edef":     `abc\u202edef`,
		"back\\slash \x00": `back\slash \x00`,
	} {
		if got := Safe(in); got != want {
			t.Errorf("Safe(%q) = %q, want %q", in, got, want)
		}
	}
	if got := SafeLines("a\n\tb\r\x1b"); got != "a\n\tb\\r\\x1b" {
		t.Errorf("SafeLines = %q", got)
	}
}

func TestText(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1 KiB", 64 << 20: "64 MiB", 3_900_000: "3.7 MiB", 5 << 30: "5 GiB", 5 << 40: "5120 GiB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %s, want %s", n, got, want)
		}
	}
	now := time.Unix(1_000_000, 0)
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 90 * time.Second: "1m", 47 * time.Hour: "47h", 50 * time.Hour: "2d"} {
		if got := Age(now, now.Add(-d)); got != want {
			t.Errorf("Age(%s) = %s, want %s", d, got, want)
		}
	}
	if Age(now, time.Time{}) != "" || Digest("abc") != "abc" || Digest(strings.Repeat("a", 64)) != "aaaaaaaaaaaa" {
		t.Error("small things")
	}
	for d, want := range map[time.Duration]string{1234567 * time.Nanosecond: "1.23ms", 123456 * time.Microsecond: "120ms", 1234 * time.Nanosecond: "1.2µs"} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) = %s, want %s", d, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"a-b/c.d=@e:f,+": "a-b/c.d=@e:f,+",
		"":               "''",
		"it's":           `'it'\''s'`,
		`{"a": 1}`:       `'{"a": 1}'`,
		"a\n\tb'\\":      `$'a\n\tb\'\\'`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}
