// Package loop measures how soon an edit is live: the time from the save of a
// source file, which `ruedo dev --watch` sees, builds and publishes, to the first
// answer of the new revision. Next to it, in turn, `go build` alone builds an
// edit of the same kind, and then wazero alone compiles what it built, with as many
// workers and without metering, limits or a check: an edit of code cannot be live
// sooner.
//
// Both have a warm cache: of a project that `ruedo new` made, one constant of the
// main package changes. A text is data, so the code that was compiled before is
// used again; a number is part of the code, which is compiled as a whole. It is
// wall time and needs an idle machine.
package loop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// Targets: how soon an edit should be live, and how much longer than the floor an
// edit of code may take on any machine.
const (
	Target = time.Second
	Above  = 1.25
)

// Kinds of edits, by what differs in the code.
const (
	text = `"%06d"`
	code = `fmt.Sprintf("%%06d", %d+zero)`
)

// source is the main package of the service, without the constant that changes.
const source = `package main

import (
	"context"
	"fmt"

	"github.com/ruedo-dev/ruedo/sdk"
)

type in struct {
	Name string
}

type out struct {
	Edit, Name string
}

func init() {
	sdk.Handle(func(ctx context.Context, in in) (out, error) { return out{edit(), fmt.Sprint(in.Name)}, nil })
}

func main() { sdk.Main() }

// zero makes numbers part of the code: a constant alone would be data.
var zero int

`

