package settings

import (
	"reflect"
	"strings"
	"time"
)

// EnvPrefix begins the name of every setting in the environment.
const EnvPrefix = "RUEDO_"

// Tag is the key of the struct tag that ties a flag to the setting it overrides:
// `setting:"server.port"`.
const Tag = "setting"

// EnvConfig names the config file in the environment, and EnvProfile the profile.
// EnvToken is the token to show, and EnvSealKey the seal key; they are secrets, and so
// no settings.
const (
	EnvConfig  = "RUEDO_CONFIG"
	EnvProfile = "RUEDO_PROFILE"
	EnvToken   = "RUEDO_TOKEN"
	EnvSealKey = "RUEDO_SEAL_KEY"
)

// FlagProfile is the value of the struct tag of the flag that names the profile.
const FlagProfile = "profile"

// Entry describes one setting.
type Entry struct {
	// Name is "section.key", as in the config file.
	Name string
	// Section and Key are its two parts.
	Section, Key string
	// Env is its name in the environment.
	Env string
	// Default is the value if nobody sets one. May be empty.
	Default string
	// Enum lists the values allowed. Empty: any.
	Enum []string
	// Help says what it is for.
	Help string
	// Type is how documents name it: text, number, true/false, duration or list.
	Type string

	check string
	index [2]int
}

// Table lists every setting in the order of [Settings].
func Table() []Entry {
	var list []Entry
	root := reflect.TypeFor[Settings]()
	for i := range root.NumField() {
		section := root.Field(i)
		name := section.Tag.Get("section")
		for j := range section.Type.NumField() {
			f := section.Type.Field(j)
			key := f.Tag.Get("key")
			e := Entry{
				Name:    name + "." + key,
				Section: name,
				Key:     key,
				Env:     EnvPrefix + strings.ToUpper(name+"_"+key),
				Default: f.Tag.Get("default"),
				Help:    f.Tag.Get("help"),
				Type:    typeName(f.Type),
				check:   f.Tag.Get("check"),
				index:   [2]int{i, j},
			}
			if enum := f.Tag.Get("enum"); enum != "" {
				e.Enum = strings.Split(enum, ",")
			}
			list = append(list, e)
		}
	}
	return list
}

// Lookup returns the setting of a name such as "server.port".
func Lookup(name string) (Entry, bool) {
	for _, e := range Table() {
		if e.Name == name {
			return e, true
		}
	}
	return Entry{}, false
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Kind() == reflect.Bool:
		return "true/false"
	case t.Kind() == reflect.Int:
		return "number"
	case t.Kind() == reflect.Slice:
		return "list"
	}
	return "text"
}
