package derive

import (
	"cmp"
	"fmt"
	"go/constant"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// object is a JSON Schema. An empty one accepts anything.
type object = map[string]any

// builder makes the schema of one type. It walks over the type twice: the first
// time it counts how often each struct is used.
type builder struct {
	src           *source
	input         bool // of what is read, else of what is written
	open          bool
	comments      bool
	uses          map[string]int
	second        bool
	left, nesting int
	defs          object
	names         map[string]string // of defs, by type
	nullable      map[string]bool   // defs that a pointer leads to
	err           error
}

// begin begins the second walk.
func (b *builder) begin() { b.second = true }

func (b *builder) root(t types.Type) object {
	b.left, b.nesting = maxSchemas, 0
	b.defs, b.names, b.nullable = object{}, map[string]string{}, map[string]bool{}
	s := b.typ(t)
	for name := range b.nullable {
		allowNull(b.defs[name].(object))
	}
	if len(b.defs) > 0 {
		s["$defs"] = b.defs
	}
	return s
}

// typ returns the schema of a type as encoding/json reads or writes it.
func (b *builder) typ(t types.Type) object {
	if b.left--; b.left < 0 {
		b.err = cmp.Or(b.err, errTooMany)
		return object{}
	}
	if b.nesting++; b.nesting > maxNesting {
		b.err = cmp.Or(b.err, errTooDeep)
		return object{}
	}
	defer func() { b.nesting-- }()
	t = types.Unalias(t)
	named, _ := t.(*types.Named)
	if named != nil {
		if s := known(named); s != nil {
			return s
		}
	}
	switch {
	case b.method(t, "JSON"):
		return object{}
	case b.method(t, "Text"):
		return object{"type": "string"}
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return b.basic(named, u)
	case *types.Pointer:
		s := b.typ(u.Elem())
		b.allowNull(s)
		return s
	case *types.Slice:
		if isByte(u.Elem()) {
			return object{"type": []any{"string", "null"}, "contentEncoding": "base64"}
		}
		return array(object{"type": []any{"array", "null"}}, b.typ(u.Elem()))
	case *types.Array:
		return array(object{"type": "array", "minItems": u.Len(), "maxItems": u.Len()}, b.typ(u.Elem()))
	case *types.Map:
		return b.mapping(u)
	case *types.Struct:
		return b.structure(named, u)
	}
	return object{} // an interface, or what JSON cannot express
}

func array(s, items object) object {
	if len(items) > 0 {
		s["items"] = items
	}
	return s
}

// allowNull makes a schema accept null, too.
func (b *builder) allowNull(s object) {
	if ref, ok := s["$ref"].(string); ok {
		b.nullable[strings.TrimPrefix(ref, "#/$defs/")] = true
		return
	}
	allowNull(s)
}

func allowNull(s object) {
	if t, ok := s["type"].(string); ok {
		s["type"] = []any{t, "null"}
		if values, ok := s["enum"].([]any); ok {
			s["enum"] = append(slices.Clip(values), nil)
		}
	}
}

// known returns the schema of a type of the standard library whose form in JSON
// is known, nil of other types.
func known(n *types.Named) object {
	if n.Obj().Pkg() == nil {
		return nil
	}
	switch n.Obj().Pkg().Path() + "." + n.Obj().Name() {
	case "time.Time":
		return object{"type": "string", "format": "date-time"}
	case "time.Duration":
		return object{"type": "integer", "description": "In nanoseconds."}
	case "encoding/json.Number":
		return object{"type": "number"}
	case "math/big.Int":
		return object{"type": "integer"}
	}
	return nil
}

// method reports whether a type has a method for JSON or for text, of its own or
// of what it embeds.
func (b *builder) method(t types.Type, form string) bool {
	if _, is := t.(*types.Pointer); is {
		return false // it is asked of what it points to
	}
	name := "Marshal" + form
	if b.input {
		name = "Unmarshal" + form
	}
	obj, _, _ := types.LookupFieldOrMethod(t, true, nil, name)
	f, ok := obj.(*types.Func)
	if !ok {
		return false
	}
	sig := f.Signature()
	if b.input {
		return sig.Params().Len() == 1 && isBytes(sig.Params().At(0).Type()) && sig.Results().Len() == 1
	}
	return sig.Params().Len() == 0 && sig.Results().Len() == 2 && isBytes(sig.Results().At(0).Type())
}

func isBytes(t types.Type) bool {
	s, ok := t.Underlying().(*types.Slice)
	return ok && isByte(s.Elem())
}

func isByte(t types.Type) bool {
	basic, ok := t.Underlying().(*types.Basic)
	return ok && basic.Kind() == types.Uint8
}

func (b *builder) basic(named *types.Named, t *types.Basic) object {
	switch info := t.Info(); {
	case t.Kind() == types.Invalid:
		b.err = cmp.Or(b.err, errUnknown)
	case info&types.IsBoolean != 0:
		return object{"type": "boolean"}
	case info&types.IsString != 0:
		s := object{"type": "string"}
		if named != nil {
			if values := b.src.constants(named); len(values) > 1 {
				s["enum"] = texts(values)
				if text := b.src.typeComment(named); b.comments && text != "" {
					s["description"] = text
				}
			}
		}
		return s
	case info&types.IsInteger != 0:
		return integer(t)
	case info&types.IsFloat != 0:
		return object{"type": "number"}
	}
	return object{}
}

// integer returns the schema of an integer, with its range if a double has it
// exactly.
func integer(t *types.Basic) object {
	s := object{"type": "integer"}
	unsigned := t.Info()&types.IsUnsigned != 0
	if unsigned {
		s["minimum"] = int64(0)
	}
	if bits := 8 * types.SizesFor("gc", "wasm").Sizeof(t); bits < 64 {
		if !unsigned {
			bits--
			s["minimum"] = -int64(1) << bits
		}
		s["maximum"] = int64(1)<<bits - 1
	}
	return s
}

func (b *builder) mapping(m *types.Map) object {
	s := object{"type": []any{"object", "null"}}
	if key := b.typ(m.Key()); key["enum"] != nil {
		s["propertyNames"] = object{"enum": key["enum"]}
	}
	if value := b.typ(m.Elem()); len(value) > 0 {
		s["additionalProperties"] = value
	} else {
		s["additionalProperties"] = true
	}
	return s
}

// structure returns the schema of a struct, or a reference to it if it occurs
// more than once.
func (b *builder) structure(named *types.Named, st *types.Struct) object {
	if named == nil {
		return b.members(nil, st)
	}
	key := types.TypeString(named, nil)
	if !b.second {
		if b.uses[key]++; b.uses[key] > 1 {
			return object{}
		}
		return b.members(named, st)
	}
	if b.uses[key] < 2 {
		return b.members(named, st)
	}
	name, ok := b.names[key]
	if !ok {
		name = b.name(named)
		b.names[key] = name
		def := object{}
		b.defs[name] = def // first, because it may refer to itself
		nesting := b.nesting
		b.nesting = 0
		maps.Copy(def, b.members(named, st))
		b.nesting = nesting
	}
	return object{"$ref": "#/$defs/" + name}
}

// name returns an unused name for a type under "$defs".
func (b *builder) name(n *types.Named) string {
	base := strings.Map(func(r rune) rune {
		if r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return -1
	}, n.Obj().Name())
	for i := 0; i < n.TypeArgs().Len(); i++ {
		if arg, ok := types.Unalias(n.TypeArgs().At(i)).(*types.Named); ok {
			base += "_" + arg.Obj().Name()
		}
	}
	name := cmp.Or(base, "Type")
	for i := 2; b.defs[name] != nil; i++ {
		name = fmt.Sprint(base, "_", i)
	}
	return name
}

func (b *builder) members(named *types.Named, st *types.Struct) object {
	properties, required := object{}, []any{}
	for _, f := range b.fields(named, st) {
		property := b.typ(f.typ)
		if f.quoted {
			property = quoted(property)
		}
		must := !f.optional
		for _, rule := range rules(f.validate) {
			switch rule.name {
			case "required":
				must = true
			case "omitempty", "omitzero", "omitnil":
				must = false
			}
		}
		if property["$ref"] == nil {
			validate(property, rules(f.validate))
		}
		if b.comments && f.comment != "" {
			property["description"] = f.comment
		}
		properties[f.name] = property
		if must {
			required = append(required, f.name)
		}
	}
	s := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	if !b.open {
		s["additionalProperties"] = false
	}
	if named != nil && b.comments {
		if text := b.src.typeComment(named); text != "" {
			s["description"] = text
		}
	}
	return s
}

// quoted returns the schema of a field with the option "string".
func quoted(s object) object {
	types := []any{"string"}
	list, nullable := s["type"].([]any)
	if nullable {
		types = append(types, "null")
		s["type"] = list[0]
	}
	q := object{"type": types}
	if !nullable {
		q["type"] = "string"
	}
	switch s["type"] {
	case "integer":
		q["pattern"] = "^-?[0-9]+$"
	case "boolean":
		q["pattern"] = "^(true|false)$"
	}
	return q
}

func texts(values []string) []any {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	return list
}

func constantText(c *types.Const) string { return constant.StringVal(c.Val()) }
