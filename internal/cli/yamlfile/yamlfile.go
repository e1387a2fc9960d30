// Package yamlfile reads YAML files and refuses what their readers do not know.
//
// [One] reads a file of one document into a struct, [All] returns the documents
// of a file. A key that the struct does not know, a value of the
// wrong type or broken YAML is CONFIG_INVALID with file, line and, for a typing
// error, the key that was meant.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
	"github.com/ruedo-dev/ruedo/internal/wholefile"
)

// Document is one document of a file.
type Document struct {
	file string
	// first is how many lines of the file stand before it.
	first int
	body  ast.Node
}

// maxFile bounds a file, in bytes.
const maxFile = 64 << 20

// Read returns the content of a file of at most 64 MiB, for One and All.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return wholefile.ReadAll(f, maxFile)
}

// One reads data, the content of file, into v, a pointer to a struct with yaml
// tags. An empty file leaves v as it is; more than one document is refused.
func One(file string, data []byte, v any) error {
	docs, err := All(file, data)
	if err != nil {
		return err
	}
	switch len(docs) {
	case 0:
		return nil
	case 1:
		return docs[0].Decode(v)
	}
	return fault.New(fault.ConfigInvalid, "%s:%d: a second document, only one is expected", file, docs[1].Line())
}

// All splits data, the content of file, into its documents. Empty ones are
// left out. A document that is a list counts as its items: JSON has no other way
// to hold several.
//
// The splitting is done here: the parser drops the document that follows an
// empty one. A line that begins with --- ends a document whatever stands
// before it, also a block of text.
func All(file string, data []byte) ([]Document, error) {
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, fault.New(fault.ConfigInvalid, "%s is not text, and a YAML file is expected", file)
	}
	var docs []Document
	var part []byte
	first, next := 0, 0
	flush := func() error {
		parsed, err := parser.ParseBytes(part, 0)
		if err != nil {
			return explain(file, first, err, nil)
		}
		for _, d := range parsed.Docs {
			switch body := d.Body.(type) {
			case nil, *ast.NullNode, *ast.CommentGroupNode:
			case *ast.SequenceNode:
				for _, item := range body.Values {
					docs = append(docs, Document{file, first, item})
				}
			default:
				docs = append(docs, Document{file, first, body})
			}
		}
		return nil
	}
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) {
		if separator(line) {
			if err := flush(); err != nil {
				return nil, err
			}
			part, first = nil, next
			line = append([]byte("   "), line[3:]...)
			if len(bytes.TrimSpace(line)) == 0 {
				line = []byte("\n")
			}
		}
		part = append(part, line...)
		next++
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return docs, nil
}

func separator(line []byte) bool {
	return bytes.HasPrefix(line, []byte("---")) && (len(line) == 3 || bytes.ContainsAny(line[3:4], " \t\r\n"))
}

// Line returns the line where the document begins, counted from 1.
func (d Document) Line() int {
	if m, ok := d.body.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return d.first + m.Values[0].Key.GetToken().Position.Line
	}
	if t := d.body.GetToken(); t != nil {
		return d.first + t.Position.Line
	}
	return d.first + 1
}

// Field returns the text of a top-level key, or "" if it has none.
func (d Document) Field(key string) string {
	m, ok := d.body.(*ast.MappingNode)
	if !ok {
		return ""
	}
	for _, kv := range m.Values {
		if kv.Key.GetToken().Value == key && kv.Value.GetToken() != nil {
			return kv.Value.GetToken().Value
		}
	}
	return ""
}

// Decode reads the document into v, a pointer to a struct with yaml tags.
func (d Document) Decode(v any) error {
	if d.body.Type() != ast.MappingType {
		return fault.New(fault.ConfigInvalid, "%s:%d: %s must contain keys and values", d.file, d.Line(), d.file)
	}
	if err := yaml.NodeToValue(d.body, v, yaml.Strict()); err != nil {
		return explain(d.file, d.first, err, keys(reflect.TypeOf(v), nil))
	}
	return nil
}

// Errorf returns a CONFIG_INVALID that names file and line of the document.
func (d Document) Errorf(format string, args ...any) *fault.Error {
	return fault.New(fault.ConfigInvalid, "%s:%d: %s", d.file, d.Line(), fmt.Sprintf(format, args...))
}

// explain returns a YAML error as one line, without the names of Go types.
func explain(file string, first int, err error, known []string) error {
	ye, ok := errors.AsType[yaml.Error](err)
	if !ok {
		return fault.Wrap(err, fault.ConfigInvalid, "%s: %s", file, firstLine(err.Error()))
	}
	line := first + 1
	value := ""
	if t := ye.GetToken(); t != nil {
		value = t.Value
		if t.Position != nil {
			line = first + t.Position.Line
		}
	}
	message := firstLine(ye.GetMessage())
	if te, ok := errors.AsType[*yaml.TypeError](err); ok {
		message = fmt.Sprintf("%s is expected here, not %s", typeNoun(te.DstType), typeNoun(te.SrcType))
	}
	e := fault.Wrap(err, fault.ConfigInvalid, "%s:%d: %s", file, line, message)
	if _, ok := errors.AsType[*yaml.UnknownFieldError](err); ok {
		e.Message = fmt.Sprintf("%s:%d: unknown key %q", file, line, value)
		if hint := suggest.DidYouMean(value, known); hint != "" {
			e.Message += ", " + hint
		} else if len(known) > 0 {
			e.Fix = "known keys: " + strings.Join(known, ", ")
		}
	}
	return e
}

// keys lists the yaml keys of a struct and of those inside it. A type with a
// method Keys lists its own.
func keys(t reflect.Type, seen []reflect.Type) (list []string) {
	if k, ok := reflect.Zero(t).Interface().(interface{ Keys() []string }); ok {
		return k.Keys()
	}
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		return keys(t.Elem(), seen)
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for _, s := range seen {
		if s == t {
			return nil
		}
	}
	seen = append(seen, t)
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if name != "" {
			list = append(list, name)
		}
		if name != "" || strings.Contains(opts, "inline") {
			list = append(list, keys(f.Type, seen)...)
		}
	}
	return list
}

// typeNoun names a Go type as somebody who writes YAML does.
func typeNoun(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	}
	return "a mapping"
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
