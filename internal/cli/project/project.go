// Package project reads and builds the directory of a service.
//
// [Load] reads DIR/ruedo.yaml and [Decorators] DIR/decorators.yaml; [Build]
// makes the module. The tags of [Service] and [Decorator] describe the files:
// docs/reference is made from them, and so is `ruedo help service-file`.
//
// Unknown keys are refused.
package project

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/names"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// Names of the files in the directory of a service.
const (
	ServiceFile    = "ruedo.yaml"
	DecoratorsFile = "decorators.yaml"
)

// Kinds of a module, as ruedo.yaml names them.
const (
	KindFunction = "function"
	KindHTTP     = "http"
	KindCommand  = "command"
)

// Service is the content of ruedo.yaml.
type Service struct {
	Name        string   `yaml:"name" default:"the name of the directory" help:"Name of the service."`
	Description string   `yaml:"description" help:"What the service does, for its users."`
	Tags        []string `yaml:"tags" help:"Words to filter lists by."`
	Kind        string   `yaml:"kind" enum:"function,http,command" default:"function if the program imports the SDK, http if it imports sdk/web" help:"What Go builds: a function that is called, a handler of HTTP requests, or a command that is run for each call. Modules that others built show it by what they export."`
	// Command builds the module. Default: go build.
	Command    BuildCommand `yaml:"build" type:"go, or a list of text" default:"go" help:"How the module is built: by Go, or by a command with its arguments. It runs in the directory and writes the file that {out} stands for; if no argument has that, NAME.wasm in the directory."`
	Decorators []string     `yaml:"decorators" help:"Names of the decorators that the service carries."`
	Env        Env          `yaml:"env" type:"mapping of text" help:"The complete environment of the guest. A value stays as it is written: 0644 is not a number."`
	Args       Args         `yaml:"args" type:"list of text" help:"Arguments of a command, without the name of the program."`
	Example    any          `yaml:"example" type:"any" help:"An input that the service accepts. It warms the service up, checks it at each publish, and is shown to callers. A JSON value is sent as JSON, text as it is, @FILE as the content of a file in the directory, and !!binary as bytes. For kind http, it is a request or a list of requests; see below."`
	Isolation  string       `yaml:"isolation" enum:"pristine,shared,fresh" default:"pristine" help:"What a call sees of earlier calls: nothing (pristine), everything (shared), or nothing with a new instance for each call (fresh)."`
	Placement  Placement    `yaml:"placement" type:"text" default:"any runner" help:"Which runners may execute the service, as a Kubernetes label selector over their labels (runner.labels): key=value, key!=value, key in (a,b), key notin (a,b), key and !key, joined by commas."`
	Routes     Routes       `yaml:"routes" type:"list of mappings" help:"For kind http: where requests reach the service, besides /svc/NAME/; see below."`
	// UnknownFields and Schema change what the types of the handler say; see package
	// derive.
	UnknownFields string `yaml:"unknown_fields" enum:"refuse,allow" default:"refuse" help:"What to do with a call that has fields which the type of the input does not have: refuse it, or ignore them."`
	Schema        string `yaml:"schema" enum:"types,none" default:"types" help:"What the schemas of the service are made of: the types of its handler, or nothing. Those of its decorators hold in any case."`

	// Dir is the directory that it was read from.
	Dir string `yaml:"-"`
}

// Text is text as it is written in the file: 0644 stays 0644, which YAML would
// read as the number 420.
type Text string

// UnmarshalYAML keeps numbers and the like as they are written.
func (t *Text) UnmarshalYAML(data []byte) error {
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		*t = Text(v)
	case nil:
		*t = ""
	case map[string]any, []any:
		return errors.New("text is expected here")
	default:
		*t = Text(bytes.TrimSpace(data))
	}
	return nil
}

// Env is the environment of a guest.
type Env map[string]Text

// Strings returns it as the API takes it.
func (e Env) Strings() map[string]string {
	if e == nil {
		return nil
	}
	m := make(map[string]string, len(e))
	for k, v := range e {
		m[k] = string(v)
	}
	return m
}

// Args are the arguments of a command.
type Args []Text

// Strings returns them as the API takes them.
func (a Args) Strings() []string {
	var list []string
	for _, t := range a {
		list = append(list, string(t))
	}
	return list
}

// BuildCommand is "go", or an argument list.
type BuildCommand []string

