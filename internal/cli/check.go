package cli

import (
	"fmt"
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// checkCmd is `ruedo check`.
type checkCmd struct {
	Source string `arg:"" optional:"" default:"." help:"Folder of a service, or a .wasm file; the current folder where it is left out."`

	Example   string   `placeholder:"INPUT" help:"An input that the service accepts, or @FILE."`
	Env       []string `placeholder:"KEY=VALUE" sep:"none" help:"Environment of the guest. May be repeated."`
	Arg       []string `placeholder:"ARG" sep:"none" help:"Argument of a command. May be repeated."`
	Isolation string   `placeholder:"WORD" help:"What a call sees of the calls before it: pristine (nothing), shared or fresh."`
}

func (*checkCmd) Examples() []string {
	return []string{"ruedo check", "ruedo check app.wasm --example '{}'", "ruedo check app.wasm -o json"}
}

func (c *checkCmd) Run(a *app) error {
	overlay := &publishCmd{Example: c.Example, Env: c.Env, Arg: c.Arg, Isolation: c.Isolation}
	src, err := a.openSource(c.Source, "", func(r *ruedov1.PublishServiceRequest) error { return overlay.overlay(r) })
	if err != nil {
		return err
	}
	if _, err := admit(src.wasm); err != nil {
		return about(err, "service %s", src.request.GetName())
	}
	report, err := a.try(src)
	if err != nil {
		return about(err, "service %s", src.request.GetName())
	}
	a.warn(report)
	if !a.print.ForPeople() {
		return a.print.Value(report.value())
	}
	if err := a.say("%s can be published", src.request.GetName()); err != nil {
		return err
	}
	for _, line := range report.lines() {
		if err := a.say("  %s", line); err != nil {
			return err
		}
	}
	return nil
}

// tried is what the sandbox found out about a module.
type tried struct {
	sandbox.Report
	Size       uint64
	HasExample bool
}

// lines is the report for people.
func (t *tried) lines() []string {
	isolation := string(t.Isolation)
	if t.IsolationReason != "" {
		isolation += ": " + t.IsolationReason
	}
	warm := "unknown: the service has no example"
	if t.HasExample {
		warm = output.Duration(t.Warm) + " with the example"
	}
	lines := []string{
		fmt.Sprintf("module     %s, %s", t.Kind, output.Size(t.Size)),
		fmt.Sprintf("compile    %s", output.Duration(t.Compile)),
		fmt.Sprintf("start      %s, then %s of memory", output.Duration(t.Start), output.Size(t.Memory)),
		fmt.Sprintf("warm call  %s", warm),
		fmt.Sprintf("isolation  %s", isolation),
		fmt.Sprintf("imports    %s", imports(t.Imports)),
	}
	memory, timeout, cpu := t.suggest()
	return append(lines, fmt.Sprintf("suggested  limits: {memory: %s, timeout: %s, cpu: %s}", strings.ReplaceAll(limits.FormatSize(memory), " ", ""), timeout, cpu))
}

// suggest gives limits with room: four times the memory after the start, and a
// hundred times the warm call.
func (t *tried) suggest() (memory uint64, timeout, cpu time.Duration) {
	const step = 16 << 20
	memory = (4*t.Memory + step - 1) / step * step
	cpu = max(100*t.Warm.Round(time.Millisecond), 100*time.Millisecond).Round(100 * time.Millisecond)
	return max(memory, step), max(2*cpu, time.Second), cpu
}

// imports names what a module asks for, by module.
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

// value is the report for programs.
func (t *tried) value() any {
	memory, timeout, cpu := t.suggest()
	return struct {
		Kind            string   `json:"kind"`
		Size            uint64   `json:"size_bytes"`
		Compile         float64  `json:"compile_seconds"`
		Start           float64  `json:"start_seconds"`
		Memory          uint64   `json:"memory_bytes"`
		Warm            float64  `json:"warm_seconds"`
		Isolation       string   `json:"isolation"`
		IsolationReason string   `json:"isolation_reason"`
		Imports         []string `json:"imports"`
		Suggested       any      `json:"suggested_limits"`
	}{
		string(t.Kind), t.Size, t.Compile.Seconds(), t.Start.Seconds(), t.Memory, t.Warm.Seconds(), string(t.Isolation), t.IsolationReason, t.Imports,
		map[string]any{"memory_bytes": memory, "timeout_seconds": timeout.Seconds(), "cpu_seconds": cpu.Seconds()},
	}
}

// warn says what is no obstacle and still not right.
func (a *app) warn(t *tried) {
	if t.Example != nil {
		a.talk("warning: the service refuses its example: %s", output.Safe(t.Example.Message))
	}
}
