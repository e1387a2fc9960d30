// Package access says who may do what: grants, and the principals that hold them.
//
//	set, err := access.ParseAll([]string{"call service team-a-*"})
//	set.Allows(access.Call, access.Service, "team-a-greet") // true
//
// # Grants
//
// A grant is a verb, a noun and a pattern, each of which can be *. A pattern is a
// name, or a prefix that ends in a hyphen, followed by *. There is nothing that
// denies, nothing nested and no order, so that what somebody may do is the union of
// what is written down, and so that [Set.Covers] can tell by looking whether
// somebody holds what somebody else is to be given.
//
// # Requests
//
// A context carries who a request is of; see [Of]. One that says nothing may do
// nothing.
package access

import (
	"slices"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/names"
)

// Verb is what one may do.
type Verb = ruedov1.Verb

// Noun is what one may do it with.
type Noun = ruedov1.Noun

// The verbs and nouns. Any stands for all of them in a grant.
const (
	Read    = ruedov1.Verb_VERB_READ
	Write   = ruedov1.Verb_VERB_WRITE
	Call    = ruedov1.Verb_VERB_CALL
	Use     = ruedov1.Verb_VERB_USE
	Execute = ruedov1.Verb_VERB_EXECUTE

	Service   = ruedov1.Noun_NOUN_SERVICE
	Decorator = ruedov1.Noun_NOUN_DECORATOR
	Runner    = ruedov1.Noun_NOUN_RUNNER
	User      = ruedov1.Noun_NOUN_USER
	Role      = ruedov1.Noun_NOUN_ROLE
	Cluster   = ruedov1.Noun_NOUN_CLUSTER
	Audit     = ruedov1.Noun_NOUN_AUDIT
	Secret    = ruedov1.Noun_NOUN_SECRET
	Issuer    = ruedov1.Noun_NOUN_ISSUER

	AnyVerb = ruedov1.Verb_VERB_UNSPECIFIED
	AnyNoun = ruedov1.Noun_NOUN_UNSPECIFIED
)

// star is how a grant is written that is about everything.
const star = "*"

// nouns are those that a verb goes with, for verbs that do not go with all.
var nouns = map[Verb][]Noun{
	Call:    {Service},
	Execute: {Service},
	Use:     {Decorator, Secret},
}

// Grant lets somebody do something.
type Grant struct {
	Verb Verb
	Noun Noun
	// Pattern is a name, a prefix and *, or *.
	Pattern string
}

// Everything is the grant of everything.
var Everything = Grant{AnyVerb, AnyNoun, star}

// Parse reads a grant such as "call service team-a-*". It fails with GRANT_INVALID.
func Parse(text string) (Grant, error) {
	words := strings.Fields(text)
	if len(words) != 3 {
		return Grant{}, invalid(text, "it does not have three words").WithFix("write a verb, a noun and a pattern, for example 'call service team-a-*'")
	}
	verb, ok := verbOf(words[0])
	if !ok {
		return Grant{}, invalid(text, "%q is not a verb", fault.Cut(words[0], 32)).WithFix("use one of %s", strings.Join(Verbs(), ", "))
	}
	noun, ok := nounOf(words[1])
	if !ok {
		return Grant{}, invalid(text, "%q is not a noun", fault.Cut(words[1], 32)).WithFix("use one of %s", strings.Join(Nouns(), ", "))
	}
	if only := nouns[verb]; only != nil && noun != AnyNoun && !slices.Contains(only, noun) {
		return Grant{}, invalid(text, "nobody can %s a %s", words[0], words[1]).WithFix("%s goes with %s", words[0], NounWord(only[0]))
	}
	if !validPattern(words[2]) {
		return Grant{}, invalid(text, "%q is not a pattern", fault.Cut(words[2], 80)).WithFix("use a name, a prefix that ends in a hyphen and a star such as team-a-*, or *")
	}
	return Grant{verb, noun, words[2]}, nil
}

func invalid(text, format string, args ...any) *fault.Error {
	e := fault.New(fault.GrantInvalid, "the grant %q is not valid: ", fault.Cut(text, 128))
	e.Message += fault.New(fault.GrantInvalid, format, args...).Message
	return e
}

func validPattern(p string) bool {
	prefix, star := strings.CutSuffix(p, star)
	switch {
	case !star:
		return names.Valid(p)
	case prefix == "":
		return true
	}
	return strings.HasSuffix(prefix, "-") && names.Valid(prefix+"x")
}

