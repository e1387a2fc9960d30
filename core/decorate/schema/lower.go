package schema

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ruedo-dev/ruedo/core/decorate/admission"
	"github.com/ruedo-dev/ruedo/core/decorate/input"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// lowering turns schemas that the library has compiled into rules.
type lowering struct {
	made    map[*jsonschema.Schema]*rule
	order   []*jsonschema.Schema // order of made, so that errors are deterministic
	refused *Refusal
	// dynamic is the place of a reference whose target depends on the path that
	// leads to it, and several is set if there is more than one resource. The
	// target differs only if both are set.
	dynamic string
	several bool
}

// lower returns the rules of a compiled schema and bounds their cost. several
// is set if parts of it are resources of their own.
func lower(s *jsonschema.Schema, several bool) (*rule, *Refusal) {
	l := &lowering{made: make(map[*jsonschema.Schema]*rule), several: several}
	r := l.rule(s)
	if l.refused == nil && l.dynamic != "" && l.several {
		l.refused = admission.Invalid("has a reference at %s that depends on the way that leads to it ($dynamicRef or $recursiveRef across $id)", fault.Cut(l.dynamic, maxDescription))
		l.refused.Fix = `use "$ref"`
	}
	if l.refused != nil {
		return nil, l.refused
	}
	costs := &cost{known: make(map[*rule]visit), open: make(map[*rule]bool)}
	for _, schema := range l.order {
		made := l.made[schema]
		v, ok := costs.of(made)
		switch {
		case !ok:
			refused := admission.Invalid("refers to itself at %s without looking at a part of the input: checking would never end", place(schema))
			refused.Fix = "refer to it from a property or an item"
			return nil, refused
		case v.chain > maxChain:
			return nil, admission.OverLimit("references in a row about one value at "+place(schema), maxChain, v.chain)
		case v.work > maxVisit:
			return nil, admission.OverLimit("units of work for one value at "+place(schema), maxVisit, v.work)
		}
	}
	return r, nil
}

// place returns the name of a part of a schema for errors.
func place(s *jsonschema.Schema) string {
	at := strings.TrimPrefix(s.Location, root+"#")
	if at == "" {
		return "its top"
	}
	return fault.Cut(at, maxQuoted)
}

// rule returns the rule of a schema, nil if it accepts everything.
func (l *lowering) rule(s *jsonschema.Schema) *rule {
	if s == nil || s.Bool != nil && *s.Bool {
		return nil
	}
	if r, ok := l.made[s]; ok {
		return r
	}
	r := &rule{work: 2}
	l.order = append(l.order, s)
	l.made[s] = r // first, because it may refer to itself
	if !strings.HasPrefix(s.Location, root+"#") {
		l.several = true // a metaschema
	}
	if s.Bool != nil {
		r.never = true
		return r
	}
	if s.Ref != nil && s.DraftVersion < 2019 { // which ignores what is next to a reference
		r.inPlace = &inPlace{all: []*rule{l.rule(s.Ref)}}
		return r
	}
	l.anyValue(r, s)
	l.inPlace(r, s)
	l.objects(r, s)
	l.arrays(r, s)
	r.length = extentOf(s.MinLength, s.MaxLength)
	if s.Pattern != nil {
		r.pattern = s.Pattern.(*admission.Pattern)
	}
	r.number(s)
	r.work += len(r.bounds) + len(r.prefix) + len(r.patterns) + len(r.required) + len(r.needs) + len(r.dependents) + r.watched/8
	return r
}

func (l *lowering) rules(list []*jsonschema.Schema) []*rule {
	out := make([]*rule, 0, len(list))
	for _, s := range list {
		out = append(out, l.rule(s))
	}
	return out
}

func (l *lowering) anyValue(r *rule, s *jsonschema.Schema) {
	if s.Types != nil && !s.Types.IsEmpty() {
		names := s.Types.ToStrings()
		r.types, r.integer = kindsOf(names)
		r.wantTypes = strings.Join(names, " or ")
	}
	switch {
	case s.Const != nil:
		l.choose(r, []any{*s.Const}, false)
	case s.Enum != nil:
		l.choose(r, s.Enum.Values, true)
	}
	r.format = s.Format
}

func (l *lowering) inPlace(r *rule, s *jsonschema.Schema) {
	var p inPlace
	if s.Ref != nil {
		p.all = append(p.all, l.rule(s.Ref))
	}
	if s.RecursiveRef != nil {
		if s.RecursiveRef.RecursiveAnchor {
			l.dynamic = place(s)
		}
		p.all = append(p.all, l.rule(s.RecursiveRef))
	}
	if d := s.DynamicRef; d != nil {
		if d.Anchor != "" && d.Ref.DynamicAnchor == d.Anchor {
			l.dynamic = place(s)
		}
		p.all = append(p.all, l.rule(d.Ref))
	}
	if s.Const != nil && s.Enum != nil {
		enum := &rule{work: 2}
		l.choose(enum, s.Enum.Values, true)
		p.all = append(p.all, enum)
	}
	p.all = append(p.all, l.rules(s.AllOf)...)
	if len(s.AnyOf) > 0 {
		p.any = append(p.any, l.rules(s.AnyOf))
	}
	if len(s.OneOf) > 0 {
		p.one = append(p.one, l.rules(s.OneOf))
	}
	if s.Not != nil {
		p.not, p.hasNot = l.rule(s.Not), true
	}
	if s.If != nil {
		p.cond, p.then, p.otherwise, p.hasCond = l.rule(s.If), l.rule(s.Then), l.rule(s.Else), true
	}
	if n := len(p.all) + len(p.any) + len(p.one); n > 0 || p.hasNot || p.hasCond {
		r.inPlace = &p
		r.work += n
	}
}

