// Package cases runs example calls of a service and compares their results with
// what is expected.
//
// [Read] reads a file of cases, and [Run] runs them, one after the other. The tags
// of [Case] describe the file: docs/reference/cases-file.md is made from them.
package cases

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
)

const (
	// Max is how many calls a file can have.
	Max = 1000
	// maxShown bounds how much of an output a problem shows, in bytes.
	maxShown = 400
)

// Example is a file with every key, for the reference.
const Example = `calls:
  - name: greets
    input: {"name": "Ada"}
    output: {"greeting": "Hello, Ada!"}
  - name: refuses a blank name
    input: {"name": " "}
    error: invalid_argument     # or a reason, such as INPUT_INVALID
    message: name is blank
`

// Case is one example call.
type Case struct {
	Name   string `yaml:"name" default:"call 1, call 2 and so on" help:"What the results call it."`
	Input  any    `yaml:"input" type:"any" default:"no input" help:"What is sent: a JSON value as JSON, text as it is, @FILE as the content of a file next to the cases."`
	Output any    `yaml:"output" type:"any" default:"any output" help:"What is expected, written like the input. JSON is compared as values: the order of keys does not matter, and 1.0 is 1."`
	// Error is a reason or a code; Message is a part of the error's text.
	Error   string `yaml:"error" default:"none: the call has to succeed" help:"The reason of the expected error, such as INPUT_INVALID, or its code. A call has an output or an error, not both."`
	Message string `yaml:"message" help:"A part of the text of the expected error."`

	input, output []byte
}

// Result is what came of a case.
type Result struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Problem says what differs; empty if OK.
	Problem string `json:"problem,omitempty"`
	// Duration of the call, for example "1.5ms".
	Duration string `json:"duration"`
}

// Call calls the service once.
type Call func(ctx context.Context, input []byte) (output []byte, err error)

// Read reads a file of at most 1,000 cases. CONFIG_INVALID says what is wrong
// with it.
func Read(file string) ([]Case, error) {
	data, err := yamlfile.Read(file)
	if err != nil {
		return nil, fault.Wrap(err, fault.Usage, "cannot read %s: %s", file, text.Cause(err))
	}
	var doc struct {
		Calls []Case `yaml:"calls"`
	}
	if err := yamlfile.One(file, data, &doc); err != nil {
		return nil, err
	}
	switch n := len(doc.Calls); {
	case n == 0:
		return nil, fault.New(fault.ConfigInvalid, "%s has no calls", file).WithFix("list them under calls, each with name, input and output")
	case n > Max:
		return nil, fault.New(fault.ConfigInvalid, "%s has %d calls, the limit is %d", file, n, Max).WithFix("split the file")
	}
	dir := filepath.Dir(file)
	for i := range doc.Calls {
		c := &doc.Calls[i]
		if c.Name == "" {
			c.Name = fmt.Sprintf("call %d", i+1)
		}
		if c.Output != nil && (c.Error != "" || c.Message != "") {
			return nil, fault.New(fault.ConfigInvalid, "%s: %s expects an output and an error: a call has one of them", file, c.Name)
		}
		if c.input, err = (&project.Service{Dir: dir, Example: c.Input}).ExampleBytes(); err == nil {
			c.output, err = (&project.Service{Dir: dir, Example: c.Output}).ExampleBytes()
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.ConfigInvalid, "%s: %s: %s", file, c.Name, strings.ReplaceAll(err.Error(), "the example", "its input or output"))
		}
	}
	return doc.Calls, nil
}

// Run runs cases one after the other. It returns an error only if ctx ends.
func Run(ctx context.Context, cases []Case, call Call) ([]Result, error) {
	results := make([]Result, 0, len(cases))
	for _, c := range cases {
		began := time.Now()
		out, err := call(ctx, c.input)
		if ctx.Err() != nil {
			return results, ctx.Err()
		}
		problem := c.problem(out, err)
		results = append(results, Result{c.Name, problem == "", problem, output.Duration(time.Since(began))})
	}
	return results, nil
}

// Failed returns how many results have a problem.
func Failed(results []Result) int {
	n := 0
	for _, r := range results {
		if !r.OK {
			n++
		}
	}
	return n
}

// problem says how the outcome of the call differs from what is expected.
func (c *Case) problem(output []byte, err error) string {
	wantsError := c.Error != "" || c.Message != ""
	switch {
	case err == nil && wantsError:
		return fmt.Sprintf("it succeeded with %s; expected: error %s", show(output), strings.TrimSpace(c.Error+" "+c.Message))
	case err == nil && c.Output == nil, err == nil && equal(output, c.output):
		return ""
	case err == nil:
		return fmt.Sprintf("output: %s; expected: %s", show(output), show(c.output))
	}
	e := fault.FromError(err)
	got := fmt.Sprintf("error %s (%s): %s", e.Reason, e.ConnectCode(), describe(e))
	switch {
	case !wantsError:
		return got
	case c.Error != "" && !strings.EqualFold(c.Error, string(e.Reason)) && c.Error != e.ConnectCode().String():
		return got + "; expected: error " + c.Error
	case !strings.Contains(describe(e), c.Message):
		return got + "; expected a message with: " + c.Message
	}
	return ""
}

// describe returns the text of an error with the fields that it names.
func describe(e *fault.Error) string {
	s := e.Error()
	for _, f := range e.Fields {
		s += fmt.Sprintf("; %s: %s", f.Path, f.Description)
	}
	return s
}

func show(b []byte) string {
	if len(b) > maxShown {
		return fmt.Sprintf("%s... (%d bytes)", b[:maxShown], len(b))
	}
	return string(b)
}

// equal reports whether two outputs are the same bytes or the same JSON value.
func equal(got, want []byte) bool {
	if string(got) == string(want) {
		return true
	}
	var a, b any
	return decode(got, &a) == nil && decode(want, &b) == nil && same(a, b)
}

// decode reads JSON whose numbers keep every digit.
func decode(data []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("there is more than one value")
	}
	return nil
}

// same compares JSON values; 1.0 is 1 and 1e2 is 100.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !same(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i, v := range a {
			if !same(v, b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		if !ok || a == b {
			return ok
		}
		if !strings.ContainsAny(string(a)+string(b), ".eE") {
			return false // two integers, of any size
		}
		x, err1 := a.Float64()
		y, err2 := b.Float64()
		return err1 == nil && err2 == nil && x == y
	}
	return a == b
}
