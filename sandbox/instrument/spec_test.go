package instrument_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// A script of the public specification tests.
type script struct {
	Commands []command
}

type command struct {
	Type, Name, Filename, As string
	Line                     int
	Action                   struct {
		Type, Field, Module string
		Args                []value
	}
	Expected []value
}

type value struct {
	Type  string
	Lane  string `json:"lane_type"`
	Value any
}

// bits returns one number; ok is false if it stands for several, such as any
// NaN.
func bits(typ, s string) (v uint64, ok bool) {
	if strings.HasPrefix(s, "nan") {
		if typ == "f32" {
			return 0x7fc00000, false
		}
		return 0x7ff8000000000000, false
	}
	size := 64
	switch typ {
	case "i8", "i16", "i32", "f32":
		size, _ = strconv.Atoi(typ[1:])
	}
	if n, err := strconv.ParseInt(s, 10, size); err == nil && strings.HasPrefix(s, "-") {
		return uint64(n) & (math.MaxUint64 >> (64 - size)), true
	}
	v, err := strconv.ParseUint(s, 10, size)
	return v, err == nil
}

// words returns the value as it is passed; exact is false if it stands for
// several.
func (v value) words() (w []uint64, exact bool) {
	switch x := v.Value.(type) {
	case string:
		switch v.Type {
		case "externref", "funcref":
			n, err := strconv.ParseUint(x, 10, 64)
			if err != nil {
				return []uint64{0}, x == "null"
			}
			return []uint64{n + 1}, v.Type == "externref" // null is 0
		}
		n, ok := bits(v.Type, x)
		return []uint64{n}, ok
	case []any:
		w, exact = make([]uint64, 2), true
		width := 128 / len(x)
		for i, lane := range x {
			n, ok := bits(v.Lane, lane.(string))
			exact = exact && ok
			w[i*width/64] |= n << (i * width % 64)
		}
		return w, exact
	}
	return []uint64{0}, false
}

// spec runs scripts, with every module rewritten or none.
type spec struct {
	*host
	t       *testing.T
	rewrite bool
	modules map[string]api.Module
	last    api.Module
	all     []api.Module
	held    int // successful assertions on results
	returns int // all assertions on results
}

// run returns the result of each command as comparable text.
func (s *spec) run(file string) (outcomes []string) {
	var sc script
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &sc)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for i, c := range sc.Commands {
		out := ""
		switch c.Type {
		case "module", "assert_unlinkable", "assert_uninstantiable":
			name := ""
			if next := i + 1; c.Type == "module" && next < len(sc.Commands) && sc.Commands[next].Type == "register" {
				name = sc.Commands[next].As
			}
			m, err := s.load(filepath.Join(filepath.Dir(file), c.Filename), name)
			if out = fmt.Sprint(kind(err)); err == nil {
				s.last = m
				s.all = append(s.all, m)
				if c.Name != "" {
					s.modules[c.Name] = m
				}
			}
		case "action", "assert_return", "assert_trap", "assert_exhaustion":
			out = s.act(c)
		}
		if out != "" {
			outcomes = append(outcomes, fmt.Sprintf("%s:%d %s: %s", filepath.Base(file), c.Line, c.Type, out))
		}
	}
	return outcomes
}

func (s *spec) load(file, name string) (api.Module, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	var res *instrument.Result
	if s.rewrite {
		if res, err = instrument.Rewrite(b, instrument.Options{Meter: true}); err != nil {
			return nil, err
		}
	}
	return s.instantiate(s.t.Context(), b, res, wazero.NewModuleConfig().WithName(name))
}