// String returns the grant as Parse reads it.
func (g Grant) String() string { return VerbWord(g.Verb) + " " + NounWord(g.Noun) + " " + g.Pattern }

// allows reports whether the grant lets somebody do this.
func (g Grant) allows(verb Verb, noun Noun, name string) bool {
	return (g.Verb == verb || g.Verb == AnyVerb) && g.about(noun, name)
}

// about reports whether the grant is about a name.
func (g Grant) about(noun Noun, name string) bool {
	return (g.Noun == noun || g.Noun == AnyNoun) && matches(g.Pattern, name)
}

// matches reports whether a pattern matches a name, or all that another pattern
// matches.
func matches(pattern, name string) bool {
	if prefix, star := strings.CutSuffix(pattern, star); star {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// covers reports whether g allows everything that other allows.
func (g Grant) covers(other Grant) bool {
	return (g.Verb == AnyVerb || g.Verb == other.Verb) && (g.Noun == AnyNoun || g.Noun == other.Noun) && matches(g.Pattern, other.Pattern)
}

// Set is what somebody may do: the union of its grants. The zero Set allows
// nothing. It must not be changed while it is in use.
type Set []Grant

// ParseAll reads grants. It fails with GRANT_INVALID.
func ParseAll(texts []string) (Set, error) {
	set := make(Set, 0, len(texts))
	for _, text := range texts {
		g, err := Parse(text)
		if err != nil {
			return nil, err
		}
		set = append(set, g)
	}
	return set, nil
}

// Allows reports whether the set lets somebody do this.
func (s Set) Allows(verb Verb, noun Noun, name string) bool {
	for i := range s {
		if s[i].allows(verb, noun, name) {
			return true
		}
	}
	return false
}

// Sees reports whether any of its grants is about a name, so that its existence is
// no secret.
func (s Set) Sees(noun Noun, name string) bool {
	for i := range s {
		if s[i].about(noun, name) {
			return true
		}
	}
	return false
}

// Some reports whether the set lets somebody do this with at least one name, which
// does not have to exist.
func (s Set) Some(verb Verb, noun Noun) bool {
	for _, g := range s {
		if (g.Verb == verb || g.Verb == AnyVerb) && (g.Noun == noun || g.Noun == AnyNoun) {
			return true
		}
	}
	return false
}

// Covers reports whether the set allows everything that a grant allows.
func (s Set) Covers(g Grant) bool {
	if slices.ContainsFunc(s, func(own Grant) bool { return own.covers(g) }) {
		return true
	}
	// Several grants can add up to one of all verbs, or of all nouns.
	switch {
	case g.Verb == AnyVerb:
		for verb := range verbs() {
			if only := nouns[verb]; g.Noun != AnyNoun && only != nil && !slices.Contains(only, g.Noun) {
				continue
			}
			if !s.Covers(Grant{verb, g.Noun, g.Pattern}) {
				return false
			}
		}
		return true
	case g.Noun == AnyNoun:
		for noun := range allNouns() {
			if only := nouns[g.Verb]; only != nil && !slices.Contains(only, noun) {
				continue
			}
			if !s.Covers(Grant{g.Verb, noun, g.Pattern}) {
				return false
			}
		}
		return true
	}
	return false
}

// Narrow returns what both the set and another one allow.
func (s Set) Narrow(by Set) Set {
	var both Set
	for _, a := range s {
		for _, b := range by {
			if g, ok := a.and(b); ok && !slices.Contains(both, g) {
				both = append(both, g)
			}
		}
	}
	return both
}

// and returns the grant of what both allow; false if that is nothing.
func (g Grant) and(other Grant) (Grant, bool) {
	both := Grant{max(g.Verb, other.Verb), max(g.Noun, other.Noun), g.Pattern} // Any is the least
	if matches(g.Pattern, other.Pattern) {
		both.Pattern = other.Pattern
	}
	only := nouns[both.Verb]
	return both, g.covers(both) && other.covers(both) && (only == nil || both.Noun == AnyNoun || slices.Contains(only, both.Noun))
}

// Exceeding returns the first grant of other that the set does not cover.
func (s Set) Exceeding(other Set) (Grant, bool) {
	for _, g := range other {
		if !s.Covers(g) {
			return g, true
		}
	}
	return Grant{}, false
}

// Strings returns the grants as texts.
func (s Set) Strings() []string {
	texts := make([]string, len(s))
	for i, g := range s {
		texts[i] = g.String()
	}
	return texts
}
