package cli

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// demoCmd is `ruedo demo`.
type demoCmd struct {
	Folder string `name:"examples" default:"examples" placeholder:"DIR" help:"Folder of the examples (default examples)."`
	Port   string `short:"p" placeholder:"PORT" setting:"server.port"`
}

func (*demoCmd) Examples() []string {
	return []string{"ruedo demo", "ruedo demo --examples src/ruedo/examples"}
}

// demo shows steps, and counts which of them did what they say.
type demo struct {
	a        *app
	url      string
	exe      string
	examples string
	dir      string // for files that the demo makes
	http     *http.Client
	done     int
	failed   []string
}

func (c *demoCmd) Run(a *app) (err error) {
	if _, err := os.Stat(filepath.Join(c.Folder, "greet", project.ServiceFile)); err != nil {
		return fault.Wrap(err, fault.Usage, "there are no examples in %s", c.Folder).
			WithFix("run it in the repository of Ruedo, or name the folder with --examples DIR")
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ruedo-demo-")
	if err != nil {
		return fileError(err, "cannot make a temporary folder", os.TempDir())
	}
	start := time.Now()
	// The usual port where it is free, so that what is printed fits `ruedo dev`.
	if s := a.settings; !s.IsSet("server.port") && listening(a.ctx, coreURL(s.Server.ListenAddress, s.Server.Port)) {
		s.Server.Port = 0
	}
	log := slog.New(atLeast{a.logger().Handler(), slog.LevelWarn})
	cluster, err := a.startCluster(log, "", 2)
	if err != nil {
		return err
	}
	defer cluster.stop()
	d := &demo{a: a, url: cluster.core.URL(), exe: exe, examples: c.Folder, dir: dir, http: &http.Client{Timeout: time.Minute}}
	defer d.http.CloseIdleConnections()
	d.print("One process: an embedded store, a core at %s, runners %s (ready in %s).", d.url, list(cluster.names), output.Duration(time.Since(start)))
	d.print("The same, left running: ruedo dev. Then every command below can be repeated by hand.\n")
	for _, part := range []func(){d.publish, d.turns, d.refuses, d.limits, d.services, d.lists} {
		if a.ctx.Err() != nil {
			return a.ctx.Err()
		}
		part()
	}
	d.print("files of this demo: %s", dir)
	if n := len(d.failed); n > 0 {
		return fault.New(fault.Internal, "%d of %d steps did not do what they say: %s", n, d.done, strings.Join(d.failed, "; "))
	}
	return a.say("demo: all %d steps did what they say, in %s", d.done, output.Duration(time.Since(start)))
}

// publish builds and publishes the examples.
func (d *demo) publish() {
	d.title("Publish: build, check in the sandbox, upload, prepare on the runners, switch over")
	for _, name := range []string{"greet", "thumbnail", "netaudit", "wordcount", "spin"} {
		out := d.ruedo("publish", filepath.Join(d.examples, name))
		d.expect(out.code == 0 && strings.Contains(out.stdout, "published "+name), "%s is live", name)
	}
	out := d.ruedo("publish", filepath.Join(d.examples, "greet"))
	d.expect(out.code == 0 && strings.Contains(out.stdout, "unchanged greet"), "the same content again changes nothing")
}

// turns shows calls that alternate between the runners.
func (d *demo) turns() {
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
func (d *demo) refuses() {
	d.title("A decorator refuses bad input, with the field named; no runner is bothered")
	out := d.ruedo("call", "greet", "-d", `{"name":"Ada","age":"old"}`)
	d.expect(out.code == fault.ExitInvalid && strings.Contains(out.stderr, "age:"), "age is named, exit code %d", out.code)
	res := d.curl("/call/greet", "", `{"age":200}`)
	d.expect(res.status == http.StatusBadRequest && res.runner == "" && strings.Contains(res.body, "name") && strings.Contains(res.body, "age"), "both fields are named, status %d", res.status)
	out = d.ruedo("call", "gret", "-d", `{}`)
	d.expect(out.code == fault.ExitNotFound, "a service that is not there, exit code %d", out.code)
}

// limits shows guests that are stopped.
func (d *demo) limits() {
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
func (d *demo) services() {
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
func (d *demo) lists() {
	d.title("What there is")
	for _, list := range []struct {
		what  string
		holds []string
	}{
		{"services", []string{"greet", "thumbnail", "netaudit", "wordcount", "spin"}},
		{"runners", []string{"dev-1", "dev-2"}},
		{"decorators", []string{"greet-input", "spin-limits"}},
	} {
		out := d.ruedo("get", list.what)
		all := out.code == 0
		for _, name := range list.holds {
			all = all && strings.Contains(out.stdout, name)
		}
		d.expect(all, "%s are listed", list.what)
	}
}

func (d *demo) print(format string, args ...any) { _ = d.a.say(format, args...) }

func (d *demo) title(text string) { d.print("── %s\n", text) }

// expect says whether a step did what it should.
func (d *demo) expect(ok bool, format string, args ...any) {
	d.done++
	text := fmt.Sprintf(format, args...)
	if ok {
		d.print("✓ %s\n", text)
		return
	}
	d.failed = append(d.failed, text)
	d.print("✗ NOT: %s\n", text)
}

type ran struct {
	code           int
	stdout, stderr string
}

// ruedo runs this program once more, as a user would.
func (d *demo) ruedo(args ...string) ran {
	d.print("$ ruedo %s", quoteAll(args))
	return d.run(args, nil)
}

// ruedoTo is ruedo with its stdout in a file.
func (d *demo) ruedoTo(file string, args ...string) ran {
	d.print("$ ruedo %s > %s", quoteAll(args), file)
	f, err := os.Create(file)
	if err != nil {
		return ran{code: -1, stderr: err.Error()}
	}
	defer f.Close()
	return d.run(args, f)
}

func (d *demo) run(args []string, to io.Writer) ran {
	ctx, cancel := context.WithTimeout(d.a.ctx, 5*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, d.exe, args...)
	cmd.Env = append(d.a.env[:len(d.a.env):len(d.a.env)], "RUEDO_CLIENT_HOST="+d.url, "RUEDO_APPLICATION_MODE=client")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if to != nil {
		cmd.Stdout = to
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return ran{code: -1, stderr: err.Error()}
	}
	r := ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	d.show(r.stderr)
	d.show(r.stdout)
	return r
}

// show prints what a step said; of a long trace its ends.
func (d *demo) show(text string) {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return
	}
	const most, head, tail = 40, 4, 2
	if lines := strings.Split(text, "\n"); len(lines) > most {
		cut := fmt.Sprintf("... (%d lines)", len(lines)-head-tail)
		text = strings.Join(append(append(lines[:head:head], cut), lines[len(lines)-tail:]...), "\n")
	}
	d.print("%s", output.SafeLines(text))
}

type answer struct {
	status       int
	body, runner string
}

// curl posts a body and prints the same as a curl command.
func (d *demo) curl(path, contentType, body string) answer {
	header := ""
	if contentType != "" {
		header = " -H 'Content-Type: " + contentType + "'"
	} else {
		contentType = "application/x-www-form-urlencoded" // what curl -d says
	}
	d.print("$ curl -si%s -d %s %s", header, quote(body), d.url+path)
	req, err := http.NewRequestWithContext(d.a.ctx, http.MethodPost, d.url+path, strings.NewReader(body))
	if err != nil {
		return answer{body: err.Error()}
	}
	req.Header.Set("Content-Type", contentType)
	res, err := d.http.Do(req)
	if err != nil {
		d.show(err.Error())
		return answer{body: err.Error()}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		d.show(err.Error())
	}
	a := answer{res.StatusCode, string(data), res.Header.Get("Ruedo-Runner")}
	d.print("%s %s", res.Proto, res.Status)
	if a.runner != "" {
		d.print("Ruedo-Runner: %s", a.runner)
	}
	d.show(a.body)
	return a
}

// alternate tells whether two names take turns.
func alternate(names []string) bool {
	for i, n := range names {
		if n == "" || i > 0 && n == names[i-1] || i > 1 && n != names[i-2] {
			return false
		}
	}
	return len(names) > 1
}

func between(text, before, after string) string {
	_, rest, ok := strings.Cut(strings.ReplaceAll(text, `": "`, `":"`), before)
	if !ok {
		return ""
	}
	found, _, _ := strings.Cut(rest, after)
	return found
}

// quoteAll writes arguments as they would be typed.
func quoteAll(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = quote(a)
	}
	return strings.Join(quoted, " ")
}

func quote(arg string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./=@:,+", r)
	}
	if arg != "" && strings.IndexFunc(arg, func(r rune) bool { return !plain(r) }) < 0 {
		return arg
	}
	if strings.ContainsAny(arg, "\n\t") {
		return "$'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`, "\t", `\t`).Replace(arg) + "'"
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// writePhoto makes a picture that is too varied to be small.
func writePhoto(file string) error {
	img := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			img.Set(x, y, color.RGBA{uint8(x * y >> 4), uint8(x*x>>6 ^ y), uint8(y*y>>5 + x), 255})
		}
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := png.Encode(f, img); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func pngSize(file string) (width, height int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	c, err := png.DecodeConfig(f)
	return c.Width, c.Height, err
}