// choose adds a choice between the values of an enum or a const.
func (l *lowering) choose(r *rule, values []any, several bool) {
	e := &choice{forms: make(map[string]struct{}, len(values)), text: list(values)}
	if several {
		e.text = "one of " + e.text
	}
	d := input.NewDocument()
	for _, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			l.refused = admission.Invalid("has a value in an enum that is not JSON")
			return
		}
		if err := d.Read(context.Background(), text); err != nil {
			l.refused = admission.Invalid("has a value in an enum that no input can have: %v", err)
			return
		}
		form := d.Form(0)
		e.forms[string(form)] = struct{}{}
		e.kinds |= 1 << d.Kind(0)
		e.longest = max(e.longest, len(form))
	}
	r.enum = e
}

func (l *lowering) objects(r *rule, s *jsonschema.Schema) {
	r.size = extentOf(s.MinProperties, s.MaxProperties)
	members := make(map[string]member, len(s.Properties))
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		members[name] = member{rule: l.rule(s.Properties[name]), listed: true}
	}
	watched := func(name string) watch {
		m := members[name]
		if m.watch == 0 {
			r.watched++
			m.watch = r.watched
			members[name] = m
		}
		return watch{m.watch - 1, name}
	}
	allWatched := func(names []string) []watch {
		var out []watch
		for _, n := range names {
			out = append(out, watched(n))
		}
		return out
	}
	r.required = allWatched(s.Required)
	for _, name := range slices.Sorted(maps.Keys(s.DependentRequired)) {
		r.needs = append(r.needs, need{watched(name), allWatched(s.DependentRequired[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(s.DependentSchemas)) {
		r.dependents = append(r.dependents, dependent{watched(name), l.rule(s.DependentSchemas[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Dependencies)) {
		switch d := s.Dependencies[name].(type) {
		case []string:
			r.needs = append(r.needs, need{watched(name), allWatched(d)})
		case *jsonschema.Schema:
			r.dependents = append(r.dependents, dependent{watched(name), l.rule(d)})
		}
	}
	for _, n := range r.needs {
		r.work += len(n.names)
	}
	for p, sub := range s.PatternProperties {
		r.patterns = append(r.patterns, patternRule{p.(*admission.Pattern), l.rule(sub)})
	}
	slices.SortFunc(r.patterns, func(a, b patternRule) int { return strings.Compare(a.pattern.String(), b.pattern.String()) })
	if len(members) > 0 {
		r.members = members
	}
	r.rest, r.hasRest = l.additional(s.AdditionalProperties)
	if s.PropertyNames != nil {
		r.memberNames = l.rule(s.PropertyNames)
	}
	if s.UnevaluatedProperties != nil {
		r.unevaluatedMembers, r.hasUnevaluatedMembers = l.rule(s.UnevaluatedProperties), true
	}
}

// additional returns the rule of a keyword whose value is a bool or a schema.
func (l *lowering) additional(v any) (r *rule, has bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return nil, true
		}
		return &rule{work: 1, never: true}, true
	case *jsonschema.Schema:
		return l.rule(v), true
	}
	return nil, false
}

func (l *lowering) arrays(r *rule, s *jsonschema.Schema) {
	r.count, r.uniqueItems = extentOf(s.MinItems, s.MaxItems), s.UniqueItems
	if s.DraftVersion < 2020 {
		switch items := s.Items.(type) {
		case *jsonschema.Schema:
			r.items, r.hasItems = l.rule(items), true
		case []*jsonschema.Schema:
			r.prefix = l.rules(items)
			r.items, r.hasItems = l.additional(s.AdditionalItems)
		}
	} else {
		r.prefix = l.rules(s.PrefixItems)
		if s.Items2020 != nil {
			r.items, r.hasItems = l.rule(s.Items2020), true
		}
	}
	if s.Contains != nil {
		r.contains, r.hasContains = l.rule(s.Contains), true
		r.contained = extentOf(cmp.Or(s.MinContains, new(1)), s.MaxContains)
		r.containsEvaluates = s.DraftVersion >= 2020
	}
	if s.UnevaluatedItems != nil {
		r.unevaluatedItems, r.hasUnevaluatedItems = l.rule(s.UnevaluatedItems), true
	}
}

func (r *rule) number(s *jsonschema.Schema) {
	add := func(n *big.Rat, bad int, exclusive bool) {
		if n != nil {
			r.bounds = append(r.bounds, bound{limitOf(n), bad, exclusive})
		}
	}
	add(s.Minimum, -1, false)
	add(s.Maximum, +1, false)
	add(s.ExclusiveMinimum, -1, true)
	add(s.ExclusiveMaximum, +1, true)
	if s.MultipleOf != nil {
		r.multipleOf = new(limitOf(s.MultipleOf))
	}
}
