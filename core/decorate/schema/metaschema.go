package schema

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	keyword "github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/ruedo-dev/ruedo/core/decorate/input"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// schemaFields describes what is wrong with a schema itself.
func schemaFields(ve *jsonschema.ValidationError) []fault.Field {
	var out violations
	var walk func(*jsonschema.ValidationError) bool
	walk = func(e *jsonschema.ValidationError) bool {
		// The branches of a choice contradict each other, so the error names
		// the choice instead of what is wrong with each branch.
		switch e.ErrorKind.(type) {
		case *keyword.AnyOf, *keyword.OneOf, *keyword.Not:
		default:
			for _, c := range e.Causes {
				if !walk(c) {
					return false
				}
			}
			if len(e.Causes) > 0 {
				return true
			}
		}
		var p input.Path
		p.Name("input_schema")
		for _, t := range e.InstanceLocation {
			if !p.Room() {
				break
			}
			if i, err := strconv.ParseUint(t, 10, 32); err == nil {
				p.Item(int(i))
				continue
			}
			p.Name(t)
		}
		return out.add(fault.Field{Path: p.String(), Description: fault.Cut(describe(e.ErrorKind), maxDescription)})
	}
	walk(ve)
	return out.fields
}

// describe returns which rule of a metaschema a part of a schema breaks.
func describe(e jsonschema.ErrorKind) string {
	switch k := e.(type) {
	case *keyword.Type:
		return fmt.Sprintf("is of type %s; must be %s", k.Got, strings.Join(k.Want, " or "))
	case *keyword.Enum:
		return "must be one of " + list(k.Want)
	case *keyword.Const:
		return "must be " + list([]any{k.Want})
	case *keyword.Minimum:
		return fmt.Sprintf("is %s; must be at least %s", shorten(number(k.Got)), shorten(number(k.Want)))
	case *keyword.ExclusiveMinimum:
		return fmt.Sprintf("is %s; must be over %s", shorten(number(k.Got)), shorten(number(k.Want)))
	case *keyword.MinItems:
		return fmt.Sprintf("has %d items; must have at least %d", k.Got, k.Want)
	case *keyword.Pattern:
		return "does not match the pattern " + k.Want
	case *keyword.Format:
		return "is not a valid " + k.Want
	case *keyword.UniqueItems:
		return fmt.Sprintf("items %d and %d are equal; all must differ", k.Duplicates[0], k.Duplicates[1])
	case *keyword.PropertyNames:
		return "has a field name that is not accepted"
	case *keyword.AnyOf:
		return "fits none of the accepted forms"
	case *keyword.OneOf:
		return "must fit exactly one of the accepted forms"
	case *keyword.Not:
		return "is of a form that is not accepted"
	}
	return "breaks the rule " + strings.Join(e.KeywordPath(), "/")
}
