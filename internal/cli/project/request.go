package project

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// Request is an example of a service of kind http as it is written.
type Request struct {
	Method  string            `yaml:"method" default:"GET" help:"Method, in capitals."`
	Path    string            `yaml:"path" default:"/" help:"Path with the query, such as /items?limit=5."`
	Headers map[string]string `yaml:"headers" help:"Header fields, at most 64."`
	Body    any               `yaml:"body" type:"any" help:"Body: text as it is, a mapping or a list as JSON, @FILE as the content of a file in the directory, and !!binary as bytes. With JSON, the field content-type is application/json unless headers has it. The examples of a service take at most 64 KiB."`
}

const (
	contentType = "content-type"
	jsonType    = "application/json"
)

// requestExample is how an example of a service of kind http is written.
const requestExample = "{method: POST, path: /greet, body: {name: Ada}}"

// HTTPExamples returns the example of a service of kind http, which is a request or
// a list of requests. Text is YAML, or @FILE, a file of YAML: a flag has nothing
// else. It returns nil if there is no example.
func (s *Service) HTTPExamples() ([]*ruedov1.HttpExample, error) {
	v := s.Example
	if text, ok := v.(string); ok {
		read, err := s.ExampleBytes()
		if err != nil {
			return nil, err
		}
		v = nil
		if err := yaml.Unmarshal(read, &v); err != nil {
			return nil, fault.Wrap(err, fault.ConfigInvalid, "the example %s is not YAML", fault.Cut(text, 80)).WithFix("write it as %s", requestExample)
		}
	}
	var list []any
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []any:
		list = v
	default:
		list = []any{v}
	}
	var examples []*ruedov1.HttpExample
	for i, v := range list {
		e, err := s.request(v)
		if err != nil {
			what := "the example"
			if len(list) > 1 {
				what = fmt.Sprintf("example %d", i+1)
			}
			return nil, fault.Wrap(err, fault.ConfigInvalid, "%s: %s", what, err).WithFix("%s", fault.FromError(err).Fix)
		}
		examples = append(examples, e)
	}
	return examples, nil
}

// request reads one request.
func (s *Service) request(v any) (*ruedov1.HttpExample, error) {
	expected := func(format string, args ...any) error {
		return fault.New(fault.ConfigInvalid, format, args...).WithFix("write it as %s", requestExample)
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, expected("a service of kind http takes requests, and this is none")
	}
	e := &ruedov1.HttpExample{Path: "/"}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		value := fields[key]
		word, isText := value.(string)
		switch key {
		case "method", "path":
			if !isText {
				return nil, expected("%s is not text", key)
			}
			if key == "method" {
				e.Method = word
			} else {
				e.Path = word
			}
		case "headers":
			set, ok := value.(map[string]any)
			if !ok {
				return nil, expected("headers is not a mapping")
			}
			e.Headers = map[string]string{}
			for name, value := range set {
				word, isText := value.(string)
				lower := strings.ToLower(name)
				if _, twice := e.Headers[lower]; twice || !isText {
					return nil, expected("the header field %s is there twice, or is not text: numbers have to stand in quotes", name)
				}
				e.Headers[lower] = word
			}
		case "body": // it depends on the headers
		default:
			known := []string{"method", "path", "headers", "body"}
			hint := suggest.DidYouMean(key, known)
			if hint != "" {
				hint = ", " + hint
			}
			return nil, expected("unknown key %q%s", key, hint)
		}
	}
	if !strings.HasPrefix(e.Path, "/") {
		return nil, expected("the path %q does not begin with a slash", fault.Cut(e.Path, 80))
	}
	body := fields["body"]
	if body == nil {
		return e, nil
	}
	var err error
	e.Body, err = (&Service{Dir: s.Dir, Example: body}).ExampleBytes()
	switch body.(type) {
	case string, []byte:
	default:
		if e.Headers[contentType] == "" {
			if e.Headers == nil {
				e.Headers = map[string]string{}
			}
			e.Headers[contentType] = jsonType
		}
	}
	return e, err
}

// requestValues returns examples as a document has them: [Service.HTTPExamples]
// makes the same of it.
func requestValues(examples []*ruedov1.HttpExample) any {
	var list []any
	for _, e := range examples {
		headers := maps.Clone(e.GetHeaders())
		body := any(string(e.GetBody()))
		if v := exampleValue(e.GetBody()); isObject(v) && strings.Contains(headers[contentType], "json") {
			body = v
			if headers[contentType] == jsonType {
				delete(headers, contentType)
			}
		} else if b, ok := v.(binary); ok {
			body = b
		}
		one := &document{}
		one.add("method", e.GetMethod(), e.GetMethod() == "")
		one.add("path", e.GetPath(), false)
		one.add("headers", headers, len(headers) == 0)
		one.add("body", body, len(e.GetBody()) == 0)
		list = append(list, one.MapSlice)
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func isObject(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

// RequestFields returns examples as lists and mappings, for comparing them.
func RequestFields(examples []*ruedov1.HttpExample) []any {
	var list []any
	for _, e := range examples {
		headers := map[string]any{}
		for name, value := range e.GetHeaders() {
			headers[name] = value
		}
		list = append(list, map[string]any{"method": e.GetMethod(), "path": e.GetPath(), "headers": headers, "body": string(e.GetBody())})
	}
	return list
}
