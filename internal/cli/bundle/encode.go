package bundle

import (
	"bytes"
	"encoding/json"

	"github.com/goccy/go-yaml"

	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// encode returns a document as a file holds it.
func encode(doc any, format Format) ([]byte, error) {
	var b bytes.Buffer
	if format != JSON {
		p := output.Printer{W: &b}
		err := p.Documents([]any{doc})
		return b.Bytes(), err
	}
	value, err := jsonValue(doc)
	if err != nil {
		return nil, err
	}
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(value)
	return b.Bytes(), err
}

// jsonValue returns a document for encoding/json, with its keys in their order.
func jsonValue(v any) (any, error) {
	switch v := v.(type) {
	case yaml.MapSlice:
		o := object.Object{}
		for _, item := range v {
			value, err := jsonValue(item.Value)
			if err != nil {
				return nil, err
			}
			name, _ := item.Key.(string)
			o = append(o, object.Field{Name: name, Value: value})
		}
		return o, nil
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			value, err := jsonValue(item)
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return list, nil
	case yaml.BytesMarshaler: // bytes, which JSON has no word for
		if of, ok := v.(interface{ Text() (string, bool) }); ok {
			if text, ok := of.Text(); ok {
				return text, nil
			}
		}
		return nil, fault.New(fault.Usage, "its example is not text, which JSON cannot hold").WithFix("export it as YAML")
	}
	return v, nil
}
