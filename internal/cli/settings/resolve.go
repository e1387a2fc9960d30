package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/userdir"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// Input is where settings can come from.
type Input struct {
	// Flags are the values given on the command line, by name ("server.port").
	Flags map[string]Flag
	// ConfigFile is the --config flag; empty if it was not given.
	ConfigFile string
	// Env is the environment as os.Environ returns it.
	Env []string
}

// Flag is a value from the command line.
type Flag struct {
	// Name as typed, for example "--port".
	Name  string
	Value string
}

// Resolved are settings with their origins.
type Resolved struct {
	Settings
	// File is the config file that was read; empty if there is none.
	File string
	// Warnings are about unknown RUEDO_ names in the environment, and about the
	// profile.
	Warnings []string
	// Profile is the profile that was chosen; see [Resolved.Target]. Nil if there
	// is none.
	Profile *Chosen

	origins map[string]string
	levels  map[string]level
}

// Resolve returns the value of every setting. A value that does not fit is
// CONFIG_INVALID; the error names its origin.
func Resolve(in Input) (*Resolved, error) {
	env := environment(in.Env)
	r := &Resolved{origins: make(map[string]string), levels: make(map[string]level)}
	file, err := findFile(in.ConfigFile, env)
	if err != nil {
		return nil, err
	}
	var values map[string]string
	if file != "" {
		if values, err = readFile(file); err != nil {
			return nil, err
		}
		r.File = file
	}
	for _, e := range Table() {
		text, origin, from := e.Default, "default", fromDefault
		// An empty value counts as not set: that is how compose files and unit
		// files leave a variable out.
		if v := values[e.Name]; v != "" {
			text, origin, from = v, "file "+file, fromFile
		}
		if v := env[e.Env]; v != "" {
			text, origin, from = v, "env "+e.Env, fromEnv
		}
		if f := in.Flags[e.Name]; f.Value != "" {
			text, origin, from = f.Value, "flag "+f.Name, fromFlag
		}
		if text != "" {
			if err := e.set(&r.Settings, text); err != nil {
				return nil, fault.Wrap(err, fault.ConfigInvalid, "%s is %q: %s (from %s)", e.Name, mask(text), err, origin)
			}
		}
		r.origins[e.Name], r.levels[e.Name] = origin, from
	}
	r.Warnings = unknownNames(env)
	r.choose(in, env)
	return r, nil
}

// Origin returns where the value of a setting came from: "flag --port",
// "env RUEDO_SERVER_PORT", "file /etc/ruedo/config.yaml" or "default".
func (r *Resolved) Origin(name string) string { return r.origins[name] }

// IsSet reports whether a setting was given, by a flag, the environment or the
// config file.
func (r *Resolved) IsSet(name string) bool { return r.origins[name] != "default" }

// Setting is one line of what `ruedo version --show-config` prints.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

// List returns every setting with its value, secrets masked, and its origin.
func (r *Resolved) List() []Setting {
	var list []Setting
	for _, e := range Table() {
		list = append(list, Setting{e.Name, e.text(&r.Settings), r.origins[e.Name]})
	}
	return list
}

func environment(list []string) map[string]string {
	env := make(map[string]string, len(list))
	for _, kv := range list {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	return env
}

// findFile returns the config file to read. One that was asked for by name must
// exist; the others can be missing.
func findFile(flag string, env map[string]string) (string, error) {
	for _, asked := range []struct{ path, origin string }{{flag, "--config"}, {env[EnvConfig], EnvConfig}} {
		if asked.path == "" {
			continue
		}
		if _, err := os.Stat(asked.path); err != nil {
			return "", fault.Wrap(err, fault.ConfigInvalid, "the config file %s cannot be read: %s (from %s)", asked.path, text.Cause(err), asked.origin)
		}
		return asked.path, nil
	}
	paths := []string{"/etc/ruedo/config.yaml"}
	if dir := userdir.Config(func(name string) string { return env[name] }); dir != "" {
		paths = append([]string{filepath.Join(dir, "config.yaml")}, paths...)
	}
	for _, p := range paths {
		_, err := os.Stat(p)
		if err == nil {
			return p, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fault.Wrap(err, fault.ConfigInvalid, "the config file %s cannot be read: %s", p, text.Cause(err))
		}
	}
	return "", nil
}

// readFile returns the values that a config file sets, by name.
func readFile(path string) (map[string]string, error) {
	data, err := yamlfile.Read(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "the config file %s cannot be read: %s", path, text.Cause(err))
	}
	target := reflect.New(fileType())
	if err := yamlfile.One(path, data, target.Interface()); err != nil {
		return nil, err
	}
	values := make(map[string]string)
	for _, e := range Table() {
		v := target.Elem().Field(e.index[0]).Field(e.index[1])
		if v.IsNil() {
			continue
		}
		text, ok := scalar(v.Interface())
		if !ok {
			return nil, fault.New(fault.ConfigInvalid, "%s: %s is expected to be %s", path, e.Name, e.Type)
		}
		values[e.Name] = text
	}
	return values, nil
}

// fileType is the struct of the config file, made of the table, so that the
// reader knows exactly the keys that exist.
func fileType() reflect.Type {
	root := reflect.TypeFor[Settings]()
	var sections []reflect.StructField
	for i := range root.NumField() {
		var keys []reflect.StructField
		section := root.Field(i)
		for j := range section.Type.NumField() {
			f := section.Type.Field(j)
			keys = append(keys, reflect.StructField{
				Name: f.Name,
				Type: reflect.TypeFor[any](),
				Tag:  reflect.StructTag(fmt.Sprintf("yaml:%q", f.Tag.Get("key"))),
			})
		}
		sections = append(sections, reflect.StructField{
			Name: section.Name,
			Type: reflect.StructOf(keys),
			Tag:  reflect.StructTag(fmt.Sprintf("yaml:%q", section.Tag.Get("section"))),
		})
	}
	return reflect.StructOf(sections)
}

// scalar writes a YAML value as it would stand in the environment.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			text, ok := scalar(item)
			if !ok {
				return "", false
			}
			parts[i] = text
		}
		return strings.Join(parts, " "), true
	case string, bool, int, int64, uint64, float64:
		return fmt.Sprint(v), true
	}
	return "", false
}

// serviceLink matches the variables that Kubernetes and Docker add for other
// services.
var serviceLink = regexp.MustCompile(`_SERVICE_(HOST|PORT(_.*)?)=|_PORT_\d+_(TCP|UDP)(_.*)?=|_PORT=(tcp|udp)://`)

// unknownNames returns a warning for each RUEDO_ name that no setting has.
func unknownNames(env map[string]string) []string {
	known := []string{EnvConfig, EnvProfile, EnvToken, EnvSealKey}
	for _, e := range Table() {
		known = append(known, e.Env)
	}
	var warnings []string
	for name, value := range env {
		if !strings.HasPrefix(name, EnvPrefix) || slices.Contains(known, name) || serviceLink.MatchString(name+"="+value) {
			continue
		}
		w := "unknown environment variable " + name
		if hint := suggest.DidYouMean(name, known); hint != "" {
			w += " (" + hint + ")"
		}
		warnings = append(warnings, w)
	}
	slices.Sort(warnings)
	return warnings
}
