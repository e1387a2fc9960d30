package input

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// maxContradictions bounds the lines that Reconcile returns.
const maxContradictions = 20

// Reconcile lays what the decorators of a service say over the schema that the
// types of its handler make. A call must pass both, so the decorators cannot allow
// what the types refuse. They can loosen what the types only imply: a field that a
// decorator lists without requiring it is optional, and an object to which a
// decorator expressly allows other fields accepts unknown ones.
//
// contradictions are lines about what no input, or not every input, can pass in
// both: "nme: decorator d requires it, the types have no such field".
func Reconcile(types *structpb.Struct, decorators []*ruedov1.Decorator) (reconciled *structpb.Struct, contradictions []string) {
	if types == nil {
		return nil, nil
	}
	root := types.AsMap()
	r := &reconciler{}
	for _, d := range decorators {
		if d.GetInputSchema() == nil {
			continue
		}
		said := d.GetInputSchema().AsMap()
		r.seen = map[string]bool{}
		r.both("", schema{root: root, node: root}, schema{root: said, node: said, decorator: d.GetName()}, 0)
	}
	if n := len(r.list) - maxContradictions; n > 0 {
		r.list = append(r.list[:maxContradictions], fmt.Sprintf("and %d more", n))
	}
	reconciled, err := structpb.NewStruct(root)
	if err != nil { // it came from one
		return types, r.list
	}
	return reconciled, r.list
}

type reconciler struct {
	list []string
	seen map[string]bool // pairs of parts
}

func (r *reconciler) say(path, format string, args ...any) {
	if path == "" {
		path = "(input)"
	}
	r.list = append(r.list, path+": "+fmt.Sprintf(format, args...))
}

// both compares what the types (t) and a decorator (d) say about one value.
func (r *reconciler) both(path string, t, d schema, depth int) {
	t, d = t.deref(), d.deref()
	pair := fmt.Sprintf("%p %p", t.node, d.node)
	if len(t.node) == 0 || len(d.node) == 0 || depth > maxDepth || r.seen[pair] {
		return
	}
	r.seen[pair] = true
	ours, theirs := t.types(), d.types()
	if len(ours) > 0 && len(theirs) > 0 && len(common(ours, theirs)) == 0 {
		r.say(path, "%s says %s, the types say %s: no value is accepted", d.origin(), strings.Join(theirs, " or "), strings.Join(ours, " or "))
		return
	}
	if values, allowed := d.enum(), t.enum(); len(values) > 0 && len(allowed) > 0 {
		if !slices.ContainsFunc(values, func(v any) bool { return slices.Contains(literals(allowed), literal(v)) }) {
			r.say(path, "%s says %s, the types say %s: no value is accepted", d.origin(), strings.Join(literals(values), "|"), strings.Join(literals(allowed), "|"))
			return
		}
	}
	if _, ok := t.node["properties"]; ok {
		r.fields(path, t, d, depth)
	}
	for _, keyword := range []string{"items", "additionalProperties"} {
		ours, ok := t.child(keyword)
		theirs, has := d.child(keyword)
		if ok && has {
			r.both(path+"[]", ours, theirs, depth+1)
		}
	}
}

// fields compares the fields of an object.
func (r *reconciler) fields(path string, t, d schema, depth int) {
	ours, theirs, required := t.properties(), d.properties(), d.allRequired()
	if d.opens() {
		delete(t.node, "additionalProperties")
	}
	_, closed := t.node["additionalProperties"].(bool)
	prefix := ""
	if path != "" {
		prefix = path + "."
	}
	names := slices.Sorted(maps.Keys(ours))
	lacks := func(name string) string {
		if hint := suggest.DidYouMean(name, names); hint != "" {
			return "the types have no such field (" + hint + ")"
		}
		return "the types have no such field"
	}
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		own, ok := ours[name]
		switch {
		case ok:
			r.both(prefix+name, own, theirs[name], depth+1)
			if !slices.Contains(required, name) {
				t.release(name)
			}
		case closed && slices.Contains(required, name):
			r.say(prefix+name, "%s requires it, %s: no input is accepted", d.origin(), lacks(name))
		case closed:
			r.say(prefix+name, "%s has it, %s and refuse it", d.origin(), lacks(name))
		}
	}
	for _, name := range required {
		if _, ok := theirs[name]; !ok && closed && ours[name].root == nil {
			r.say(prefix+name, "%s requires it, %s: no input is accepted", d.origin(), lacks(name))
		}
	}
	if only, ok := d.node["additionalProperties"].(bool); !ok || only || d.node["patternProperties"] != nil {
		return
	}
	must := t.required()
	for _, name := range names {
		switch _, ok := theirs[name]; {
		case ok:
		case slices.Contains(must, name):
			r.say(prefix+name, "%s refuses it, the types require it: no input is accepted", d.origin())
		default:
			r.say(prefix+name, "%s refuses it, the types have it", d.origin())
		}
	}
}

// opens reports whether a schema expressly allows fields that it does not list.
func (s schema) opens() bool {
	for _, keyword := range []string{"additionalProperties", "unevaluatedProperties"} {
		switch v := s.node[keyword].(type) {
		case bool:
			if v {
				return true
			}
		case map[string]any:
			return true
		}
	}
	return s.node["patternProperties"] != nil
}

// release makes a field optional.
func (s schema) release(name string) {
	list, _ := s.node["required"].([]any)
	kept := slices.DeleteFunc(slices.Clone(list), func(v any) bool { return v == any(name) })
	if len(kept) == 0 {
		delete(s.node, "required")
		return
	}
	s.node["required"] = kept
}

// allRequired returns the fields that an object must have, those of allOf
// included.
func (s schema) allRequired() []string {
	list := s.required()
	parts, _ := s.deref().node["allOf"].([]any)
	for _, p := range parts {
		if node, ok := p.(map[string]any); ok {
			list = append(list, schema{root: s.root, node: node}.required()...)
		}
	}
	return list
}

func literals(values []any) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = literal(v)
	}
	return list
}
