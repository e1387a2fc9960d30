package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox"
)

type order struct {
	Do   string `json:"do,omitempty"`
	Text string `json:"text,omitempty"`
	N    int    `json:"n,omitempty"`
	Step int    `json:"step,omitempty"`
	How  string `json:"how,omitempty"`
}

type answer struct {
	Text  string            `json:"text"`
	N     int               `json:"n"`
	Head  map[string]string `json:"head"`
	Count int               `json:"count"`
	Left  int               `json:"left"`
}

func do(t testing.TB, tpl *sandbox.Template, o order) (answer, sandbox.Result, error) {
	t.Helper()
	in, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	res, err := tpl.Call(t.Context(), sandbox.Request{ID: "call-7", Input: in, ContentType: "application/json"})
	var a answer
	if err == nil {
		if err := json.Unmarshal(res.Output, &a); err != nil {
			t.Fatalf("%v: %q", err, res.Output)
		}
	}
	return a, res, err
}

func TestFunction(t *testing.T) {
	e := newEngine(t, cached())
	tpl := loadIn(t, e, sandbox.Spec{
		Wasm:    guest(t, "function"),
		Limits:  sandbox.Limits{Timeout: time.Minute, Memory: 32 << 20, Output: 1000, Logs: 2000, Input: 5000},
		Env:     map[string]string{"B": "two", "A": "one"},
		Args:    []string{"x", "y"},
		Example: []byte(`{"text":"warm"}`),
	})
	r := tpl.Report()
	t.Logf("report: kind %s, compile %s, start %s, memory %d", r.Kind, r.Compile, r.Start, r.Memory)
	if r.Kind != sandbox.Function || r.Compile <= 0 || r.Start <= 0 || r.Memory < 1<<20 || len(r.Imports) < 8 || r.Example != nil {
		t.Errorf("report: %+v", r)
	}

	// The snapshot contains what the example did before it, and nothing later.
	first, _, err := do(t, tpl, order{Text: "hola", N: 21})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("answers, and remembers nothing", func(t *testing.T) {
		for range 3 {
			a, res, err := do(t, tpl, order{Text: "hola", N: 21})
			if err != nil || a.Text != "HOLA" || a.N != 42 || a.Count != first.Count {
				t.Fatalf("got %+v, %v", a, err)
			}
			if res.Duration <= 0 || res.Memory < 1<<20 || len(res.Logs) != 0 || res.ExitCode != 0 || res.ContentType != "" {
				t.Errorf("result: %+v", res)
			}
		}
	})
	t.Run("head", func(t *testing.T) {
		a, res, err := do(t, tpl, order{Do: "head"})
		if err != nil || a.Head[":call-id"] != "call-7" || a.Head["content-type"] != "application/json" || len(a.Head) != 2 {
			t.Errorf("got %+v, %v", a, err)
		}
		if res.ContentType != "application/json" {
			t.Errorf("content type: %q", res.ContentType)
		}
		for _, caller := range []string{"user/ada", ""} {
			var a answer
			res, err := tpl.Call(t.Context(), sandbox.Request{Caller: caller, Input: []byte(`{"do":"head"}`)})
			if err == nil {
				err = json.Unmarshal(res.Output, &a)
			}
			if got, ok := a.Head[":caller"]; err != nil || got != caller || ok != (caller != "") {
				t.Errorf("a call of %q: %q, %v", caller, a.Head, err)
			}
		}
	})
	t.Run("logs", func(t *testing.T) {
		_, res, err := do(t, tpl, order{Do: "log", Text: "red\x1b[31m\nINFO forged \u202e ñ"})
		want := "WARN red\\x1b[31m\\nINFO forged \\u202e ñ\nprinted red\\x1b[31m\nINFO forged \\u202e ñ\nunfinished\n"
		if err != nil || string(res.Logs) != want || res.LogsDropped != 0 {
			t.Errorf("got %v\n%s\nwant\n%s", err, res.Logs, want)
		}
	})
	t.Run("environment and arguments", func(t *testing.T) {
		a, _, err := do(t, tpl, order{Do: "env"})
		if err != nil || a.Text != "A=one B=two|service x y" {
			t.Errorf("got %q, %v", a.Text, err)
		}
	})
	t.Run("no files", func(t *testing.T) {
		a, _, err := do(t, tpl, order{Do: "files"})
		if want := "0 <nil>|true true|open /state: Read-only file system|true"; err != nil || a.Text != want {
			t.Errorf("got %q, %v", a.Text, err)
		}
	})
	t.Run("clock", func(t *testing.T) {
		a, _, err := do(t, tpl, order{Do: "clock"})
		at, perr := time.Parse(time.RFC3339, a.Text)
		if err != nil || perr != nil || time.Since(at) > time.Minute || a.N < 20 {
			t.Errorf("got %+v, %v, %v", a, err, perr)
		}
	})
	t.Run("random", func(t *testing.T) {
		a, _, err := do(t, tpl, order{Do: "random"})
		b, _, err2 := do(t, tpl, order{Do: "random"})
		if err != nil || err2 != nil || a.Text == b.Text || len(a.Text) != 16 {
			t.Errorf("got %q and %q", a.Text, b.Text)
		}
	})
	t.Run("goroutines", func(t *testing.T) {
		if a, _, err := do(t, tpl, order{Do: "goroutines"}); err != nil || a.N != 1225 {
			t.Errorf("got %+v, %v", a, err)
		}
	})
	t.Run("fail", func(t *testing.T) {
		_, res, err := do(t, tpl, order{Do: "fail", Text: "no such \x1bthing", N: 5})
		e := refused(t, err, fault.GuestError)
		if e.ConnectCode() != 5 || e.Message != `no such \x1bthing` || res.Output != nil {
			t.Errorf("got %+v", e)
		}
		_, _, err = do(t, tpl, order{Do: "fail", N: 99})
		if e := refused(t, err, fault.GuestError); e.ConnectCode() != 2 || e.Message == "" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("status", func(t *testing.T) {
		_, _, err := do(t, tpl, order{Do: "status", N: 17})
		if e := refused(t, err, fault.GuestError); e.ConnectCode() != 2 || !strings.Contains(e.Message, "returned 17") {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("exit", func(t *testing.T) {
		for _, code := range []int{0, 3, 255} {
			_, res, err := do(t, tpl, order{Do: "exit", N: code})
			e := refused(t, err, fault.GuestExit)
			if e.Meta["exit_code"] != fmt.Sprint(code) || res.ExitCode != code || !strings.Contains(e.Message, fmt.Sprintf("code %d", code)) {
				t.Errorf("got %+v", e)
			}
		}
	})
	t.Run("panic", func(t *testing.T) {
		// Go ends with an instruction that traps, after its message.
		_, res, err := do(t, tpl, order{Do: "panic"})
		e := refused(t, err, fault.GuestTrap)
		if e.Meta["kind"] != "unreachable" || !strings.Contains(e.Meta["trace"], "runtime.fatalpanic") || !bytes.Contains(res.Logs, []byte("panic: as ordered")) {
			t.Errorf("got %+v\n%s", e, res.Logs)
		}
		t.Logf("%s\n%s", e.Message, e.Meta["trace"])
		_, res, err = do(t, tpl, order{Do: "nil"})
		refused(t, err, fault.GuestTrap)
		if !bytes.Contains(res.Logs, []byte("nil pointer")) {
			t.Errorf("logs: %s", res.Logs)
		}
	})
	t.Run("memory", func(t *testing.T) {
		_, res, err := do(t, tpl, order{Do: "eat"})
		e := refused(t, err, fault.GuestMemory)
		if e.Meta["limit"] != fmt.Sprint(32<<20) || !strings.Contains(e.Message, "the limit is 32 MiB") || res.Memory > 32<<20 || res.Memory < 16<<20 {
			t.Errorf("got %+v, memory %d", e, res.Memory)
		}
		t.Log(e.Message)
	})
	t.Run("output", func(t *testing.T) {
		_, _, err := do(t, tpl, order{Do: "write", N: 1001})
		e := refused(t, err, fault.GuestOutputLimit)
		if e.Meta["limit"] != "1000" || e.Meta["actual"] != "1001" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("input", func(t *testing.T) {
		_, err := tpl.Call(t.Context(), sandbox.Request{Input: make([]byte, 5001)})
		e := refused(t, err, fault.InputTooLarge)
		if e.Meta["limit"] != "5000" || e.Meta["actual"] != "5001" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("recursion", func(t *testing.T) {
		_, res, err := do(t, tpl, order{Do: "recurse"})
		// Go has its own limit on stacks, above the limit on memory.
		refused(t, err, fault.GuestMemory)
		if !bytes.Contains(res.Logs, []byte("dropped")) && !bytes.Contains(res.Logs, []byte("memory")) {
			t.Errorf("logs: %s", res.Logs)
		}
	})
	t.Run("sleep and loop end with the deadline", func(t *testing.T) {
		for _, what := range []string{"sleep", "loop"} {
			in := []byte(`{"do":"` + what + `"}`)
			for _, c := range []struct {
				reason fault.Reason
				is     error
				ctx    func() (context.Context, context.CancelFunc)
			}{
				{fault.GuestTimeout, context.DeadlineExceeded, func() (context.Context, context.CancelFunc) {
					return context.WithTimeout(t.Context(), 100*time.Millisecond)
				}},
				{fault.Canceled, context.Canceled, func() (context.Context, context.CancelFunc) {
					ctx, cancel := context.WithCancel(t.Context())
					stop := time.AfterFunc(100*time.Millisecond, cancel)
					return ctx, func() { stop.Stop(); cancel() }
				}},
			} {
				ctx, cancel := c.ctx()
				began := time.Now()
				res, err := tpl.Call(ctx, sandbox.Request{Input: in})
				took := time.Since(began)
				cancel()
				e := refused(t, err, c.reason)
				if !errors.Is(err, c.is) || took > 10*time.Second || res.Duration < 50*time.Millisecond {
					t.Errorf("%s: %+v after %s", what, e, took)
				}
				t.Logf("%s: %s (%s)", what, e.Message, took)
			}
		}
		short := loadIn(t, e, sandbox.Spec{Wasm: guest(t, "function"), Limits: sandbox.Limits{Timeout: time.Second}})
		began := time.Now()
		_, _, err := do(t, short, order{Do: "loop"})
		e := refused(t, err, fault.GuestTimeout)
		if late := time.Since(began) - time.Second; late < 0 || late > 10*time.Second || e.Meta["limit_ms"] != "1000" || e.Meta["deadline"] != "service" {
			t.Errorf("%s late: %+v", late, e)
		}
	})
	t.Run("side by side", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				text := strings.Repeat("x", i)
				a, _, err := do(t, tpl, order{Text: text, N: i})
				if err != nil || a.N != 2*i || a.Text != strings.ToUpper(text) || a.Count != first.Count {
					t.Errorf("got %+v, %v", a, err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("bad input", func(t *testing.T) {
		res, err := tpl.Call(t.Context(), sandbox.Request{Input: []byte("{")})
		if e := refused(t, err, fault.GuestError); e.ConnectCode() != 3 || !strings.HasPrefix(e.Message, "bad input: ") {
			t.Errorf("got %+v, %+v", e, res)
		}
	})
}

func TestExample(t *testing.T) {
	e := newEngine(t, cached())
	tpl, err := e.Load(t.Context(), sandbox.Spec{Wasm: guest(t, "function"), Example: []byte(`{"do":"fail","text":"not now","n":9}`)})
	if err != nil {
		t.Fatal(err)
	}
	if x := tpl.Report().Example; x == nil || x.ConnectCode() != 9 || x.Message != "the example input fails: not now" {
		t.Errorf("got %+v", x)
	}
	_, err = e.Load(t.Context(), sandbox.Spec{Wasm: guest(t, "function"), Example: []byte(`{"do":"exit","n":4}`)})
	if x := refused(t, err, fault.GuestExit); !strings.HasPrefix(x.Message, "the example input fails: ") {
		t.Errorf("got %+v", x)
	}
}

// BenchmarkCall is one call of a Go guest, JSON in and out, in each isolation.
func BenchmarkCall(b *testing.B) {
	req := sandbox.Request{Input: []byte(`{"text":"hola","n":21}`)}
	for _, isolation := range []sandbox.Isolation{sandbox.Pristine, sandbox.Shared, sandbox.Fresh} {
		b.Run(string(isolation), func(b *testing.B) {
			tpl := load(b, sandbox.Spec{Wasm: guest(b, "function"), Isolation: isolation, Example: req.Input})
			var cpu time.Duration
			b.ReportAllocs()
			for b.Loop() {
				res, err := tpl.Call(b.Context(), req)
				if err != nil {
					b.Fatal(err)
				}
				cpu += res.CPU
			}
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "guest-cpu-ns/op")
		})
	}
}
