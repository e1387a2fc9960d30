package reference

import (
	"fmt"
	"reflect"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/names"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// keys returns the table of the keys of a YAML file that a struct is read from. The
// key is in the tag yaml, and the others are:
//
//	help      what the key says; must not be empty
//	type      default: what the Go type is
//	default   what holds if it is missing
//	enum      the values that it can have, with commas
//	required  the key must not be missing
//
// message is the message that the keys become: its rules say which values a key of
// the same name can have. May be nil.
func keys(of any, message proto.Message) (page.Table, error) {
	t := page.Table{Columns: []page.Column{
		{Head: "key", Code: true}, {Head: "type"}, {Head: "default"}, {Head: "values"}, {Head: "meaning"},
	}}
	err := visit(reflect.TypeOf(of), "yaml", func(f field) {
		kind, values := f.kind, allowed(message, f.name)
		if _, ok := f.tag.Lookup("required"); ok {
			kind += ", required"
		}
		if enum := f.tag.Get("enum"); enum != "" {
			values = codes(strings.Split(enum, ","))
		}
		t.Rows = append(t.Rows, []string{f.name, kind, f.tag.Get("default"), values, f.help})
	})
	return t, err
}

// members returns the table of the members of a JSON object that a struct is
// written as, from the tags json, help and type.
func members(of any) (page.Table, error) {
	t := page.Table{Columns: []page.Column{{Head: "member", Code: true}, {Head: "type"}, {Head: "meaning"}}}
	err := visit(reflect.TypeOf(of), "json", func(f field) {
		t.Rows = append(t.Rows, []string{f.name, f.kind, f.help})
	})
	return t, err
}

// field is what the tags of a struct's field say.
type field struct {
	name, kind, help string
	tag              reflect.StructTag
}

// visit calls f for the fields of a struct, and of those embedded in it, that
// have a name in a format.
func visit(t reflect.Type, format string, f func(field)) error {
	for of := range t.Fields() {
		if of.Anonymous {
			if err := visit(of.Type, format, f); err != nil {
				return err
			}
			continue
		}
		name, _, _ := strings.Cut(of.Tag.Get(format), ",")
		if name == "-" || name == "" {
			continue
		}
		kind := of.Tag.Get("type")
		if kind == "" {
			kind = noun(of.Type)
		}
		help := of.Tag.Get("help")
		if help == "" || kind == "" {
			return fmt.Errorf("the field %s of %s needs the tag help, and type if its Go type does not say it", of.Name, t)
		}
		f(field{name, kind, help, of.Tag})
	}
	return nil
}

// noun names a type as readers of YAML and JSON do; "" if the field has to say.
func noun(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Uint32:
		return "number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "list of objects"
		}
		return "list of " + noun(t.Elem())
	case reflect.Map:
		if t.Elem().Kind() == reflect.String {
			return "mapping of text"
		}
	case reflect.Struct:
		return "mapping"
	}
	return ""
}

// allowed says in words what the rules of a message's field allow.
func allowed(message proto.Message, name string) string {
	if message == nil {
		return ""
	}
	f := message.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
	if f == nil {
		return ""
	}
	rules, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
	return inWords(rules)
}

func inWords(rules *validate.FieldRules) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if s := rules.GetString(); s != nil {
		switch pattern := s.GetPattern(); pattern {
		case "":
		case names.Pattern:
			add("%s", names.Rule)
		default:
			add("matches `%s`", pattern)
		}
		switch {
		case s.HasMinLen() && s.HasMaxLen():
			add("%d to %d characters", s.GetMinLen(), s.GetMaxLen())
		case s.HasMaxLen():
			add("at most %d characters", s.GetMaxLen())
		}
		if s.HasMaxBytes() {
			add("at most %s", text.Exact(s.GetMaxBytes()))
		}
	}
	if b := rules.GetBytes(); b.HasMaxLen() {
		add("at most %s", text.Exact(b.GetMaxLen()))
	}
	if r := rules.GetRepeated(); r != nil {
		add("at most %d", r.GetMaxItems())
		if each := inWords(r.GetItems()); each != "" {
			add("each %s", each)
		}
	}
	if m := rules.GetMap(); m != nil {
		add("at most %d", m.GetMaxPairs())
		if key := inWords(m.GetKeys()); key != "" {
			add("a name %s", key)
		}
		if value := inWords(m.GetValues()); value != "" {
			add("a value %s", value)
		}
	}
	return strings.Join(parts, "; ")
}

// limitFields returns the table of the limits of a call.
func limitFields() page.Table {
	t := page.Table{Columns: []page.Column{
		{Head: "key", Code: true}, {Head: "default"}, {Head: "values"}, {Head: "enforced in"}, {Head: "answer"}, {Head: "bounds"},
	}}
	for _, r := range limits.Table() {
		answer := r.Excess
		if r.Reason != "" {
			answer = "`" + r.Reason + "`"
		}
		if r.Kind != "" {
			answer += ", " + r.Kind
		}
		t.Rows = append(t.Rows, []string{r.Name, r.DefaultText(), r.Expected(), string(r.Home), answer, sentence(r.Bounds)})
	}
	return t
}

// sentence makes a sentence of a phrase.
func sentence(phrase string) string {
	if phrase == "" {
		return ""
	}
	return strings.ToUpper(phrase[:1]) + strings.TrimSuffix(phrase[1:], ".") + "."
}
