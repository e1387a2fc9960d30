package project

import (
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/strict"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// KindDecorator is the kind that a decorator's document states.
const KindDecorator = "Decorator"

// Decorator is one document of decorators.yaml.
type Decorator struct {
	Kind        string         `yaml:"kind"`
	Name        string         `yaml:"name"`
	Description string         `yaml:"description"`
	Tags        []string       `yaml:"tags"`
	InputSchema map[string]any `yaml:"input_schema"`
	Limits      Limits         `yaml:"limits"`
	Policy      Policy         `yaml:"policy"`
}

// Limits are sizes such as 64MiB and durations such as 2s. An empty one sets
// no limit of its own.
type Limits struct {
	Memory  string `yaml:"memory"`
	Timeout string `yaml:"timeout"`
	Input   string `yaml:"input"`
	Output  string `yaml:"output"`
	Logs    string `yaml:"logs"`
	// CPU is the processor time of one call, Concurrency how many calls of a
	// service one runner executes at once.
	CPU         string `yaml:"cpu"`
	Concurrency uint32 `yaml:"concurrency"`
}

// Policy says how calls may be handled.
type Policy struct {
	Idempotent bool `yaml:"idempotent"`
}

// Decorators reads DIR/decorators.yaml; a folder without one has none.
func Decorators(dir string) ([]*ruedov1.Decorator, error) {
	path := filepath.Join(dir, DecoratorsFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "%s cannot be read: %s", path, cause(err))
	}
	docs, err := strict.All(path, data)
	if err != nil {
		return nil, err
	}
	var list []*ruedov1.Decorator
	for _, doc := range docs {
		if kind := doc.Field("kind"); kind != KindDecorator {
			return nil, doc.Errorf("kind is %q: Decorator is expected", kind)
		}
		d, err := ReadDecorator(doc)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// ReadDecorator reads one document of kind Decorator.
func ReadDecorator(doc strict.Document) (*ruedov1.Decorator, error) {
	var d Decorator
	if err := doc.Decode(&d); err != nil {
		return nil, err
	}
	p, err := d.Proto()
	if err != nil {
		e := doc.Errorf("%s", err)
		e.Fix = fault.Of(err).Fix
		return nil, e
	}
	return p, nil
}

// Proto gives the decorator as the API takes it.
func (d *Decorator) Proto() (*ruedov1.Decorator, error) {
	if err := CheckName("decorator", d.Name); err != nil {
		return nil, err
	}
	p := &ruedov1.Decorator{Name: d.Name, Description: d.Description, Tags: d.Tags}
	if d.InputSchema != nil {
		schema, err := structpb.NewStruct(d.InputSchema)
		if err != nil {
			return nil, fault.Wrap(err, fault.SchemaInvalid, "input_schema is not JSON: %s", err)
		}
		p.InputSchema = schema
	}
	limits, err := d.Limits.Proto()
	if err != nil {
		return nil, err
	}
	p.Limits = limits
	if d.Policy.Idempotent {
		p.Policy = &ruedov1.CallPolicy{Idempotent: true}
	}
	return p, nil
}

// Proto gives the limits as the API takes them; nil where none is set.
func (l Limits) Proto() (*ruedov1.Limits, error) {
	if l == (Limits{}) {
		return nil, nil
	}
	p := &ruedov1.Limits{}
	for _, s := range []struct {
		name, text string
		to         *uint64
	}{
		{"memory", l.Memory, &p.MemoryBytes},
		{"input", l.Input, &p.InputBytes},
		{"output", l.Output, &p.OutputBytes},
		{"logs", l.Logs, &p.LogBytes},
	} {
		if s.text == "" {
			continue
		}
		n, ok := ParseSize(s.text)
		if !ok {
			return nil, fault.New(fault.DecoratorInvalid, "limits.%s is %q: a size such as 64MiB is expected", s.name, s.text)
		}
		*s.to = n
	}
	for _, s := range []struct {
		name, text string
		to         **durationpb.Duration
	}{
		{"timeout", l.Timeout, &p.Timeout},
		{"cpu", l.CPU, &p.CpuTime},
	} {
		if s.text == "" {
			continue
		}
		d, err := time.ParseDuration(s.text)
		if err != nil || d <= 0 {
			return nil, fault.New(fault.DecoratorInvalid, "limits.%s is %q: a duration such as 2s is expected", s.name, s.text)
		}
		*s.to = durationpb.New(d)
	}
	p.Concurrency = l.Concurrency
	return p, nil
}

var sizePattern = regexp.MustCompile(`^([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([KMG]i?)?B?$`)

// ParseSize reads "64MiB", "1.5 GiB", "500kB" or a bare number of bytes.
// K, M and G are powers of 1000, Ki, Mi and Gi powers of 1024.
func ParseSize(text string) (uint64, bool) {
	m := sizePattern.FindStringSubmatch(strings.Replace(strings.TrimSpace(text), "k", "K", 1))
	if m == nil {
		return 0, false
	}
	value, ok := new(big.Rat).SetString(m[1])
	if !ok {
		return 0, false
	}
	unit := map[string]int64{"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}[m[2]]
	value.Mul(value, new(big.Rat).SetInt64(unit))
	if !value.IsInt() || !value.Num().IsUint64() {
		return 0, false
	}
	return value.Num().Uint64(), true
}
