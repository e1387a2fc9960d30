package examples_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// publish builds an example and publishes it with its decorators, as
// `ruedo publish` does. change is what flags of that command would change.
func publish(t *testing.T, c *ruedotest.Cluster, name string, change ...func(*ruedov1.PublishServiceRequest)) {
	t.Helper()
	s, err := project.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), name+".wasm")
	var said bytes.Buffer
	if err := s.Build(t.Context(), out, os.Environ(), &said); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	decorators, err := project.Decorators(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range decorators {
		if _, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: d}); err != nil {
			t.Fatal(err)
		}
	}
	req := &ruedov1.PublishServiceRequest{Name: s.Name, Description: s.Description, Tags: s.Tags, Decorators: s.Decorators, Env: s.Env.Strings(), Args: s.Args.Strings(), Routes: s.Routes}
	req.InputSchema, req.OutputSchema = types(t, s, decorators)
	if kind(s) == ruedov1.Kind_KIND_HTTP {
		req.HttpExamples, err = s.HTTPExamples()
	} else if s.Example != nil {
		req.Example, err = s.ExampleBytes()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(req)
	}
	res := c.Publish(t, req, wasm)
	if got := res.GetService().GetRevision().GetKind(); got != kind(s) {
		t.Errorf("%s is a %s, its ruedo.yaml says %s", name, got, s.Kind)
	}
}

// failure is the body of POST /call if a call failed.
type failure struct {
	Reason, Message string
	Fields          []struct{ Field, Description string }
}

func call(t *testing.T, c *ruedotest.Cluster, service, input string) (output, contentType string, f failure) {
	t.Helper()
	res, err := c.HTTP.Post(c.URL+"/call/"+service, "", strings.NewReader(input))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		if err := json.Unmarshal(b, &f); err != nil {
			t.Fatalf("%s %s", res.Status, b)
		}
		return "", "", f
	}
	return string(b), res.Header.Get("Content-Type"), f
}

// Compiling Go guests takes most of the time, so they share one cluster, which
// compiles them without the race detector, and are published in parallel.
func TestPublishedAndCalled(t *testing.T) {
	compiler, err := testkit.Compiler(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	c.AddRunner(t, func(cfg *runner.Config) { cfg.Compiler = compiler })
	for name, check := range map[string]func(*testing.T, *ruedotest.Cluster){
		"greet": greet, "thumbnail": thumbnail, "netaudit": netaudit, "wordcount": wordcount, "spin": spin,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			publish(t, c, name)
			check(t, c)
		})
	}
	// Services of kind http publish themselves: some of them need to know where a
	// server of the test listens.
	for name, check := range map[string]func(*testing.T, *ruedotest.Cluster){
		"chat": chat, "feed": feed, "netcheck": netcheck, "proxy": proxy, "todo": todo,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, c)
		})
	}
}

func greet(t *testing.T, c *ruedotest.Cluster) {
	out, contentType, f := call(t, c, "greet", `{"name":"Ada","age":36,"language":"es"}`)
	if want := `{"greeting":"¡Hola, Ada! 36 es una buena edad."}`; out != want || contentType != "application/json" {
		t.Errorf("got %s of type %q (%+v), want %s", out, contentType, f, want)
	}
	if _, _, f := call(t, c, "greet", `{"age":-1}`); f.Reason != "INPUT_INVALID" || len(f.Fields) != 2 {
		t.Errorf("an input that the schema refuses: %+v", f)
	}
	if _, _, f := call(t, c, "greet", `{"name":"Ada","langage":"es"}`); len(f.Fields) != 1 || f.Fields[0].Description != "is not accepted, did you mean language?" {
		t.Errorf("an unknown field: %+v", f)
	}
	// Who reads the description of the service finds what its types say.
	res, err := c.HTTP.Get(c.URL + "/call/greet")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var d struct {
		Input  struct{ Properties map[string]map[string]any } `json:"input_schema"`
		Output struct{ Properties map[string]map[string]any } `json:"output_schema"`
	}
	if err := json.NewDecoder(res.Body).Decode(&d); err != nil || d.Input.Properties["age"]["description"] != "Age in years. Absent is not zero." ||
		d.Output.Properties["greeting"]["type"] != "string" {
		t.Errorf("%+v, %v", d, err)
	}
	// The schema accepts the input, but the service does not: its own code reaches
	// the caller.
	_, err = c.Client.Call(t.Context(), "greet", []byte(`{"name":" "}`))
	if e := faultrpc.FromError(err); e.Reason != fault.GuestError || e.ConnectCode() != fault.CodeInvalidArgument || !strings.Contains(e.Error(), "name is blank") {
		t.Errorf("the service's own error: %s %v", e.Reason, err)
	}
}

