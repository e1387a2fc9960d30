package project

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// Limits are values as they are written, such as 64MiB or 2s, by the names of
// the table of limits. An empty value sets no limit.
type Limits map[string]string

// Keys returns the names that Limits may have.
func (Limits) Keys() []string { return limits.Names() }

// UnmarshalYAML reads a mapping into a struct with one field a limit, because
// that is what the decoder checks names against.
func (l *Limits) UnmarshalYAML(unmarshal func(any) error) error {
	var fields []reflect.StructField
	for i, name := range limits.Names() {
		fields = append(fields, reflect.StructField{
			Name: fmt.Sprintf("Limit%d", i),
			Type: reflect.TypeFor[string](),
			Tag:  reflect.StructTag(fmt.Sprintf(`yaml:%q`, name)),
		})
	}
	read := reflect.New(reflect.StructOf(fields))
	if err := unmarshal(read.Interface()); err != nil {
		return err
	}
	*l = make(Limits)
	for i, name := range limits.Names() {
		(*l)[name] = read.Elem().Field(i).String()
	}
	return nil
}

// Proto returns the limits as the API takes them, nil if none is set.
func (l Limits) Proto() (*ruedov1.Limits, error) {
	var p *ruedov1.Limits
	for _, name := range slices.Sorted(maps.Keys(l)) {
		text := l[name]
		if text == "" {
			continue
		}
		row, ok := limits.Lookup(name)
		if !ok {
			return nil, unknownLimit(name)
		}
		v, ok := row.Parse(text)
		if !ok {
			return nil, fault.New(fault.DecoratorInvalid, "limits.%s is %q: %s is expected", name, text, row.Unit.Expected())
		}
		if v == 0 { // as if it were not there
			continue
		}
		if low, high := row.Range(); v < low || v > high {
			e := fault.New(fault.DecoratorInvalid, "limits.%s is %s: %s is expected", name, row.Unit.Format(v), row.Expected())
			if _, err := strconv.ParseUint(text, 10, 64); err == nil && v < low {
				e.WithFix("a number without a unit is in bytes: write %sMiB", text)
			}
			return nil, e
		}
		if p == nil {
			p = &ruedov1.Limits{}
		}
		row.Set(p, v)
	}
	return p, nil
}

func unknownLimit(name string) error {
	e := fault.New(fault.DecoratorInvalid, "there is no limit %q", name)
	if hint := suggest.DidYouMean(name, limits.Names()); hint != "" {
		e.Message += ", " + hint
	}
	return e.WithFix("use %s", strings.Join(limits.Names(), ", "))
}
