// Package demo shows what Ruedo does, and checks each thing that it says.
//
//	d := &demo.Demo{URL: url, Program: exe, Examples: "examples", Out: os.Stdout}
//	steps, err := d.Run(ctx)
//
// It prints every command before it runs it, as it would be typed: the ruedo
// commands are run as processes, and HTTP requests are those of the curl command
// that is printed.
package demo

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Demo is what is shown, and to whom.
type Demo struct {
	// URL of a core with at least two runners and without the examples.
	URL string
	// Program is the path of ruedo.
	Program string
	// Env is the environment to run it in.
	Env []string
	// Examples is the directory of the examples.
	Examples string
	// Out receives the text.
	Out io.Writer

	ctx    context.Context
	dir    string // for files that the demo makes
	http   *http.Client
	done   int
	failed []string
}

// Run shows everything and returns the number of steps. The error names those
// that did not do what they say.
func (d *Demo) Run(ctx context.Context) (steps int, err error) {
	d.ctx, d.http = ctx, &http.Client{Timeout: time.Minute}
	defer d.http.CloseIdleConnections()
	if d.dir, err = os.MkdirTemp("", "ruedo-demo-"); err != nil {
		return 0, fault.Wrap(err, fault.Internal, "cannot create a temporary directory: %s", err)
	}
	for _, part := range []func(){d.publish, d.turns, d.refuses, d.limits, d.services, d.exchanges, d.sockets, d.lists} {
		if part(); ctx.Err() != nil {
			return d.done, ctx.Err()
		}
	}
	d.print("files of this demo: %s", d.dir)
	if n := len(d.failed); n > 0 {
		return d.done, fault.New(fault.Internal, "%d of %d steps did not do what they say: %s", n, d.done, strings.Join(d.failed, "; "))
	}
	return d.done, nil
}

// publish builds and publishes the examples.
func (d *Demo) publish() {
	d.title("Publish: build, check in the sandbox, upload, prepare on the runners, switch over")
	for _, name := range []string{"greet", "thumbnail", "netaudit", "wordcount", "spin"} {
		d.published(name)
	}
	out := d.ruedo("publish", filepath.Join(d.Examples, "greet"))
	d.expect(out.code == 0 && strings.Contains(out.stdout, "unchanged greet"), "the same content again changes nothing")
}

// published publishes an example.
func (d *Demo) published(name string, flags ...string) {
	out := d.ruedo(append([]string{"publish", filepath.Join(d.Examples, name)}, flags...)...)
	d.expect(out.code == 0 && strings.Contains(out.stdout, "published "+name), "%s is live", name)
}

// turns shows calls that alternate between the runners.
func (d *Demo) turns() {
	d.title("Call by plain HTTP: bytes in, bytes out; the runners take turns")
	var runners []string
	for range 4 {
		res := d.curl("/call/greet", "", `{"name":"Ada"}`)
		runners = append(runners, res.runner)
		d.expect(res.status == http.StatusOK && strings.Contains(res.body, "Hello, Ada!"), "runner %s greets", res.runner)
	}
	d.expect(alternate(runners), "the calls alternate: %s", strings.Join(runners, ", "))

	d.title("Call by Connect JSON (also gRPC and gRPC-Web, on the same port)")
	runners = nil
	for range 4 {
		res := d.curl("/ruedo.v1.InvokeService/Invoke", "application/json", `{"service":"greet","input":{"name":"Grace","language":"es"}}`)
		runner := between(res.body, `"runner":"`, `"`)
		runners = append(runners, runner)
		d.expect(res.status == http.StatusOK && strings.Contains(res.body, "Hola, Grace"), "runner %s greets", runner)
	}
	d.expect(alternate(runners), "the calls alternate: %s", strings.Join(runners, ", "))

	d.title("Call by the command line; --set is typed by the schema")
	out := d.ruedo("call", "greet", "--set", "name=Alan", "--set", "age=41", "-i")
	d.expect(out.code == 0 && strings.Contains(out.stdout, "41") && strings.Contains(out.stderr, "runner:"), "age went as a number")
	out = d.ruedo("call", "greet", "--use")
	d.expect(out.code == 0 && strings.Contains(out.stdout, "name"), "the accepted inputs are shown")
}

