// Package loop measures how soon an edit is live: the time from the save of a
// source file, which `ruedo dev --watch` sees, builds and publishes, to the first
// answer of the new revision. Next to it, in turn, `go build` alone builds an
// edit of the same kind.
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
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// Target is how soon an edit should be live.
const Target = time.Second

// Kinds of edits, by what differs in the code.
const (
	text = `"%06d"`
	code = `fmt.Sprintf("%%06d", %d)`
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
	said     bytes.Buffer // by ruedo dev; read it when that has ended
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
		"build", "-trimpath", "-buildvcs=false", "-ldflags=-buildid=", "-buildmode=c-shared", "-o", filepath.Join(b.dir, "alone.wasm"), ".")
}

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
	if err = json.NewDecoder(out).Decode(&ready); err == nil {
		b.url = ready.URL
		go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
		err = b.live(b.edits - 1)
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("ruedo dev: %w\n%s", err, &b.said)
	}
	return stop, nil
}

// patience bounds the wait for an edit to be live.
const patience = time.Minute

// live waits until the service answers with an edit.
func (b *bench) live(edit int) error {
	want := fmt.Sprintf(`"Edit":"%06d",`, edit)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		res, err := http.Post(b.url+"/call/"+watched, "application/json", strings.NewReader(`{"Name":"Ada"}`))
		if err != nil {
			continue // not yet
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
	build := times["loop/build"]
	for _, name := range []string{"loop/text", "loop/code", "loop/build"} {
		rows = append(rows, table.Row{Name: name, Value: table.Median(times[name]), Unit: "ms", Baseline: "loop/build", Ratio: table.Median(table.Ratios(times[name], build))})
	}
	for i, name := range []string{"edit of a text to live", "edit of code to live"} {
		verdict := "within"
		if rows[i].Value > float64(Target.Milliseconds()) {
			verdict = "OVER"
		}
		fmt.Printf("%-22s  %s ms, go build alone %s ms, ratio %s; %s the target of %s\n",
			name, table.Number(rows[i].Value), table.Number(rows[2].Value), table.Number(rows[i].Ratio), verdict, Target)
	}
	return rows, nil
}
