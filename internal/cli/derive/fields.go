package derive

import (
	"cmp"
	"go/types"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// field is a field of an object.
type field struct {
	name     string
	typ      types.Type
	optional bool
	quoted   bool // a number or boolean that is written as a string
	validate string
	comment  string

	depth  int
	tagged bool
}

// embedding is a struct whose fields are those of another.
type embedding struct {
	named    *types.Named
	st       *types.Struct
	optional bool // a pointer leads to it
}

// fields returns the fields of a struct as encoding/json sees them: those of
// embedded structs are its own, unless one that is nearer has the name.
func (b *builder) fields(named *types.Named, st *types.Struct) []field {
	var all []field
	visited := map[types.Type]bool{}
	next := []embedding{{named, st, false}}
	for depth := 0; len(next) > 0; depth++ {
		level := next
		next = nil
		count := map[types.Type]int{}
		for _, e := range level {
			count[e.st]++
		}
		for _, e := range level {
			if visited[e.st] {
				continue
			}
			visited[e.st] = true
			if len(all)+e.st.NumFields() > maxSchemas {
				b.err = cmp.Or(b.err, errTooMany)
				return nil
			}
			for i := range e.st.NumFields() {
				f, inner, ok := b.field(e, i, depth)
				switch {
				case !ok:
				case inner != nil:
					next = append(next, *inner)
				default:
					all = append(all, f)
					if count[e.st] > 1 { // they hide each other
						all = append(all, f)
					}
				}
			}
		}
	}
	return dominant(all)
}

// field returns a field, or the struct that is embedded in its place. ok is false
// if JSON has neither.
func (b *builder) field(e embedding, i, depth int) (f field, inner *embedding, ok bool) {
	v, tag := e.st.Field(i), reflect.StructTag(e.st.Tag(i))
	text := tag.Get("json")
	if text == "-" {
		return f, nil, false
	}
	t, pointer := types.Unalias(v.Type()), false
	if p, is := t.Underlying().(*types.Pointer); is {
		t, pointer = types.Unalias(p.Elem()), true
	}
	st, isStruct := t.Underlying().(*types.Struct)
	if !v.Exported() && !(v.Embedded() && isStruct) {
		return f, nil, false
	}
	name, options, _ := strings.Cut(text, ",")
	if !valid(name) {
		name = ""
	}
	if v.Embedded() && name == "" && isStruct {
		owner, _ := t.(*types.Named)
		return f, &embedding{owner, st, e.optional || pointer}, true
	}
	if !v.Exported() {
		return f, nil, false
	}
	has := func(option string) bool { return slices.Contains(strings.Split(options, ","), option) }
	f = field{
		name: name, typ: v.Type(), validate: tag.Get("validate"), depth: depth, tagged: name != "",
		optional: e.optional || has("omitempty") || has("omitzero") || b.input && pointer,
		comment:  b.src.fieldComment(e.named, e.st, i),
	}
	if name == "" {
		f.name = v.Name()
	}
	if basic, is := t.Underlying().(*types.Basic); is && has("string") {
		f.quoted = basic.Info()&(types.IsBoolean|types.IsInteger|types.IsFloat|types.IsString) != 0
	}
	return f, nil, true
}

// dominant drops the fields that others of the same name hide.
func dominant(all []field) []field {
	var kept []field
	for i, f := range all {
		hidden := slices.ContainsFunc(kept, func(k field) bool { return k.name == f.name })
		for j, g := range all {
			if i == j || g.name != f.name {
				continue
			}
			switch {
			case g.depth != f.depth:
				hidden = hidden || g.depth < f.depth
			case g.tagged != f.tagged:
				hidden = hidden || g.tagged
			default: // neither wins
				hidden = true
			}
		}
		if !hidden {
			kept = append(kept, f)
		}
	}
	return kept
}

// valid reports whether encoding/json accepts a name in a tag.
func valid(name string) bool {
	for _, c := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return name != ""
}