func thumbnail(t *testing.T, c *ruedotest.Cluster) {
	rng := rand.New(rand.NewPCG(3, 4))
	img := image.NewRGBA(image.Rect(0, 0, 600, 300))
	for i := range img.Pix {
		img.Pix[i] = uint8(rng.IntN(256)) | 3<<6 // light, and hard to compress
	}
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	var asPNG, asJPEG bytes.Buffer
	if err := errors.Join(png.Encode(&asPNG, img), jpeg.Encode(&asJPEG, img, nil)); err != nil {
		t.Fatal(err)
	}
	for format, in := range map[string][]byte{"png": asPNG.Bytes(), "jpeg": asJPEG.Bytes()} {
		if len(in) <= 32<<10 {
			t.Fatalf("the %s has only %d bytes and would be sent inline", format, len(in))
		}
		res, err := c.Client.Call(t.Context(), "thumbnail", in, client.WithLogs(), client.WithContentType("image/"+format))
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
		if g := color.GrayModel.Convert(out.At(60, 30)).(color.Gray); g.Y < 200 {
			t.Errorf("%s: a light image became dark: %v", format, g)
		}
		if !strings.Contains(string(res.Info.GetLogs()), "made a thumbnail format="+format+" from_width=600") {
			t.Errorf("%s: the log is %q", format, res.Info.GetLogs())
		}
	}
	if _, _, f := call(t, c, "thumbnail", "<html>"); f.Reason != "GUEST_ERROR" || !strings.Contains(f.Message, "is not a PNG or JPEG image") {
		t.Errorf("HTML for an image: %+v", f)
	}
}

func netaudit(t *testing.T, c *ruedotest.Cluster) {
	out, _, f := call(t, c, "netaudit", `{"config":"service password-encryption\nip http server\nline vty 0 4\n transport input telnet\n","severity":"medium","rules":["http-server","telnet-enabled","no-ntp"]}`)
	for _, want := range []string{`"rule":"http-server","severity":"medium","line":2`, `"rule":"telnet-enabled","severity":"high","line":4`, `"checked":2`} {
		if !strings.Contains(out, want) {
			t.Errorf("%s lacks %s (%+v)", out, want, f)
		}
	}
}

func wordcount(t *testing.T, c *ruedotest.Cluster) {
	for range 2 {
		out, contentType, f := call(t, c, "wordcount", "the cat and the dog\n")
		if want := "lines 1\nwords 5\nbytes 20\n2 the\n1 and\n1 cat\n"; out != want || contentType != "text/plain; charset=utf-8" {
			t.Errorf("got %q of type %q (%+v), want %q", out, contentType, f, want)
		}
	}
}

func spin(t *testing.T, c *ruedotest.Cluster) {
	for input, reasons := range map[string][]string{
		`{"loop":true}`:        {"GUEST_TIMEOUT"},
		`{"sleep_ms":3600000}`: {"GUEST_TIMEOUT"},
		// On a busy machine the call can run out of time before it runs out of
		// memory.
		`{"memory_mib":500}`:   {"GUEST_MEMORY", "GUEST_TIMEOUT"},
		`{"recurse":true}`:     {"GUEST_MEMORY", "GUEST_TRAP", "GUEST_TIMEOUT"},
		`{"output_mib":2}`:     {"GUEST_OUTPUT_LIMIT", "GUEST_TIMEOUT"},
		`{"exit":3}`:           {"GUEST_EXIT"},
		`{"panic":true}`:       {"GUEST_ERROR"},
		`{"fail":"not_found"}`: {"GUEST_ERROR"},
	} {
		start := time.Now()
		_, _, f := call(t, c, "spin", input)
		ok := false
		for _, r := range reasons {
			ok = ok || f.Reason == r
		}
		if !ok {
			t.Errorf("%s: got %+v, want %v", input, f, reasons)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v with a limit of 1s", input, took)
		}
		// The next call sees nothing of it.
		if out, _, f := call(t, c, "spin", `{}`); out != `{"did":"nothing"}` {
			t.Errorf("after %s: got %s (%+v)", input, out, f)
		}
	}
	res, err := c.Client.Call(t.Context(), "spin", []byte(`{"log_mib":1}`), client.WithLogs())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(res.Info.GetLogs()); res.Info.GetLogsDropped() < 900<<10 || n > 70<<10 {
		t.Errorf("log flood: %d bytes kept, %d dropped", n, res.Info.GetLogsDropped())
	}
}
