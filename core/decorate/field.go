package decorate

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// fields describes one violation. Descriptions name limits and numbers, never
// the text of an input: that may be a secret, and errors are logged.
func fields(prefix string, e *jsonschema.ValidationError) []fault.Field {
	at := path(prefix, e.InstanceLocation)
	each := func(names []string, description string) []fault.Field {
		var out []fault.Field
		for _, n := range names {
			out = append(out, fault.Field{Path: path(prefix, append(e.InstanceLocation, n)), Description: description})
		}
		return out
	}
	one := func(format string, args ...any) []fault.Field {
		return []fault.Field{{Path: at, Description: fmt.Sprintf(format, args...)}}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return each(k.Missing, "is required")
	case *kind.AdditionalProperties:
		return each(k.Properties, "is not accepted")
	case *kind.FalseSchema:
		return one("is not accepted")
	case *kind.Type:
		return one("is of type %s; must be %s", k.Got, strings.Join(k.Want, " or "))
	case *kind.Enum:
		return one("must be one of %s", list(k.Want))
	case *kind.Const:
		return one("must be %s", list([]any{k.Want}))
	case *kind.Minimum:
		return one("is %s; must be at least %s", number(k.Got), number(k.Want))
	case *kind.Maximum:
		return one("is %s; must be at most %s", number(k.Got), number(k.Want))
	case *kind.ExclusiveMinimum:
		return one("is %s; must be over %s", number(k.Got), number(k.Want))
	case *kind.ExclusiveMaximum:
		return one("is %s; must be under %s", number(k.Got), number(k.Want))
	case *kind.MultipleOf:
		return one("is %s; must be a multiple of %s", number(k.Got), number(k.Want))
	case *kind.MinLength:
		return one("has %d characters; must have at least %d", k.Got, k.Want)
	case *kind.MaxLength:
		return one("has %d characters; must have at most %d", k.Got, k.Want)
	case *kind.MinItems:
		return one("has %d items; must have at least %d", k.Got, k.Want)
	case *kind.MaxItems:
		return one("has %d items; must have at most %d", k.Got, k.Want)
	case *kind.MinProperties:
		return one("has %d fields; must have at least %d", k.Got, k.Want)
	case *kind.MaxProperties:
		return one("has %d fields; must have at most %d", k.Got, k.Want)
	case *kind.Pattern:
		return one("does not match the pattern %s", k.Want)
	case *kind.Format:
		return one("is not a valid %s", k.Want)
	case *kind.UniqueItems:
		return one("items %d and %d are equal; all must differ", k.Duplicates[0], k.Duplicates[1])
	case *kind.DependentRequired:
		return each(k.Missing, "is required where "+k.Prop+" is given")
	case *kind.PropertyNames:
		return one("has a field name that is not accepted")
	case *kind.AnyOf:
		return one("fits none of the accepted forms")
	case *kind.OneOf:
		return one("must fit exactly one of the accepted forms")
	case *kind.Not:
		return one("is of a form that is not accepted")
	}
	return one("breaks the rule %s", strings.Join(e.ErrorKind.KeywordPath(), "/"))
}

// path writes where in the input: user.tags[2].
func path(prefix string, tokens []string) string {
	var b strings.Builder
	b.WriteString(prefix)
	for _, t := range tokens {
		if _, err := strconv.ParseUint(t, 10, 32); err == nil {
			b.WriteString("[" + t + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(t)
	}
	if b.Len() == 0 {
		return wholeInput
	}
	return b.String()
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func list(values []any) string {
	var parts []string
	for _, v := range values {
		b, err := json.Marshal(v)
		if err != nil {
			continue
		}
		parts = append(parts, string(b))
	}
	return strings.Join(parts, ", ")
}
