package source

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/absent"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// Report is what the sandbox found out about a module.
type Report struct {
	sandbox.Report
	Size       uint64
	HasExample bool
	// Cold is how long GET / takes in a service of kind http without an example, whose
	// Warm is how long it would take with one. Zero: it was not measured.
	Cold time.Duration
	// Answers are what a service of kind http answered its examples with.
	Answers []Answer
	// Absent is what the program uses although a guest does not have it.
	Absent []absent.Finding
	// Calls are the results of example calls, for [Report.Value]; nil if there
	// were none.
	Calls any
}

// Answer is how a service of kind http answered an example.
type Answer struct {
	Request  string `json:"request"`
	Status   int    `json:"status"`
	Duration string `json:"duration"`
}

func (a Answer) String() string {
	return fmt.Sprintf("%s: status %d in %s", output.Safe(a.Request), a.Status, a.Duration)
}

// Lines returns the report as lines to read; verbose adds the imports.
func (r *Report) Lines(verbose bool) []string {
	isolation := string(r.Isolation)
	if r.IsolationReason != "" {
		isolation += ": " + r.IsolationReason
	}
	warm := "unknown: the service has no example"
	if r.Cold != 0 {
		warm = "none: the service has no example. " + r.Price()
	}
	if r.HasExample {
		warm = output.Duration(r.Warm) + " with the example"
	}
	if len(r.Answers) > 0 {
		warm = r.Answers[0].String()
	}
	lines := []string{
		fmt.Sprintf("module     %s, %s", r.Kind, output.Size(r.Size)),
		fmt.Sprintf("compile    %s", output.Duration(r.Compile)),
		fmt.Sprintf("start      %s, then %s of memory", output.Duration(r.Start), output.Size(r.Memory)),
		fmt.Sprintf("warm call  %s", warm),
	}
	for _, a := range r.Answers[min(1, len(r.Answers)):] {
		lines = append(lines, fmt.Sprintf("           %s", a))
	}
	lines = append(lines, fmt.Sprintf("isolation  %s", isolation))
	if verbose {
		lines = append(lines, fmt.Sprintf("imports    %s", imports(r.Imports)))
	}
	var suggested []string
	for _, row := range limits.Table() {
		if v := row.Get(r.suggest()); v != 0 {
			suggested = append(suggested, fmt.Sprintf("%s: %v", row.Name, row.Value(v)))
		}
	}
	return append(lines, "suggested  limits: {"+strings.Join(suggested, ", ")+"}")
}

// Price says what it costs that a service of kind http has no example.
func (r *Report) Price() string {
	return fmt.Sprintf("GET / takes %s, and %s with one", output.Duration(r.Cold), output.Duration(r.Warm))
}

// suggest returns generous limits: four times the memory after the start, and a
// hundred times the warm call. How long a request of kind http takes depends on its
// caller, too.
func (r *Report) suggest() *ruedov1.Limits {
	const step = 16 << 20
	memory := (4*r.Memory + step - 1) / step * step
	if r.Kind == sandbox.HTTP {
		return &ruedov1.Limits{MemoryBytes: max(memory, step)}
	}
	cpu := max(100*r.Warm.Round(time.Millisecond), 100*time.Millisecond).Round(100 * time.Millisecond)
	return &ruedov1.Limits{MemoryBytes: max(memory, step), Timeout: durationpb.New(max(2*cpu, time.Second)), CpuTime: durationpb.New(cpu)}
}

// imports lists the functions that a module imports, by the module they come
// from.
func imports(names []string) string {
	by := map[string][]string{}
	var order []string
	for _, n := range names {
		module, name, _ := strings.Cut(n, ".")
		if by[module] == nil {
			order = append(order, module)
		}
		by[module] = append(by[module], name)
	}
	var parts []string
	for _, m := range order {
		parts = append(parts, output.Safe(m+": "+strings.Join(by[m], " ")))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, "; ")
}

// Value returns the report for JSON and YAML, in the words of package object.
func (r *Report) Value() any {
	cold := ""
	if r.Cold != 0 {
		cold = r.Cold.String()
	}
	return struct {
		Kind            string   `json:"kind"`
		Size            uint64   `json:"size_bytes"`
		Compile         string   `json:"compile_time"`
		Start           string   `json:"start_time"`
		Memory          uint64   `json:"memory_bytes"`
		Cold            string   `json:"cold_time,omitempty"`
		Warm            string   `json:"warm_time"`
		Isolation       string   `json:"isolation"`
		IsolationReason string   `json:"isolation_reason"`
		Imports         []string `json:"imports"`
		Suggested       any      `json:"suggested_limits"`
		Absent          any      `json:"absent"`
		Answers         []Answer `json:"answers,omitempty"`
		Calls           any      `json:"calls,omitempty"`
	}{
		string(r.Kind), r.Size, r.Compile.String(), r.Start.String(), r.Memory, cold, r.Warm.String(), string(r.Isolation), r.IsolationReason, r.Imports,
		object.Of(r.suggest()), append([]absent.Finding{}, r.Absent...), r.Answers, r.Calls,
	}
}
