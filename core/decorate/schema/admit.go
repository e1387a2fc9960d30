package schema

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/decorate/input"
)

// Bounds of a schema, looked at before it is compiled. What they let through
// compiles in a fraction of a second: the time grows with the square of the
// schemas in it.
const (
	// maxSchema bounds its JSON.
	maxSchema = 256 << 10
	// maxSchemaDepth bounds how deep its arrays and objects nest. An object in an
	// object takes two levels.
	maxSchemaDepth = 128
	// maxSchemaValues bounds its values, the entries of enums among them.
	maxSchemaValues = 20_000
	// maxSubschemas bounds its objects and booleans: what may be a schema.
	maxSubschemas = 2_500
	// maxReferences bounds its references, and maxOddReferences those of them that
	// lead elsewhere than to "$defs" or "definitions", where each takes longer.
	maxReferences    = 1_000
	maxOddReferences = 200
	// maxPointers bounds the length of the JSON pointers to all of its parts
	// together: what is deep has a long one.
	maxPointers = 512 << 10
	// maxCount is the largest length or count that it may demand.
	maxCount = 1 << 53
)

// admission counts what is in a schema.
type admission struct {
	values, subschemas, references, pointers int
	// odd are the references that lead to unusual places.
	odd map[string]bool
	// resources are the parts with an $id of their own.
	resources int
	refusal   *Refusal
}

// admit refuses a schema whose size or shape would make it dear to compile.
func admit(schema *structpb.Struct) *admission {
	a := &admission{odd: make(map[string]bool)}
	if n := proto.Size(schema); n > 4*maxSchema {
		a.refuse("bytes", maxSchema, n)
		return a
	}
	a.object(schema, 1, 0, true)
	return a
}

func (a *admission) refuse(what string, limit, actual int) bool {
	if a.refusal == nil {
		a.refusal = overLimit(what, limit, actual)
	}
	return false
}

// object counts an object; schema is false in what is plain data.
func (a *admission) object(s *structpb.Struct, depth, pointer int, schema bool) bool {
	if depth > maxSchemaDepth {
		return a.refuse("levels of nesting", maxSchemaDepth, depth)
	}
	if a.pointers += pointer; a.pointers > maxPointers {
		return a.refuse("bytes in the paths to its parts", maxPointers, a.pointers)
	}
	if a.subschemas++; a.subschemas > maxSubschemas {
		return a.refuse("subschemas", maxSubschemas, a.subschemas)
	}
	for name, v := range s.GetFields() {
		if schema && !a.keyword(name, v) {
			return false
		}
		if schema && name == "$id" && depth > 1 {
			a.resources++
		}
		if !a.value(v, depth+1, pointer+1+len(name), schema && !isData(name)) {
			return false
		}
	}
	return true
}

func (a *admission) value(v *structpb.Value, depth, pointer int, schema bool) bool {
	if a.values++; a.values > maxSchemaValues {
		return a.refuse("values", maxSchemaValues, a.values)
	}
	switch v := v.GetKind().(type) {
	case *structpb.Value_StructValue:
		return a.object(v.StructValue, depth, pointer, schema)
	case *structpb.Value_ListValue:
		if depth > maxSchemaDepth {
			return a.refuse("levels of nesting", maxSchemaDepth, depth)
		}
		for _, item := range v.ListValue.GetValues() {
			if !a.value(item, depth+1, pointer+3, schema) {
				return false
			}
		}
	case *structpb.Value_BoolValue:
		if a.subschemas++; a.subschemas > maxSubschemas {
			return a.refuse("subschemas", maxSubschemas, a.subschemas)
		}
	}
	return true
}

// isData reports whether a keyword holds values and no schemas.
func isData(keyword string) bool {
	switch keyword {
	case "enum", "const", "default", "example", "examples":
		return true
	}
	return false
}

// odd reports whether a reference leads to an unusual place.
func odd(ref string) bool {
	for _, usual := range []string{"#/$defs/", "#/definitions/"} {
		if name, ok := strings.CutPrefix(ref, usual); ok {
			return strings.Contains(name, "/")
		}
	}
	return strings.Contains(ref, "/")
}

// keyword looks at keywords whose values cost something themselves. A property
// of the same name has a schema as its value, which no such keyword has.
func (a *admission) keyword(name string, v *structpb.Value) bool {
	switch name {
	case "$ref", "$dynamicRef", "$recursiveRef":
		if ref, is := v.GetKind().(*structpb.Value_StringValue); is {
			if a.references++; a.references > maxReferences {
				return a.refuse("references", maxReferences, a.references)
			}
			if odd(ref.StringValue) {
				a.odd[ref.StringValue] = true
			}
			if len(a.odd) > maxOddReferences {
				return a.refuse(`references that do not lead to "#/$defs/NAME"`, maxOddReferences, len(a.odd))
			}
		}
	case "$schema":
		if s := v.GetStringValue(); strings.Contains(s, "json-schema.org/") && strings.Contains(s, "/meta/") {
			// A part of a metaschema would turn the other keywords off.
			if a.refusal == nil {
				a.refusal = invalid("has the $schema %s, which is not a draft", input.Cut(s, maxQuoted))
				a.refusal.Fix = "leave $schema out: it is draft 2020-12 then"
			}
			return false
		}
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains":
		if n, is := v.GetKind().(*structpb.Value_NumberValue); is && n.NumberValue > maxCount {
			if a.refusal == nil {
				a.refusal = overLimit("as its "+name, maxCount, 0)
				a.refusal.Actual = shorten(strconv.FormatFloat(n.NumberValue, 'g', -1, 64))
				a.refusal.Text = fmt.Sprintf("has a %s of %s; the limit is %d", name, a.refusal.Actual, maxCount)
				a.refusal.Fix = "leave " + name + " out, or lower it"
			}
			return false
		}
	}
	return true
}
