// Package admission decides which schemas are accepted for compilation.
//
// Pass a schema to [Admit] before it is compiled, and let [Patterns] compile
// its regular expressions. Then compiling takes a fraction of a second, and a
// match costs what [Pattern.Work] returns. A [Refusal] says what is wrong with
// a schema.
package admission

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Bounds of a schema, checked before it is compiled. They are this low because
// compiling one takes a CPU away from calls, and the time for it grows with the
// square of the schemas in it.
const (
	// maxBytes bounds its JSON.
	maxBytes = 128 << 10
	// maxDepth bounds how deep its arrays and objects nest. An object in an
	// object takes two levels.
	maxDepth = 128
	// maxValues bounds its values, the entries of enums among them.
	maxValues = 10_000
	// maxSubschemas bounds its objects and booleans: each can be a schema.
	maxSubschemas = 1_000
	// maxReferences bounds its references. maxOddReferences bounds those that
	// point elsewhere than to "$defs" or "definitions", because each of them
	// takes longer.
	maxReferences    = 1_000
	maxOddReferences = 200
	// maxPointers bounds the total length of the JSON pointers to all of its
	// parts, in bytes. A deeply nested part has a long pointer.
	maxPointers = 512 << 10
	// maxCount is the largest length or count that it can require.
	maxCount = 1 << 53
	// maxQuoted and maxLiteral bound how much of a text and of a number an
	// error quotes.
	maxQuoted  = 100
	maxLiteral = 24
)

// admission copies a schema and counts what is in it.
type admission struct {
	values, subschemas, references, pointers int
	bytes                                    int // of the JSON, with no escapes
	// odd are the references that point elsewhere than to "$defs" or
	// "definitions".
	odd map[string]bool
	// resources is set if a part has an $id of its own.
	resources bool
	refusal   *Refusal
}

// TooLarge reports whether a schema is refused for its size alone.
func TooLarge(source *structpb.Struct) bool { return proto.Size(source) > 4*maxBytes }

// Admit refuses a schema whose size or shape would make it expensive to compile.
// Otherwise it returns the schema as decoded JSON with numbers of type
// [json.Number], and whether parts of it are resources with an $id of their own.
func Admit(source *structpb.Struct) (doc any, resources bool, refused *Refusal) {
	if TooLarge(source) {
		return nil, false, OverLimit("bytes", maxBytes, proto.Size(source))
	}
	a := &admission{odd: make(map[string]bool)}
	object, ok := a.object(source, 1, 0, true)
	if !ok {
		return nil, false, a.refusal
	}
	return object, a.resources, nil
}

func (a *admission) refuse(what string, limit, actual int) bool {
	if a.refusal == nil {
		a.refusal = OverLimit(what, limit, actual)
	}
	return false
}

// wrote counts bytes of JSON.
func (a *admission) wrote(n int) bool {
	if a.bytes += n; a.bytes > maxBytes {
		return a.refuse("bytes", maxBytes, a.bytes)
	}
	return true
}

// object copies and counts an object and everything in it, and reports whether it
// is within the bounds. schema is false in values that cannot be schemas.
func (a *admission) object(s *structpb.Struct, depth, pointer int, schema bool) (map[string]any, bool) {
	if depth > maxDepth {
		return nil, a.refuse("levels of nesting", maxDepth, depth)
	}
	if a.pointers += pointer; a.pointers > maxPointers {
		return nil, a.refuse("bytes in the paths to its parts", maxPointers, a.pointers)
	}
	if a.subschemas++; a.subschemas > maxSubschemas {
		return nil, a.refuse("subschemas", maxSubschemas, a.subschemas)
	}
	fields := s.GetFields()
	// {}, and of each member its quotes, colon and comma.
	if !a.wrote(2 + 4*len(fields)) {
		return nil, false
	}
	members := make(map[string]any, len(fields))
	for name, v := range fields {
		if schema && !a.keyword(name, v) {
			return nil, false
		}
		if schema && name == "$id" && depth > 1 {
			a.resources = true
		}
		if !a.wrote(len(name)) {
			return nil, false
		}
		var ok bool
		if members[name], ok = a.value(v, depth+1, pointer+1+len(name), schema && !isData(name)); !ok {
			return nil, false
		}
	}
	return members, true
}

