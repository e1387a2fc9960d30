package schema

import (
	"math/big"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ruedo-dev/ruedo/core/decorate/admission"
	"github.com/ruedo-dev/ruedo/core/decorate/input"
)

// rule is one schema object or boolean in the form that [Checker] checks. A nil
// rule accepts everything. Rules are immutable; they may refer to each other in
// circles, but only through a member, an item or a name.
//
// What most checks look at comes first, and what is about one type is together: of
// thousands of services, the rules of none are in a cache.
type rule struct {
	// work is the cost of visiting the rule, without the rules that it refers
	// to.
	work  int
	types kindSet
	// never is set for the schema false, which accepts nothing.
	never   bool
	integer bool // with types: a number must be an integer
	// inPlace is set if the rule refers to others about the same value; see refers.
	inPlace                                    bool
	hasUnevaluatedMembers, hasUnevaluatedItems bool
	hasRest                                    bool
	enum                                       *choice
	format                                     *jsonschema.Format
	// Strings.
	minLength, maxLength *int
	pattern              *admission.Pattern
	// Objects.
	members     map[string]member
	memberNames *rule
	// watched is the number of names that have an index; see member.
	watched                int
	required               []watch
	patterns               []patternRule
	minMembers, maxMembers *int
	needs                  []need
	dependents             []dependent
	rest                   *rule // additionalProperties
	// Numbers.
	bounds     []bound
	multipleOf *limit
	// Arrays.
	minItems, maxItems *int
	uniqueItems        bool
	hasItems           bool
	hasContains        bool
	// containsEvaluates is set since 2020-12: unevaluatedItems skips items that
	// contains accepts.
	containsEvaluates bool
	prefix            []*rule
	items             *rule // what follows the prefix
	contains          *rule
	minContains       int
	maxContains       *int
	// Rules about the same value.
	all                []*rule // $ref and allOf
	any, one           [][]*rule
	not, cond          *rule
	hasNot, hasCond    bool
	then, otherwise    *rule
	unevaluatedMembers *rule
	unevaluatedItems   *rule
	wantTypes          string // of types, for errors
}

// refers reports whether a value has to fit other rules as well.
func (r *rule) refers() bool {
	return len(r.all)+len(r.any)+len(r.one) > 0 || r.hasNot || r.hasCond
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
		case "integer":
			set |= 1 << input.Number
			integer = true
		case "string":
			set |= 1 << input.String
		case "array":
			set |= 1 << input.Array
		case "object":
			set |= 1 << input.Object
		}
	}
	for _, n := range names {
		if n == "number" {
			set |= 1 << input.Number
			integer = false
		}
	}
	return set, integer
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
