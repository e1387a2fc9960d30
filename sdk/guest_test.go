package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// build compiles the guest in testdata to a module.
func build(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "probe.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", out, "./testdata/guests/probe")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func engine(t *testing.T) *sandbox.Engine {
	t.Helper()
	compiler, err := testkit.Compiler(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e, err := sandbox.New(t.Context(), sandbox.Config{Compiler: compiler})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// TestAsGuest runs the part of the SDK that native tests cannot: what is
// between a handler and its host.
func TestAsGuest(t *testing.T) {
	engine, wasm := engine(t), build(t)
	template, err := engine.Load(t.Context(), sandbox.Spec{
		Wasm:   wasm,
		Limits: sandbox.Limits{Timeout: 20 * time.Second, Output: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	call := func(input string) (sandbox.Result, error) {
		later := abi.AppendField(nil, ":later", "a field that this SDK does not know")
		return template.Call(t.Context(), sandbox.Request{ID: "c-7", Caller: "user/ada", Input: []byte(input), ContentType: "application/json", Head: later})
	}

	t.Run("JSON in and out", func(t *testing.T) {
		for range 2 { // the second call sees nothing of the first
			res, err := call(`{"do":"echo","text":"grüß"}`)
			if err != nil {
				t.Fatal(err)
			}
			want := `{"text":"grüß","calls":1,"warmed":1,"call_id":"c-7","caller":"user/ada","content_type":"application/json"}`
			if string(res.Output) != want || res.ContentType != "application/json" {
				t.Errorf("got %s of type %q, want %s", res.Output, res.ContentType, want)
			}
		}
	})

	t.Run("bodies of many reads and writes", func(t *testing.T) {
		text := strings.Repeat("0123456789abcdef", 20_000)
		res, err := call(`{"do":"repeat","n":2,"text":"` + text + `"}`)
		if err != nil {
			t.Fatal(err)
		}
		var out struct{ Text string }
		if err := json.Unmarshal(res.Output, &out); err != nil || out.Text != text+text {
			t.Errorf("%d bytes came back, %v", len(out.Text), err)
		}
	})

	t.Run("output over its limit", func(t *testing.T) {
		_, err := call(`{"do":"repeat","n":2000000,"text":"x"}`)
		wantReason(t, err, fault.GuestOutputLimit)
	})

	t.Run("content type", func(t *testing.T) {
		if res, err := call(`{"do":"type","text":"text/x"}`); err != nil || res.ContentType != "text/x" {
			t.Errorf("got %q, %v", res.ContentType, err)
		}
	})

	t.Run("errors", func(t *testing.T) {
		for _, c := range []struct {
			input, message string
			code           fault.Code
		}{
			{`{"do":"fail","text":"tea"}`, `no "tea" here`, 5},
			{`{"do":"plain","text":"bad luck"}`, "bad luck", 2},
			{`{"do":`, "the input is not valid JSON: at byte 6", 3},
			{`{"do":1}`, `field "do" must be a string`, 3},
			{``, "the input is empty", 3},
			{`{"do":"panic","text":"boo"}`, "the service panicked: boo", 13},
		} {
			res, err := call(c.input)
			e := wantReason(t, err, fault.GuestError)
			if e != nil && (e.ConnectCode() != c.code || !strings.Contains(e.Message, c.message)) {
				t.Errorf("%s: got code %s and %q, want %s and %q", c.input, e.ConnectCode(), e.Message, c.code, c.message)
			}
			if panicked := strings.Contains(c.input, "panic"); panicked != strings.Contains(string(res.Logs), "main.handle") {
				t.Errorf("%s: the log is %q", c.input, res.Logs)
			}
		}
	})

	t.Run("a panic that no handler can catch", func(t *testing.T) {
		res, err := call(`{"do":"panic elsewhere","text":"boo"}`)
		wantReason(t, err, fault.GuestTrap)
		if !strings.Contains(string(res.Logs), "panic: boo") {
			t.Errorf("the log is %q", res.Logs)
		}
	})

	t.Run("goroutines and timers", func(t *testing.T) {
		res, err := call(`{"do":"goroutines","n":100}`)
		if err != nil || !strings.Contains(string(res.Output), `"text":"4950"`) {
			t.Errorf("got %s, %v", res.Output, err)
		}
		start := time.Now()
		if _, err := call(`{"do":"sleep","n":30}`); err != nil || time.Since(start) < 30*time.Millisecond {
			t.Errorf("slept %v, %v", time.Since(start), err)
		}
	})

	t.Run("calls in a call", func(t *testing.T) {
		if res, err := call(`{"do":"calls in a call"}`); err != nil || !strings.Contains(string(res.Output), `"text":"true true true"`) {
			t.Errorf("got %s, %v", res.Output, err)
		}
	})

	// Where memory is not restored, what a handler keeps stays as it was.
	const calls = 10 // more than there are spares
	var texts, inputs, ids []string
	for n := range calls {
		text, id := fmt.Sprint("text-", n), fmt.Sprint("c-", n)
		texts, ids = append(texts, text+" "+id), append(ids, id)
		inputs = append(inputs, `{"do":"keep","text":"`+text+`"}`)
	}
	for probe, want := range map[string]string{
		"":      `"text":"` + strings.Join(texts, " ") + `"`,
		"bytes": fmt.Sprint(inputs, " ", ids),
	} {
		t.Run("kept: "+probe, func(t *testing.T) {
			template, err := engine.Load(t.Context(), sandbox.Spec{Wasm: wasm, Isolation: sandbox.Shared, Env: map[string]string{"PROBE": probe}})
			if err != nil {
				t.Fatal(err)
			}
			var res sandbox.Result
			for n, input := range inputs {
				if res, err = template.Call(t.Context(), sandbox.Request{ID: ids[n], Input: []byte(input)}); err != nil {
					t.Fatal(err)
				}
			}
			if !strings.Contains(string(res.Output), want) {
				t.Errorf("got %s, want %s", res.Output, want)
			}
		})
	}

	t.Run("a restored call works no more than others", func(t *testing.T) {
		shared, err := engine.Load(t.Context(), sandbox.Spec{Wasm: wasm, Isolation: sandbox.Shared})
		if err != nil {
			t.Fatal(err)
		}
		var later sandbox.Result
		for range 3 {
			if later, err = shared.Call(t.Context(), sandbox.Request{ID: "c-7", Caller: "user/ada", Input: []byte(`{"do":"echo"}`)}); err != nil {
				t.Fatal(err)
			}
		}
		restored, err := template.Call(t.Context(), sandbox.Request{ID: "c-7", Caller: "user/ada", Input: []byte(`{"do":"echo"}`)})
		if err != nil || float64(restored.Fuel) > 1.1*float64(later.Fuel) {
			t.Errorf("%v; a restored call takes %d units of fuel, the third of a shared instance %d", err, restored.Fuel, later.Fuel)
		}
	})

	t.Run("log", func(t *testing.T) {
		res, err := call(`{"do":"log","text":"hi there","n":3}`)
		if err != nil {
			t.Fatal(err)
		}
		logs := string(res.Logs)
		for _, want := range []string{`hi there n=3 at.place="a b"`, "bad", "from package log", "from stderr", "from stdout"} {
			if !strings.Contains(logs, want) {
				t.Errorf("the log lacks %q:\n%s", want, logs)
			}
		}
		if strings.Contains(logs, "not to be seen") {
			t.Errorf("a debug line is in the log:\n%s", logs)
		}
	})

	// A service that is wrong from the start fails when it is loaded, not at a
	// call.
	for wrong, want := range map[string]string{
		"twice":    "a service has one handler: Handle at ",
		"nil":      "HandleBytes: the handler is nil",
		"never":    "this service has no handler: call sdk.Handle",
		"bad warm": "warming panicked: no table",
	} {
		t.Run("wrong: "+wrong, func(t *testing.T) {
			_, err := engine.Load(t.Context(), sandbox.Spec{Wasm: wasm, Env: map[string]string{"PROBE": wrong}})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, which does not say %q", err, want)
			}
		})
	}
}

func wantReason(t *testing.T, err error, reason fault.Reason) *fault.Error {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Reason != reason {
		t.Errorf("got %v, want %s", err, reason)
		return nil
	}
	return e
}
