package access

import (
	"iter"
	"slices"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// VerbWord returns a verb as grants spell it.
func VerbWord(v Verb) string { return word(v.String(), "VERB_") }

// NounWord returns a noun as grants spell it.
func NounWord(n Noun) string { return word(n.String(), "NOUN_") }

func word(enum, prefix string) string {
	if w := strings.ToLower(strings.TrimPrefix(enum, prefix)); w != "unspecified" {
		return w
	}
	return star
}

// Verbs returns the words for all verbs, * last.
func Verbs() []string { return words(verbs(), VerbWord) }

// Nouns returns the words for all nouns, * last.
func Nouns() []string { return words(allNouns(), NounWord) }

func words[T ~int32](all iter.Seq[T], spell func(T) string) []string {
	var list []string
	for v := range all {
		list = append(list, spell(v))
	}
	return append(list, star)
}

func verbs() iter.Seq[Verb] { return enum[Verb](len(ruedov1.Verb_name)) }

func allNouns() iter.Seq[Noun] { return enum[Noun](len(ruedov1.Noun_name)) }

// enum returns the values of an enum but for zero.
func enum[T ~int32](n int) iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := 1; i < n && yield(T(i)); i++ {
		}
	}
}

func verbOf(w string) (Verb, bool) {
	i := slices.Index(Verbs(), w)
	return Verb((i + 1) % len(ruedov1.Verb_name)), i >= 0
}

func nounOf(w string) (Noun, bool) {
	i := slices.Index(Nouns(), w)
	return Noun((i + 1) % len(ruedov1.Noun_name)), i >= 0
}