func (a *admission) value(v *structpb.Value, depth, pointer int, schema bool) (any, bool) {
	if a.values++; a.values > maxValues {
		return nil, a.refuse("values", maxValues, a.values)
	}
	switch v := v.GetKind().(type) {
	case *structpb.Value_StructValue:
		return a.object(v.StructValue, depth, pointer, schema)
	case *structpb.Value_ListValue:
		if depth > maxDepth {
			return nil, a.refuse("levels of nesting", maxDepth, depth)
		}
		items := v.ListValue.GetValues()
		if !a.wrote(2 + len(items)) {
			return nil, false
		}
		list := make([]any, len(items))
		for i, item := range items {
			var ok bool
			if list[i], ok = a.value(item, depth+1, pointer+3, schema); !ok {
				return nil, false
			}
		}
		return list, true
	case *structpb.Value_StringValue:
		return v.StringValue, a.wrote(2 + len(v.StringValue))
	case *structpb.Value_BoolValue:
		if a.subschemas++; a.subschemas > maxSubschemas {
			return nil, a.refuse("subschemas", maxSubschemas, a.subschemas)
		}
		return v.BoolValue, a.wrote(len("false"))
	case *structpb.Value_NumberValue:
		if math.IsNaN(v.NumberValue) || math.IsInf(v.NumberValue, 0) {
			return nil, a.inexpressible("number")
		}
		n := number(v.NumberValue)
		return n, a.wrote(len(n))
	case *structpb.Value_NullValue:
		return nil, a.wrote(len("null"))
	}
	return nil, a.inexpressible("value")
}

// number returns the shortest text of a number, the one that was meant.
func number(f float64) json.Number {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return json.Number(strconv.FormatFloat(f, format, -1, 64))
}

// inexpressible refuses what a message can hold and JSON cannot: nobody could
// read the schema as JSON.
func (a *admission) inexpressible(what string) bool {
	if a.refusal == nil {
		a.refusal = Invalid("holds a %s that JSON cannot express", what)
	}
	return false
}

// isData reports whether the value of a keyword can neither be nor contain a
// schema.
func isData(keyword string) bool {
	switch keyword {
	case "enum", "const", "default", "example", "examples":
		return true
	}
	return false
}

// odd reports whether a reference points elsewhere than to "$defs" or
// "definitions".
func odd(ref string) bool {
	for _, usual := range []string{"#/$defs/", "#/definitions/"} {
		if name, ok := strings.CutPrefix(ref, usual); ok {
			return strings.Contains(name, "/")
		}
	}
	return strings.Contains(ref, "/")
}

// keyword counts a keyword whose value has a cost of its own. A property of the
// same name is not mistaken for it: its value is a schema, which the value of such
// a keyword never is.
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
				a.refusal = Invalid("has the $schema %s, which is not a draft", fault.Cut(s, maxQuoted))
				a.refusal.Fix = "leave $schema out: it is draft 2020-12 then"
			}
			return false
		}
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains":
		if n, is := v.GetKind().(*structpb.Value_NumberValue); is && n.NumberValue > maxCount {
			if a.refusal == nil {
				a.refusal = OverLimit("as its "+name, maxCount, 0)
				a.refusal.Actual = fault.Cut(strconv.FormatFloat(n.NumberValue, 'g', -1, 64), maxLiteral)
				a.refusal.Text = fmt.Sprintf("has a %s of %s; the limit is %d", name, a.refusal.Actual, maxCount)
				a.refusal.Fix = "leave " + name + " out, or lower it"
			}
			return false
		}
	}
	return true
}
