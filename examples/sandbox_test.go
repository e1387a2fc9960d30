package examples_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/sandbox"
)

// load builds an example and loads it as a runner would: with its limits, its
// environment, its arguments and its example. Each of the changes gives one
// more template.
func load(t *testing.T, name string, changes ...func(*sandbox.Spec)) []*sandbox.Template {
	t.Helper()
	s, rules := rules(t, name)
	out := filepath.Join(t.TempDir(), name+".wasm")
	var said bytes.Buffer
	if err := s.Build(t.Context(), out, os.Environ(), &said); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var example []byte
	if s.Example != nil {
		if example, err = s.ExampleBytes(); err != nil {
			t.Fatal(err)
		}
	}
	engine, err := sandbox.New(t.Context(), sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	limits := rules.Limits
	spec := sandbox.Spec{
		Wasm: wasm, Env: s.Env, Args: s.Args, Example: example,
		Limits: sandbox.Limits{
			Memory: limits.MemoryBytes, Timeout: limits.Timeout.AsDuration(),
			Input: int64(limits.InputBytes), Output: int64(limits.OutputBytes), Logs: int64(limits.LogBytes),
		},
	}
	var templates []*sandbox.Template
	for _, change := range append([]func(*sandbox.Spec){func(*sandbox.Spec) {}}, changes...) {
		spec := spec
		change(&spec)
		template, err := engine.Load(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		templates = append(templates, template)
	}
	report := templates[0].Report()
	if string(report.Kind) != s.Kind {
		t.Errorf("%s is a %s, its ruedo.yaml says %s", name, report.Kind, s.Kind)
	}
	if report.Example != nil {
		t.Errorf("%s fails with its own example: %v", name, report.Example)
	}
	return templates
}

func call(t *testing.T, template *sandbox.Template, input string) (sandbox.Result, error) {
	t.Helper()
	return template.Call(t.Context(), sandbox.Request{ID: "call-1", Input: []byte(input)})
}

// failure checks how a call failed.
func failure(t *testing.T, err error, reasons ...string) *sandbox.Error {
	t.Helper()
	e, ok := errors.AsType[*sandbox.Error](err)
	if !ok {
		t.Fatalf("got %v, want %v", err, reasons)
	}
	for _, r := range reasons {
		if e.Reason == r {
			return e
		}
	}
	t.Fatalf("got %s (%v), want %v", e.Reason, e, reasons)
	return nil
}

func TestGreetInTheSandbox(t *testing.T) {
	t.Parallel() // compiling takes most of the time
	greet := load(t, "greet")[0]
	res, err := call(t, greet, `{"name":"Ada","age":36,"language":"es"}`)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"greeting":"¡Hola, Ada! 36 es una buena edad."}`; string(res.Output) != want || res.ContentType != "application/json" {
		t.Errorf("got %s of type %q, want %s", res.Output, res.ContentType, want)
	}
	_, err = call(t, greet, `{"name":" "}`)
	if e := failure(t, err, sandbox.ReasonError); e.Code != 3 || !strings.Contains(e.Message, "name is blank") {
		t.Errorf("got code %d, %v", e.Code, e)
	}
}

func TestThumbnailInTheSandbox(t *testing.T) {
	t.Parallel() // compiling takes most of the time
	rng := rand.New(rand.NewPCG(3, 4))
	img := image.NewRGBA(image.Rect(0, 0, 600, 300))
	for i := range img.Pix {
		img.Pix[i] = uint8(rng.IntN(256)) | 3<<6 // light, and no friend of compression
	}
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	var asPNG, asJPEG bytes.Buffer
	if err := errors.Join(png.Encode(&asPNG, img), jpeg.Encode(&asJPEG, img, nil)); err != nil {
		t.Fatal(err)
	}
	thumbnail := load(t, "thumbnail")[0]
	for format, in := range map[string][]byte{"png": asPNG.Bytes(), "jpeg": asJPEG.Bytes()} {
		if len(in) <= 32<<10 {
			t.Fatalf("the %s has only %d bytes", format, len(in))
		}
		res, err := call(t, thumbnail, string(in))
		if err != nil {
			t.Fatal(format, err)
		}
		out, err := png.Decode(bytes.NewReader(res.Output))
		if err != nil {
			t.Fatal(format, err)
		}
		if res.ContentType != "image/png" || out.Bounds().Size() != image.Pt(128, 64) {
			t.Errorf("%s: got %q of %v", format, res.ContentType, out.Bounds())
		}
		if c := color.GrayModel.Convert(out.At(60, 30)).(color.Gray); c.Y < 200 {
			t.Errorf("%s: a light image became dark: %v", format, c)
		}
		if !strings.Contains(string(res.Logs), "made a thumbnail format="+format+" from_width=600") {
			t.Errorf("%s: the log is %q", format, res.Logs)
		}
	}
	_, err := call(t, thumbnail, "<html>")
	if e := failure(t, err, sandbox.ReasonError); e.Code != 3 || !strings.Contains(e.Message, "is not a PNG or JPEG image") {
		t.Errorf("got code %d, %v", e.Code, e)
	}
}

func TestNetauditInTheSandbox(t *testing.T) {
	t.Parallel() // compiling takes most of the time
	res, err := call(t, load(t, "netaudit")[0], `{"config":"service password-encryption\nip http server\nline vty 0 4\n transport input telnet\n","severity":"medium","rules":["http-server","telnet-enabled","no-ntp"]}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"rule":"http-server","severity":"medium","line":2`, `"rule":"telnet-enabled","severity":"high","line":4`, `"checked":2`} {
		if !strings.Contains(string(res.Output), want) {
			t.Errorf("%s lacks %s", res.Output, want)
		}
	}
}

func TestWordcountInTheSandbox(t *testing.T) {
	t.Parallel() // compiling takes most of the time
	wordcount := load(t, "wordcount", func(s *sandbox.Spec) {
		s.Args, s.Example = []string{"-top", "many"}, nil
	})
	for range 2 {
		res, err := call(t, wordcount[0], "the cat and the dog\n")
		if err != nil {
			t.Fatal(err)
		}
		if want := "lines 1\nwords 5\nbytes 20\n2 the\n1 and\n1 cat\n"; string(res.Output) != want {
			t.Errorf("got %q, want %q", res.Output, want)
		}
	}
	res, err := call(t, wordcount[1], "the cat")
	failure(t, err, sandbox.ReasonExit)
	if res.ExitCode != 2 || !strings.Contains(string(res.Logs), `invalid value "many" for flag -top`) {
		t.Errorf("exit code %d, log %q", res.ExitCode, res.Logs)
	}
}

func TestSpinInTheSandbox(t *testing.T) {
	t.Parallel() // compiling takes most of the time
	// With more time as well, so that on a busy machine the limit that is looked
	// for is the one that is met.
	templates := load(t, "spin", func(s *sandbox.Spec) { s.Limits.Timeout = time.Minute })
	for input, reasons := range map[string][]string{
		`{"loop":true}`:        {sandbox.ReasonTimeout},
		`{"sleep_ms":3600000}`: {sandbox.ReasonTimeout},
		`{"memory_mib":500}`:   {sandbox.ReasonMemory},
		`{"recurse":true}`:     {sandbox.ReasonMemory, sandbox.ReasonTrap},
		`{"output_mib":2}`:     {sandbox.ReasonOutputLimit},
		`{"exit":3}`:           {sandbox.ReasonExit},
		`{"panic":true}`:       {sandbox.ReasonError},
		`{"fail":"not_found"}`: {sandbox.ReasonError},
	} {
		spin := templates[1]
		if reasons[0] == sandbox.ReasonTimeout {
			spin = templates[0]
		}
		start := time.Now()
		res, err := call(t, spin, input)
		e := failure(t, err, reasons...)
		if took := time.Since(start); e.Reason == sandbox.ReasonTimeout && took > 10*time.Second {
			t.Errorf("%s: took %v with a limit of 1s", input, took)
		}
		if len(res.Logs) > 70<<10 {
			t.Errorf("%s: %d bytes of log with a limit of 64 KiB", input, len(res.Logs))
		}
		if e.Reason == sandbox.ReasonExit && res.ExitCode != 3 {
			t.Errorf("%s: exit code %d", input, res.ExitCode)
		}
		// And nothing is left of it.
		if res, err := call(t, spin, `{}`); err != nil || string(res.Output) != `{"did":"nothing"}` {
			t.Errorf("after %s: got %s, %v", input, res.Output, err)
		}
	}
	res, err := call(t, templates[1], `{"log_mib":1}`)
	if err != nil || res.LogsDropped < 900<<10 || len(res.Logs) > 70<<10 {
		t.Errorf("log flood: %d bytes kept, %d dropped, %v", len(res.Logs), res.LogsDropped, err)
	}
}