func (s *spec) act(c command) string {
	m := s.last
	if c.Action.Module != "" {
		m = s.modules[c.Action.Module]
	}
	if m == nil {
		return "no module"
	}
	if c.Action.Type == "get" {
		g := m.ExportedGlobal(c.Action.Field)
		if g == nil {
			return "no global"
		}
		return s.judge(c, []uint64{g.Get()}, []api.ValueType{g.Type()})
	}
	f := m.ExportedFunction(c.Action.Field)
	if f == nil {
		return "no function"
	}
	var args []uint64
	for _, a := range c.Action.Args {
		w, _ := a.words()
		args = append(args, w...)
	}
	got, err := f.Call(s.t.Context(), args...)
	if err != nil {
		return kind(err)
	}
	return s.judge(c, got, f.Definition().ResultTypes())
}

// judge compares results with the script's expectations, and returns them.
func (s *spec) judge(c command, got []uint64, types []api.ValueType) string {
	got = slices.Clone(got)
	at := 0
	for _, t := range types {
		switch t {
		case api.ValueTypeI32, api.ValueTypeF32:
			got[at] &= math.MaxUint32
		case 0x70: // a function: an address in this process
			got[at] = min(got[at], 1)
		case 0x7b:
			at++
		}
		at++
	}
	if c.Type == "assert_return" {
		s.returns++
		var want []uint64
		exact := true
		for _, e := range c.Expected {
			w, ok := e.words()
			want, exact = append(want, w...), exact && ok
		}
		if len(want) == len(got) && (!exact || slices.Equal(want, got)) {
			s.held++
		} else {
			return fmt.Sprintf("%x, want %x", got, want)
		}
	}
	return fmt.Sprintf("%x", got)
}

// kind returns the first line of an error, without the parts that differ
// between runs.
func kind(err error) string {
	if err == nil {
		return "ok"
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return string(e.Reason)
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	line, _, _ = strings.Cut(line, " (recovered by wazero)")
	if _, cause, ok := strings.Cut(line, "] failed: "); ok && strings.HasPrefix(line, "start function[") {
		return cause // the same, when the host calls it
	}
	return line
}

// TestSpecification runs the public tests twice, with every module rewritten
// and metered, and unmodified: every command must have the same outcome. The
// fuel burnt must not depend on how much is given at a time.
func TestSpecification(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for half a minute")
	}
	dir := wasmtest.SpecDir(t)
	spectest, err := os.ReadFile(filepath.Join(dir, "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	var commands, held, returns, refuels int
	for _, suite := range []string{"v1", "v2", "tail-call", "extended-const"} {
		files, err := filepath.Glob(filepath.Join(dir, suite, "testdata", "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no tests: %v", err)
		}
		for i, file := range files {
			if i%share != 0 {
				continue
			}
			run := func(rewritten bool, slice int64) (*spec, []string, int64) {
				s := &spec{host: newHost(t, slice), t: t, rewrite: rewritten, modules: make(map[string]api.Module)}
				m, err := s.InstantiateWithConfig(t.Context(), spectest, wazero.NewModuleConfig())
				if err != nil {
					t.Fatal(err)
				}
				s.modules["spectest"] = m
				out := s.run(file)
				for _, m := range s.all {
					if rewritten {
						s.settle(m)
					}
				}
				if err := s.Close(t.Context()); err != nil {
					t.Error(err)
				}
				return s, out, s.used
			}
			native, want, _ := run(false, 0)
			small, got, used := run(true, 50)
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Errorf("%s: rewritten: %v, as it is: %s", suite, got[min(i, len(got)-1)], want[i])
				}
			}
			if small.held != native.held {
				t.Errorf("%s: %d assertions hold, %d without rewriting", file, small.held, native.held)
			}
			_, _, other := run(true, 5000)
			if used != other && !strings.Contains(strings.Join(want, "\n"), "stack overflow") {
				t.Errorf("%s: %d units with slices of 50, %d with slices of 5,000", file, used, other)
			}
			commands += len(want)
			held += native.held
			returns += native.returns
			refuels += small.refuels
		}
	}
	t.Logf("%d commands with the same outcome; %d of %d results as expected; %d refuels", commands, held, returns, refuels)
}