// refuses shows a decorator that stops bad input.
func (d *Demo) refuses() {
	d.title("A decorator refuses bad input, with the field named; no runner sees it")
	out := d.ruedo("call", "greet", "-d", `{"name":"Ada","age":"old"}`)
	d.expect(out.code == fault.ExitInvalid && strings.Contains(out.stderr, "age:"), "age is named, exit code %d", out.code)
	res := d.curl("/call/greet", "", `{"age":200}`)
	d.expect(res.status == http.StatusBadRequest && res.runner == "" && strings.Contains(res.body, "name") && strings.Contains(res.body, "age"), "both fields are named, status %d", res.status)
	out = d.ruedo("call", "gret", "-d", `{}`)
	d.expect(out.code == fault.ExitNotFound, "a service that does not exist, exit code %d", out.code)
}

// limits shows guests that are stopped.
func (d *Demo) limits() {
	d.title("Limits hold: guests that loop, eat memory or flood are stopped, and nobody else notices")
	start := time.Now()
	out := d.ruedo("call", "spin", "-d", `{"loop":true}`)
	took := time.Since(start)
	d.expect(out.code == fault.ExitGuestLimit && took < 5*time.Second, "the loop was stopped, exit code %d after %s", out.code, output.Duration(took))
	out = d.ruedo("call", "spin", "-d", `{"memory_mib":500}`)
	d.expect(out.code == fault.ExitGuestLimit, "the memory was refused, exit code %d", out.code)
	out = d.ruedo("call", "spin", "-d", `{"output_mib":2}`)
	d.expect(out.code == fault.ExitGuestLimit, "the flood was stopped, exit code %d", out.code)
	out = d.ruedo("call", "spin", "-d", `{}`)
	d.expect(out.code == 0, "the next call finds a service as if nothing had happened")
	out = d.ruedo("describe", "service", "spin")
	d.expect(out.code == 0 && strings.Contains(out.stdout, "spin-limits"), "each limit and the decorator that set it")
}

// services calls the other examples.
func (d *Demo) services() {
	d.title("Bytes: a picture goes in, a small one comes out")
	photo, small := filepath.Join(d.dir, "photo.png"), filepath.Join(d.dir, "small.png")
	err := writePhoto(photo)
	if err == nil {
		out := d.ruedoTo(small, "call", "thumbnail", "-d", "@"+photo)
		var width, height int
		width, height, err = pngSize(small)
		d.expect(err == nil && out.code == 0 && width == 128, "small.png is %d x %d", width, height)
	} else {
		d.expect(false, "a picture can be written: %v", err)
	}

	d.title("An ordinary program that knows nothing of Ruedo: stdin to stdout")
	out := d.ruedo("call", "wordcount", "-d", "the cat and the dog")
	d.expect(out.code == 0 && strings.Contains(out.stdout, "words 5"), "five words")

	d.title("Options by schema")
	out = d.ruedo("call", "netaudit", "--set", "severity=high", "--set", "config=line vty 0 4\n transport input telnet\n")
	d.expect(out.code == 0 && strings.Contains(out.stdout, "telnet-enabled"), "telnet is found")
	out = d.ruedo("call", "netaudit", "-d", `{"config":"ip http server","severity":"urgent"}`)
	d.expect(out.code == fault.ExitInvalid && strings.Contains(out.stderr, "severity"), "a wrong option is named")
}

// lists shows what there is.
func (d *Demo) lists() {
	d.title("What there is")
	for _, list := range []struct {
		what  string
		holds []string
	}{
		{"services", []string{"greet", "thumbnail", "netaudit", "wordcount", "spin", "feed", "todo", "proxy", "chat", "netcheck"}},
		{"runners", []string{"dev-1", "dev-2"}},
		{"decorators", []string{"greet-limits", "spin-limits"}},
	} {
		out := d.ruedo("get", list.what)
		all := out.code == 0
		for _, name := range list.holds {
			all = all && strings.Contains(out.stdout, name)
		}
		d.expect(all, "%s are listed", list.what)
	}
}
