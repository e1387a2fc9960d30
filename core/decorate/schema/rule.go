package schema

import (
	"math"
	"math/big"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ruedo-dev/ruedo/core/decorate/admission"
	"github.com/ruedo-dev/ruedo/core/decorate/input"
)

// rule is one schema object or boolean in the form that [Checker] checks. A nil
// rule accepts everything. Rules are immutable; they may refer to each other in
// circles, but only through a member, an item or a name.
//
// The order is that of a check, which looks at as little memory as it can: of thousands
// of services, the rules of none are in a cache.
type rule struct {
	// work is the cost of a visit, without the rules that it refers to.
	work  int
	types kindSet
	// never is set for the schema false, which accepts nothing.
	never                                      bool
	integer                                    bool // with types: a number must be an integer
	hasUnevaluatedMembers, hasUnevaluatedItems bool // see unevaluates
	enum                                       *choice
	format                                     *jsonschema.Format
	inPlace                                    *inPlace // nil if the rule refers to no others about the same value
	// Strings.
	length  extent
	pattern *admission.Pattern
	// Objects.
	members     map[string]member
	memberNames *rule
	// watched is the number of names that have an index; see member.
	watched            int
	required           []watch
	patterns           []patternRule
	size               extent
	needs              []need
	dependents         []dependent
	rest               *rule // additionalProperties
	hasRest            bool
	unevaluatedMembers *rule
	// Numbers.
	bounds     []bound
	multipleOf *limit
	// Arrays.
	count                              extent
	uniqueItems, hasItems, hasContains bool
	prefix                             []*rule
	items                              *rule // what follows the prefix
	contains                           *rule
	contained                          extent // how many items contains accepts
	// containsEvaluates is set since 2020-12: unevaluatedItems skips items that
	// contains accepts.
	containsEvaluates bool
	unevaluatedItems  *rule
	wantTypes         string // of types, for errors
}

// unevaluates reports whether the rule is also about those members or items of a
// value that nothing else in it has looked at.
func (r *rule) unevaluates(k input.Kind) bool {
	return k == input.Object && r.hasUnevaluatedMembers || k == input.Array && r.hasUnevaluatedItems
}

// inPlace is the rules about the same value.
type inPlace struct {
	all             []*rule // $ref and allOf
	any, one        [][]*rule
	not, cond       *rule
	hasNot, hasCond bool
	then, otherwise *rule
}

// extent is how many of something there can be. The zero extent accepts any number.
type extent struct {
	least int
	below int // one more than the most; 0 is no limit
}

func (e extent) accepts(n int) bool { return n >= e.least && (e.below == 0 || n < e.below) }

// extentOf returns an extent; nil is no bound.
func extentOf(least, most *int) (e extent) {
	if least != nil {
		e.least = *least
	}
	if most != nil && *most < math.MaxInt {
		e.below = *most + 1
	}
	return e
}

// member is what a rule says about a name.
type member struct {
	rule *rule
	// listed is set if the name is among the properties, not only required or
	// depended on.
	listed bool
	// watch is 1 + the index of the name among the watched ones, or 0.
	watch int
}

// watch is a name whose presence matters. index counts the watched names of a rule.
type watch struct {
	index int
	name  string
}

// need says which names an object must have if it has another one.
type need struct {
	of    watch
	names []watch
}

// dependent is a rule about an object that has a member of this name.
type dependent struct {
	of   watch
	rule *rule
}

// patternRule is a rule about members whose names match.
type patternRule struct {
	pattern *admission.Pattern
	rule    *rule
}

// bound is a minimum or a maximum: comparing a number with the limit must not
// return bad, nor 0 if the bound is exclusive.
type bound struct {
	limit
	bad       int
	exclusive bool
}

func (b bound) text() string {
	switch {
	case b.bad < 0 && b.exclusive:
		return "over"
	case b.bad < 0:
		return "at least"
	case b.exclusive:
		return "under"
	}
	return "at most"
}

// limit is a number of a schema.
type limit struct {
	input.Decimal
	float float64 // nearest to it
	text  string
}

// kindSet is a set of kinds.
type kindSet uint16

func (s kindSet) has(k input.Kind) bool { return s&(1<<k) != 0 }

// kindsOf returns the kinds for type names of JSON Schema. integer is set if a
// number must be an integer.
func kindsOf(names []string) (set kindSet, integer bool) {
	for _, n := range names {
		switch n {
		case "null":
			set |= 1 << input.Null
		case "boolean":
			set |= 1<<input.False | 1<<input.True
		case "integer", "number":
			set |= 1 << input.Number
		case "string":
			set |= 1 << input.String
		case "array":
			set |= 1 << input.Array
		case "object":
			set |= 1 << input.Object
		}
	}
	return set, !slices.Contains(names, "number") && slices.Contains(names, "integer")
}

// limitOf returns a number of a schema in the form that numbers are compared with.
func limitOf(r *big.Rat) limit {
	// A schema's numbers are IEEE doubles, because its message has no other
	// numbers. The number that was meant is the shortest text that parses as
	// the double.
	text := number(r)
	f, _ := r.Float64()
	var digits input.Digits // far more room than the number needs
	return limit{input.ParseDecimal([]byte(text), &digits).Clone(), f, text}
}
