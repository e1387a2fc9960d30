package access

import ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"

// Rule is what a caller needs for a procedure, or for a route of plain HTTP.
type Rule = ruedov1.AccessRule

// Open returns the rule of what anybody may have.
func Open() *Rule { return &Rule{Open: true} }

// Own returns the rule of what anybody may have who has logged in.
func Own() *Rule { return &Rule{Own: true} }

// Needs returns the rule of what needs a grant of a verb for a noun. Those who need
// Call for a service are asked where the service is known.
func Needs(verb Verb, noun Noun) *Rule { return &Rule{Verb: verb, Noun: noun} }