// Run measures and prints the rows.
func Run(ctx context.Context, rounds int) (_ []table.Row, err error) {
	dir, err := os.MkdirTemp("", "ruedo-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{ctx: ctx, dir: dir, bin: filepath.Join(dir, "ruedo")}
	fmt.Fprintf(os.Stderr, "loop: at a load of %s\n", table.Load())
	if err := b.prepare(); err != nil {
		return nil, err
	}
	stop, err := b.dev()
	if err != nil {
		return nil, err
	}
	defer stop()
	return b.measure(rounds)
}

// bench is one run.
type bench struct {
	ctx      context.Context
	dir, bin string
	url      string
	edits    int
	// published has a value when ruedo dev has published since the last look.
	published chan struct{}
	said      bytes.Buffer // by ruedo dev; read it when that has ended
}

// Names of the two projects. A build of one does not fill the cache for the
// other, because their edits differ.
const (
	watched = "watched"
	alone   = "alone"
)

// prepare builds the program and creates both projects.
func (b *bench) prepare() error {
	if err := b.run("../..", nil, "go", "build", "-o", b.bin, "."); err != nil {
		return err
	}
	for _, name := range []string{watched, alone} {
		if err := b.run(b.dir, nil, b.bin, "new", name); err != nil {
			return err
		}
		for _, file := range []string{"main_test.go", "decorators.yaml", "ruedo.yaml"} {
			if err := os.Remove(filepath.Join(b.dir, name, file)); err != nil {
				return err
			}
		}
		if _, err := b.edit(name, code); err != nil {
			return err
		}
	}
	return b.build()
}

func (b *bench) run(dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// edit saves a change of a project and returns its number.
func (b *bench) edit(project, kind string) (int, error) {
	b.edits++
	constant := fmt.Sprintf("func edit() string { return "+kind+" }\n", b.edits)
	return b.edits, os.WriteFile(filepath.Join(b.dir, project, "main.go"), []byte(source+constant), 0o600)
}

// build builds a project as `ruedo dev` does.
func (b *bench) build() error {
	return b.run(filepath.Join(b.dir, alone), []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0"}, "go",
		"build", "-trimpath", "-buildvcs=false", "-ldflags=-buildid=", "-buildmode=c-shared", "-o", b.module(), ".")
}

// module is the file that build writes.
func (b *bench) module() string { return filepath.Join(b.dir, "alone.wasm") }

// compile compiles what build has built.
func (b *bench) compile() error {
	wasm, err := os.ReadFile(b.module())
	if err != nil {
		return err
	}
	ctx := experimental.WithCompilationWorkers(b.ctx, min(runtime.NumCPU(), 4)) // as many as a runner
	r := wazero.NewRuntimeWithConfig(ctx, sandbox.RuntimeConfig())
	_, err = r.CompileModule(ctx, wasm)
	return errors.Join(err, r.Close(ctx))
}

// floor is what an edit of code takes at least.
func (b *bench) floor(int) error { return errors.Join(b.build(), b.compile()) }

// dev starts `ruedo dev --watch` and waits until the service is live.
func (b *bench) dev() (stop func(), err error) {
	ctx, cancel := context.WithCancel(b.ctx)
	cmd := exec.CommandContext(ctx, b.bin, "dev", "--port", "0", "-o", "json", "--watch", filepath.Join(b.dir, watched))
	cmd.Env = append(os.Environ(), "RUEDO_LOG_LEVEL=error", "RUEDO_RUNNER_CACHE_DIR="+filepath.Join(b.dir, "cache"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = &b.said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	stop = func() {
		cancel()
		_ = cmd.Wait() // it ends by the signal that cancel sent
	}
	var ready struct{ URL string }
	dec := json.NewDecoder(out)
	if err = dec.Decode(&ready); err == nil {
		b.url = ready.URL
		b.published = make(chan struct{}, 1)
		go b.hear(dec) // ends with the process
		err = b.live(b.edits - 1)
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("ruedo dev: %w\n%s", err, &b.said)
	}
	return stop, nil
}

// hear notes each publish that `ruedo dev` prints, until it ends.
func (b *bench) hear(dec *json.Decoder) {
	for {
		var service json.RawMessage
		if dec.Decode(&service) != nil {
			return
		}
		select {
		case b.published <- struct{}{}:
		default:
		}
	}
}

// patience bounds the wait for an edit to be live.
const patience = time.Minute

// live waits until an edit is published, and then until the service answers with it:
// calls meanwhile would take processor time from what they measure.
func (b *bench) live(edit int) error {
	select {
	case <-b.published:
	case <-b.ctx.Done():
		return b.ctx.Err()
	case <-time.After(patience):
		return fmt.Errorf("edit %d was not published within %s", edit, patience)
	}
	want := fmt.Sprintf(`"Edit":"%06d",`, edit)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		res, err := http.Post(b.url+"/call/"+watched, "application/json", strings.NewReader(`{"Name":"Ada"}`))
		if err != nil {
			return err
		}
		body, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			return err
		}
		if strings.Contains(string(body), want) {
			return nil
		}
	}
	return fmt.Errorf("edit %d was not live within %s", edit, patience)
}

// measure lets all take turns.
func (b *bench) measure(rounds int) ([]table.Row, error) {
	times := map[string][]float64{}
	turns := []struct {
		row, project, kind string
		wait               func(edit int) error
	}{
		{"loop/text", watched, text, b.live},
		{"loop/code", watched, code, b.live},
		{"loop/build", alone, code, func(int) error { return b.build() }},
		{"loop/floor", alone, code, b.floor},
	}
	for round := range rounds + 1 {
		for _, turn := range turns {
			began := time.Now()
			edit, err := b.edit(turn.project, turn.kind)
			if err == nil {
				err = turn.wait(edit)
			}
			if err != nil {
				return nil, err
			}
			if round > 0 { // the first warms up
				times[turn.row] = append(times[turn.row], float64(time.Since(began).Microseconds())/1000)
			}
		}
		slices.Reverse(turns) // none always follows the same
	}
	var rows []table.Row
	row := func(name, baseline string) table.Row {
		r := table.Row{Name: name, Value: table.Median(times[name]), Unit: "ms", Baseline: baseline, Ratio: table.Median(table.Ratios(times[name], times[baseline]))}
		rows = append(rows, r)
		return r
	}
	build, floor := row("loop/build", "loop/build"), row("loop/floor", "loop/build")
	text, code := row("loop/text", "loop/build"), row("loop/code", "loop/build")
	above := row("loop/code", "loop/floor")
	fmt.Printf("go build alone %s ms, and wazero alone after it %s ms\n", table.Number(build.Value), table.Number(floor.Value))
	for _, edit := range []struct {
		what string
		table.Row
	}{{"edit of a text to live", text}, {"edit of code to live", code}} {
		fmt.Printf("%-22s  %s ms, ratio to go build %s; %s the target of %s\n",
			edit.what, table.Number(edit.Value), table.Number(edit.Ratio), verdict(edit.Value <= float64(Target.Milliseconds())), Target)
	}
	fmt.Printf("%-22s  %s times the floor; %s the target of %s\n", "edit of code to live", table.Number(above.Ratio), verdict(above.Ratio <= Above), table.Number(Above))
	return rows, nil
}

func verdict(within bool) string {
	if within {
		return "within"
	}
	return "OVER"
}
