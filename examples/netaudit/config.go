package main

import (
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/sdk"
)

// line is one meaningful line of a configuration.
type line struct {
	number int      // from 1
	text   string   // without surrounding space
	words  []string // of text
	block  string   // the line above that this one is indented under; "" if there is none
}

// has reports whether the line begins with these words.
func (l line) has(words ...string) bool {
	return len(l.words) >= len(words) && slices.Equal(l.words[:len(words)], words)
}

// parse splits a configuration into its meaningful lines. Comments ("!") and
// empty lines are left out; the numbers stay those of the file.
func parse(config string) []line {
	var lines []line
	block := ""
	number := 0
	for raw := range strings.Lines(config) {
		number++
		text := strings.TrimSpace(raw)
		if text == "" || strings.HasPrefix(text, "!") {
			continue
		}
		indented := raw[0] == ' ' || raw[0] == '\t'
		l := line{number: number, text: text, words: strings.Fields(text)}
		if indented {
			l.block = block
		} else {
			block = text
		}
		lines = append(lines, l)
	}
	return lines
}

// hideSecrets returns the text of a line with its passwords and keys masked,
// because findings are passed around and end up in tickets.
func hideSecrets(l line) string {
	words := slices.Clone(l.words)
	hide := len(words) // index of the first word to hide
	switch {
	case l.has("snmp-server", "community"):
		// A well-known name is the finding itself, so it is shown.
		if len(words) > 2 && !wellKnown(words[2]) {
			words[2] = "****"
		}
	case l.has("enable", "password"):
		hide = 2
	default:
		if i := slices.IndexFunc(words, func(w string) bool { return w == "password" || w == "secret" || w == "key" }); i > 0 {
			hide = i + 1
		}
	}
	if hide < len(words) {
		words = append(words[:hide], "****")
	}
	return strings.Join(words, " ")
}

// severity orders findings.
type severity int

const (
	low severity = iota + 1
	medium
	high
)

func (s severity) String() string { return [...]string{"", "low", "medium", "high"}[s] }

func severityOf(name string) (severity, error) {
	switch name {
	case "", "low":
		return low, nil
	case "medium":
		return medium, nil
	case "high":
		return high, nil
	}
	return 0, sdk.Errorf(sdk.InvalidArgument, "unknown severity %q: use low, medium or high", name)
}