// UnmarshalYAML reads a word or a list of words.
func (b *BuildCommand) UnmarshalYAML(data []byte) error {
	var list []string
	if err := yaml.Unmarshal(data, &list); err == nil {
		*b = list
		return nil
	}
	var word string
	if err := yaml.Unmarshal(data, &word); err != nil || word != "go" {
		return errors.New(`build is expected to be go, or a list such as [cargo, build, --release]`)
	}
	*b = nil
	return nil
}

// CheckName returns an error if name cannot be the name of a service or a
// decorator. what says which of the two it is.
func CheckName(what, name string) error {
	if names.Valid(name) {
		return nil
	}
	return fault.New(fault.RequestInvalid, "%q cannot be the name of a %s: lower-case letters, digits and dashes, 1 to 63 long, no dash at an end", name, what).
		WithFix("choose a name such as %s", suggestName(name))
}

// SplitRevision splits "greet@3"; without a revision, the number is 0.
func SplitRevision(arg string) (name string, revision uint64, err error) {
	name, number, pinned := strings.Cut(arg, "@")
	if err := CheckName("service", name); err != nil {
		return "", 0, err
	}
	if !pinned {
		return name, 0, nil
	}
	if revision, err = strconv.ParseUint(number, 10, 64); err != nil || revision == 0 {
		return "", 0, fault.New(fault.Usage, "%s names no revision: a number from 1 is expected after the @", arg).WithFix("ruedo get revisions %s", name)
	}
	return name, revision, nil
}

// suggestName returns a valid name that is close to an invalid one.
func suggestName(name string) string { return cmp.Or(names.Near(name), "my-service") }

// Load reads DIR/ruedo.yaml. A directory without one is a service with the name
// of the directory.
func Load(dir string) (*Service, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.RequestInvalid, "the directory %s cannot be found", dir)
	}
	st, err := os.Stat(abs)
	if err == nil && !st.IsDir() {
		e := fault.New(fault.RequestInvalid, "%s is a file, and the directory of a service is expected", dir)
		if filepath.Ext(dir) == ".wasm" {
			e.Fix = "a module needs no building: ruedo check " + dir + ", or ruedo publish " + dir
		}
		return nil, e
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.RequestInvalid, "there is no directory %s", dir).WithFix("ruedo new %s", suggestName(filepath.Base(abs)))
	}
	s := &Service{Dir: dir}
	path := filepath.Join(dir, ServiceFile)
	data, err := yamlfile.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if sources, _ := filepath.Glob(filepath.Join(dir, "*.go")); len(sources) == 0 {
			return nil, fault.New(fault.RequestInvalid, "%s contains no service: it has neither %s nor Go files", dir, ServiceFile).
				WithFix("ruedo new NAME")
		}
	case err != nil:
		return nil, fault.Wrap(err, fault.ConfigInvalid, "%s cannot be read: %s", path, text.Cause(err))
	default:
		if err := yamlfile.One(path, data, s); err != nil {
			return nil, err
		}
	}
	if s.Name == "" {
		s.Name = filepath.Base(abs)
	}
	if err := CheckName("service", s.Name); err != nil {
		return nil, err
	}
	for _, w := range []struct{ key, value, usual, other string }{{"unknown_fields", s.UnknownFields, "refuse", "allow"}, {"schema", s.Schema, "types", "none"}} {
		if w.value != "" && w.value != w.usual && w.value != w.other {
			return nil, fault.New(fault.ConfigInvalid, "%s: %s is %q: %s or %s is expected", path, w.key, w.value, w.usual, w.other)
		}
	}
	if s.Kind != "" && s.Kind != KindFunction && s.Kind != KindHTTP && s.Kind != KindCommand {
		return nil, fault.New(fault.ConfigInvalid, "%s: kind is %q: function, http or command is expected", path, s.Kind)
	}
	return s, nil
}

// ExampleBytes returns the example as it is sent: JSON, the text as it is,
// bytes that are !!binary in YAML, or the content of the file that "@file"
// names. It returns nil if there is no
// example.
func (s *Service) ExampleBytes() ([]byte, error) {
	switch v := s.Example.(type) {
	case nil:
		return nil, nil
	case []byte:
		return v, nil
	case string:
		name, isFile := strings.CutPrefix(v, "@")
		if !isFile {
			return []byte(v), nil
		}
		data, err := os.ReadFile(filepath.Join(s.Dir, name))
		if err != nil {
			return nil, fault.Wrap(err, fault.ConfigInvalid, "the example %s cannot be read: %s", name, text.Cause(err))
		}
		return data, nil
	default:
		data, err := json.Marshal(v)
		if err != nil {
			return nil, fault.Wrap(err, fault.ConfigInvalid, "the example is not JSON: %s", err)
		}
		return data, nil
	}
}
