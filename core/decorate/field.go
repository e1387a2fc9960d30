package decorate

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	keyword "github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Bounds of what an answer says of an input. Each text is cut before it is put
// together, so that an answer never costs more than it may say.
const (
	// maxFields is how many violations one answer names at most.
	maxFields = 64
	// maxFieldBytes bounds paths and descriptions together.
	maxFieldBytes = 4 << 10
	// maxPath, maxDescription and maxQuoted bound one path, one description and
	// one text of a schema in it.
	maxPath        = 160
	maxDescription = 200
	maxQuoted      = 100
	// maxToken bounds one name in a path, and maxLiteral one number.
	maxToken   = 64
	maxLiteral = 24
)

// violations are the fields of an answer.
type violations struct {
	fields []fault.Field
	bytes  int
}

// add adds a field and reports whether there is room for more.
func (v *violations) add(f fault.Field) bool {
	size := len(f.Path) + len(f.Description)
	if v.bytes+size > maxFieldBytes {
		return false
	}
	v.bytes += size
	v.fields = append(v.fields, f)
	return len(v.fields) < maxFields
}

// cut shortens a text to at most n bytes, at the end of a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// shorten cuts a number.
func shorten(literal string) string { return cut(literal, maxLiteral) }

// wholeInput is the path of the input itself.
const wholeInput = "(input)"

// pathText puts a path together and stops when it is long enough.
type pathText struct{ b strings.Builder }

func (p *pathText) full() bool { return p.b.Len() > maxPath-maxToken }

func (p *pathText) item(i int) { p.b.WriteString("[" + strconv.Itoa(i) + "]") }

// name adds a member's name, without what a terminal would obey.
func (p *pathText) name(name string) {
	if p.b.Len() > 0 {
		p.b.WriteByte('.')
	}
	p.b.WriteString(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, cut(name, maxToken)))
}

func (p *pathText) String() string {
	if p.b.Len() == 0 {
		return wholeInput
	}
	return cut(p.b.String(), maxPath)
}

// where writes where in the input a path leads: user.tags[2].
func (d *document) where(path []step) string { return d.at(path, "") }

// at does the same for a member that may not be there, if name is not empty.
func (d *document) at(path []step, name string) string {
	var p pathText
	for _, s := range path {
		if p.full() {
			p.b.WriteString(".…")
			return p.String()
		}
		if s >= 0 {
			p.item(int(s))
			continue
		}
		v := d.values[^s]
		raw := d.raw[v.from:v.to]
		if v.kind == kindEscaped {
			raw = unescape(nil, raw, 2*maxToken)
		}
		p.name(string(raw[:min(len(raw), 2*maxToken)]))
	}
	if name != "" {
		p.name(name)
	}
	return p.String()
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// list writes the values of a choice, as far as there is room.
func list(values []any) string {
	var b strings.Builder
	for i, v := range values {
		if b.Len() > maxQuoted {
			fmt.Fprintf(&b, "… (%d in all)", len(values))
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(v))
	}
	return b.String()
}

// quote writes a value of a schema, cut.
func quote(v any) string {
	switch v := v.(type) {
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	case string:
		b, err := json.Marshal(cut(v, maxToken))
		if err != nil {
			return "a text"
		}
		return string(b)
	}
	return shorten(fmt.Sprint(jsonWord(v)))
}

func jsonWord(v any) any {
	if v == nil {
		return "null"
	}
	return v
}

// schemaFields describes what is wrong with a schema itself.
func schemaFields(ve *jsonschema.ValidationError) []fault.Field {
	var out violations
	var walk func(*jsonschema.ValidationError) bool
	walk = func(e *jsonschema.ValidationError) bool {
		// A choice failed as a whole: its branches contradict each other, so
		// the choice is named and not its leaves.
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
		var p pathText
		p.b.WriteString("input_schema")
		for _, t := range e.InstanceLocation {
			if p.full() {
				p.b.WriteString(".…")
				break
			}
			if i, err := strconv.ParseUint(t, 10, 32); err == nil {
				p.item(int(i))
				continue
			}
			p.name(t)
		}
		return out.add(fault.Field{Path: p.String(), Description: cut(describe(e.ErrorKind), maxDescription)})
	}
	walk(ve)
	return out.fields
}

// describe says what a metaschema has against a part of a schema.
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
