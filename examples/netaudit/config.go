package main

import (
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/sdk"
)

// line is one line of a configuration that says something.
type line struct {
	number int      // from 1
	text   string   // without the space around it
	words  []string // of text
	block  string   // the line that this one is indented under; "" for none
}

// has tells whether the line begins with these words.
func (l line) has(words ...string) bool {
	return len(l.words) >= len(words) && slices.Equal(l.words[:len(words)], words)
}

// parse splits a configuration into the lines that say something: comments
// ("!") and empty ones are left out, numbers stay those of the file.
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

// hideSecrets gives the text of a line with its passwords and keys blotted
// out: findings are passed around and end up in tickets.
func hideSecrets(l line) string {
	words := slices.Clone(l.words)
	hide := len(words) // everything from here
	switch {
	case l.has("snmp-server", "community"):
		// The name is what is objected to, if it is one that everybody knows.
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
	return 0, sdk.Errorf(sdk.InvalidArgument, "severity %q is not known: take low, medium or high", name)
}
