package limits_test

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

func TestEveryFieldHasOneRow(t *testing.T) {
	rows := map[string]int{}
	for i, r := range limits.Table() {
		rows[r.Field()]++
		l := &ruedov1.Limits{}
		if got := r.Get(l); got != 0 {
			t.Errorf("%s is %d if nothing is set", r.Name, got)
		}
		if r.Set(l, math.MaxUint64); r.Get(l) < math.MaxUint32 {
			t.Errorf("%s: the largest value became %d", r.Name, r.Get(l))
		}
		if r.Set(l, 7); r.Get(l) != 7 {
			t.Errorf("%s was set to 7 and is %d", r.Name, r.Get(l))
		}
		if other, _ := limits.Lookup(r.Name); other.Field() != r.Field() {
			t.Errorf("%s: two rows have this name", r.Name)
		}
		if r.Bounds == "" || r.Home == "" || (r.Reason == "") == (r.Excess == "") {
			t.Errorf("%s: the row is not complete", r.Name)
		}
		if r.Reason != "" && !fault.Reason(r.Reason).Known() {
			t.Errorf("%s: %s is not a reason", r.Name, r.Reason)
		}
		if r.Reason != "" {
			if found, ok := limits.ByReason(r.Reason, r.Kind); !ok || found.Name != r.Name {
				t.Errorf("%s: ByReason(%s) = %s", r.Name, r.Reason, found.Name)
			}
		}
		if r.Default == 0 && r.Follows == "" && r.Unset == "" {
			t.Errorf("%s: the row says not what holds if nothing is set", r.Name)
		}
		above := func(r2 limits.Row) bool { return r2.Name == r.Follows }
		if r.Follows != "" && !slices.ContainsFunc(limits.Table()[:i], above) {
			t.Errorf("%s follows %s, which does not stand above it", r.Name, r.Follows)
		}
	}
	fields := (&ruedov1.Limits{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if name := string(fields.Get(i).Name()); rows[name] != 1 {
			t.Errorf("the field %s of ruedo.v1.Limits has %d rows, want 1", name, rows[name])
		}
	}
	if _, ok := limits.ByReason("", ""); ok {
		t.Error("no reason names a limit")
	}
}

func TestCombine(t *testing.T) {
	decorator := func(name string, l *ruedov1.Limits) *ruedov1.Decorator {
		return &ruedov1.Decorator{Name: name, Limits: l}
	}
	const function, http = ruedov1.Kind_KIND_FUNCTION, ruedov1.Kind_KIND_HTTP
	for name, tt := range map[string]struct {
		kind       ruedov1.Kind
		decorators []*ruedov1.Decorator
		want       []string
	}{
		"nothing set for http": {http, nil, []string{
			"memory 128 MiB", "timeout 1m0s", "idle 5m0s", "cpu 1m0s as timeout", "input 64 MiB", "output 64 MiB", "logs 64 KiB", "concurrency the runner's own",
		}},
		"a stream of a day": {
			http, []*ruedov1.Decorator{decorator("a", &ruedov1.Limits{Timeout: durationpb.New(24 * time.Hour), OutputBytes: 1 << 40, Idle: durationpb.New(time.Hour)})},
			[]string{"timeout 24h0m0s a", "idle 1h0m0s a", "cpu 1m0s", "input 64 MiB", "output 1024 GiB a"},
		},
		"no limit of bodies": {
			http, []*ruedov1.Decorator{decorator("a", &ruedov1.Limits{InputBytes: limits.None, OutputBytes: limits.None}), decorator("b", &ruedov1.Limits{OutputBytes: 1 << 30})},
			[]string{"input none a", "output 1 GiB b"},
		},
		"a short one": {
			http, []*ruedov1.Decorator{decorator("a", &ruedov1.Limits{Timeout: durationpb.New(time.Second)})},
			[]string{"timeout 1s a", "cpu 1s as timeout"},
		},
		"no function has more than functions can have": {
			function, []*ruedov1.Decorator{decorator("a", &ruedov1.Limits{Timeout: durationpb.New(24 * time.Hour), OutputBytes: 1 << 40, Idle: durationpb.New(time.Hour)})},
			[]string{"timeout 1h0m0s a", "cpu 1h0m0s as timeout", "output 64 MiB a"},
		},
		"a grace": {
			http, []*ruedov1.Decorator{decorator("a", &ruedov1.Limits{Grace: durationpb.New(2 * time.Second)}), decorator("b", &ruedov1.Limits{Grace: durationpb.New(time.Second)})},
			[]string{"timeout 1m0s", "grace 1s b"},
		},
		"nothing set": {function, nil, []string{
			"memory 128 MiB", "timeout 10s", "cpu 10s as timeout", "input 4 MiB", "output 4 MiB", "logs 64 KiB", "concurrency the runner's own",
		}},
		"cpu follows a longer timeout": {
			function, []*ruedov1.Decorator{decorator("a", &ruedov1.Limits{Timeout: durationpb.New(time.Minute)})},
			[]string{"timeout 1m0s a", "cpu 1m0s as timeout"},
		},
		"cpu follows a shorter timeout": {
			function, []*ruedov1.Decorator{decorator("a", &ruedov1.Limits{Timeout: durationpb.New(2 * time.Second)}), decorator("b", nil)},
			[]string{"timeout 2s a", "cpu 2s as timeout"},
		},
		"the strictest wins, the first of equals is named": {
			function, []*ruedov1.Decorator{
				decorator("a", &ruedov1.Limits{Timeout: durationpb.New(time.Minute), MemoryBytes: 2 << 20, Concurrency: 3}),
				decorator("b", &ruedov1.Limits{CpuTime: durationpb.New(time.Second), MemoryBytes: 1 << 20, InputBytes: 1500, OutputBytes: 1, LogBytes: 9}),
				decorator("c", &ruedov1.Limits{CpuTime: durationpb.New(time.Second), MemoryBytes: 3 << 20, Concurrency: 2}),
			},
			[]string{"memory 1 MiB b", "timeout 1m0s a", "cpu 1s b", "input 1500 bytes b", "output 1 byte b", "logs 9 bytes b", "concurrency 2 c"},
		},
	} {
		sum, effective := limits.Combine(tt.kind, tt.decorators), limits.Effective(tt.kind, tt.decorators)
		rows := slices.DeleteFunc(limits.Table(), func(r limits.Row) bool { return tt.kind != http && r.Only == http })
		var got []string
		for i, e := range effective {
			text := e.GetLimit() + " " + e.GetValue()
			if e.GetDecorator() != "" {
				text += " " + e.GetDecorator()
			}
			if e.GetFollows() != "" {
				text += " as " + e.GetFollows()
			}
			got = append(got, text)
			r := rows[i]
			if e.GetLimit() != r.Name {
				t.Errorf("%s: row %d is %s, want %s", name, i, e.GetLimit(), r.Name)
			}
			if r.Get(sum) == 0 && r.Unset == "" {
				t.Errorf("%s: %s is not set", name, r.Name)
			}
		}
		if len(got) != len(rows) {
			t.Errorf("%s: %d limits, want %d", name, len(got), len(rows))
		}
		for _, want := range tt.want {
			if !slices.Contains(got, want) {
				t.Errorf("%s: %q is not among %q", name, want, got)
			}
		}
	}
}

func TestOver(t *testing.T) {
	ds := []*ruedov1.Decorator{{Name: "long", Limits: &ruedov1.Limits{Timeout: durationpb.New(2 * time.Hour)}}}
	if what, by := limits.Over(ruedov1.Kind_KIND_HTTP, ds); what != "" || by != "" {
		t.Errorf("http: %q, %q", what, by)
	}
	what, by := limits.Over(ruedov1.Kind_KIND_FUNCTION, ds)
	if what != "timeout is 2h0m0s, and more than 1h0m0s is only for services of kind http" || by != "long" {
		t.Errorf("function: %q, %q", what, by)
	}
	ds = append(ds, &ruedov1.Decorator{Name: "short", Limits: &ruedov1.Limits{Timeout: durationpb.New(time.Second)}})
	if what, _ := limits.Over(ruedov1.Kind_KIND_FUNCTION, ds); what != "" {
		t.Errorf("a stricter one holds: %q", what)
	}
}

func TestText(t *testing.T) {
	l := &ruedov1.Limits{Concurrency: 2, CpuTime: durationpb.New(50 * time.Millisecond), MemoryBytes: 32 << 20}
	if got := limits.Text(l); got != "memory 32 MiB, cpu 50ms, concurrency 2" {
		t.Errorf("Text = %q", got)
	}
	if got := limits.Text(nil); got != "" {
		t.Errorf("Text(nil) = %q", got)
	}
	if got := limits.Raise("small", limits.Output, limits.Logs); got != "raise output or logs in decorator small" {
		t.Errorf("Raise = %q", got)
	}
	if got := limits.Raise("", limits.CPU); got != "raise cpu in a decorator of the service" {
		t.Errorf("Raise = %q", got)
	}
	usage := limits.Usage()
	for _, r := range limits.Table() {
		if !strings.Contains(usage, r.Name) || !strings.Contains(usage, r.Unit.Expected()) {
			t.Errorf("Usage = %q, without %s", usage, r.Name)
		}
	}
	for path, want := range map[string]string{
		"decorator.limits.memory_bytes": "decorator.limits.memory",
		"limits.cpu_time":               "limits.cpu",
		"decorator.limits.other":        "decorator.limits.other",
		"decorator.name":                "decorator.name",
	} {
		if got := limits.Path(path); got != want {
			t.Errorf("Path(%s) = %s, want %s", path, got, want)
		}
	}
}

// The sandbox and the reader of modules are libraries that do not know the
// table, so their errors spell out the names of limits.
func TestFixesNameLimitsAsUsersWriteThem(t *testing.T) {
	advice := regexp.MustCompile(`raise (?:the )?([a-z_.]+)(?: limit)? in a decorator`)
	found := map[string]bool{}
	for _, room := range []string{"../../sandbox", "../../runner", "../../core", "../../internal"} {
		err := filepath.WalkDir(room, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range advice.FindAllSubmatch(b, -1) {
				name := string(m[1])
				found[name] = true
				if _, ok := limits.Lookup(name); !ok {
					t.Errorf("%s: %q names no limit of the table", path, m[0])
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 4 {
		t.Errorf("found only %v", found)
	}
}

// What the table says of a limit is what the API accepts.
func TestRange(t *testing.T) {
	for _, r := range limits.Table() {
		low, high := r.Range()
		if high == 0 || high < low || r.Default != 0 && (r.Default < low || r.Default > high) {
			t.Errorf("%s: %d to %d, the default is %d", r.Name, low, high, r.Default)
		}
		for v, valid := range map[uint64]bool{low - 1: false, low: true, high: true, high + 1: false} {
			l := &ruedov1.Limits{}
			if r.Set(l, v); r.Get(l) != v {
				continue
			}
			if err := protovalidate.Validate(l); (err == nil) != valid {
				t.Errorf("%s = %d: %v", r.Name, v, err)
			}
		}
	}
	memory, _ := limits.Lookup(limits.Memory)
	input, _ := limits.Lookup(limits.Input)
	if memory.Expected() != "between 64 KiB and 4 GiB" || input.Expected() != "at most 64 MiB (kind http: any, or none)" {
		t.Errorf("%s, %s", memory.Expected(), input.Expected())
	}
}
