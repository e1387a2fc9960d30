// Package reference is the reference pages: docs/reference, and the topics of
// `ruedo help`.
//
// Each page is made from the structs and tables that the program itself works
// with: tags of structs, rules of messages, and tables such as that of limits.
// It is not a second list of them. `make references` writes the pages, and a test
// fails if one is stale.
package reference

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
)

// Topic is a page, and what `ruedo help` says about it.
type Topic struct {
	Name string
	// Help is one sentence.
	Help string
	// Page makes the page.
	Page func() (page.Page, error)
}

// Topics returns all topics, in the order of help. nouns are those that have
// documents for `ruedo apply`.
func Topics(nouns []*verb.Noun) []Topic {
	return []Topic{
		{"service-file", "The keys of ruedo.yaml.", serviceFile},
		{"decorator-file", "The keys of decorators.yaml, with all limits.", decoratorFile},
		{"cases-file", "The keys of the file for ruedo check --calls.", casesFile},
		{"documents", "What ruedo apply -f reads.", func() (page.Page, error) { return documents(nouns) }},
		{"http", "POST and GET /call/SERVICE: header fields, status codes, errors.", http},
		{"settings", "All settings: config file and environment.", settingsPage},
		{"metrics", "What GET /metrics of a core has.", metrics},
		{"exit-codes", "What the exit code of ruedo says.", exitCodes},
		{"reasons", "The reasons of errors: code, HTTP status, exit code, meaning.", reasons},
	}
}

// Names returns the names of topics.
func Names(topics []Topic) []string {
	var names []string
	for _, t := range topics {
		names = append(names, t.Name)
	}
	return names
}

// Lookup returns the topic of a name.
func Lookup(topics []Topic, name string) (Topic, bool) {
	for _, t := range topics {
		if t.Name == name {
			return t, true
		}
	}
	return Topic{}, false
}

// Vars returns the variables in the tags of `ruedo help`.
func Vars(topics []Topic) kong.Vars {
	return kong.Vars{"topics": strings.Join(Names(topics), ","), "topicList": strings.Join(Names(topics), ", ")}
}

// source is the first line of each document.
const source = "made from the code: `make references` writes it"

// Markdown returns the document of a topic, docs/reference/NAME.md.
func (t Topic) Markdown() (string, error) {
	p, err := t.Page()
	if err != nil {
		return "", err
	}
	return p.Markdown(source), nil
}

// Text returns the help text of a topic, in so many columns.
func (t Topic) Text(columns int) (string, error) {
	p, err := t.Page()
	if err != nil {
		return "", err
	}
	return p.Text(columns), nil
}

// codes returns words as a list of code.
func codes[T ~string](words []T) string {
	var list []string
	for _, w := range words {
		list = append(list, fmt.Sprintf("`%s`", w))
	}
	return strings.Join(list, ", ")
}
