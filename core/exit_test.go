package core_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// exits returns a command that prints a text and exits with a code.
func exits(text string, code int32) []byte {
	const wasi = "wasi_snapshot_preview1."
	m := w.Command([]string{wasi + "fd_write:iiii>i", wasi + "proc_exit:i>"}, w.CallWith(0, 1, 0, 1, 64), w.Drop(), w.CallWith(1, code))
	m.Data(0, []byte{16, 0, 0, 0, byte(len(text)), 0, 0, 0})
	m.Data(16, []byte(text))
	return m.Bytes()
}

// A command that has written something and exits with a code has answered, as
// diff and linters do. One that has written nothing has failed.
func TestACommandThatExitsWithACodeKeepsItsOutput(t *testing.T) {
	for name, local := range map[string]bool{"on a runner": false, "in the core": true} {
		t.Run(name, func(t *testing.T) {
			c := ruedotest.New(t, ruedotest.Options{Runners: 1, Local: local})
			c.Publish(t, &ruedov1.PublishServiceRequest{Name: "diff"}, exits("< a\n> b\n", 1))
			c.Publish(t, &ruedov1.PublishServiceRequest{Name: "silent"}, exits("", 3))

			res, body := post(t, c, "diff", "")
			if res.StatusCode != http.StatusOK || body != "< a\n> b\n" || res.Header.Get("Ruedo-Exit-Code") != "1" || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
				t.Errorf("%d %q %v", res.StatusCode, body, res.Header)
			}
			answer, err := c.Client.Call(t.Context(), "diff", nil)
			if err != nil || string(answer.Output) != "< a\n> b\n" || answer.Info.GetExitCode() != 1 {
				t.Errorf("%+v, %v", answer, err)
			}
			stream, err := c.Client.Stream(t.Context(), "diff", strings.NewReader(""))
			if err != nil || stream.Info.GetExitCode() != 1 {
				t.Fatalf("%v, %v", stream, err)
			}
			_ = stream.Body.Close()
			res, body = post(t, c, "silent", "")
			if res.StatusCode == http.StatusOK || res.Header.Get("Ruedo-Exit-Code") != "3" || !strings.Contains(body, `"GUEST_EXIT"`) {
				t.Errorf("%d %q %v", res.StatusCode, body, res.Header)
			}
			if _, err := c.Client.Call(t.Context(), "silent", nil); !errors.Is(err, fault.GuestExit) {
				t.Errorf("got %v", err)
			}
			if text := metrics(t, c); !strings.Contains(text, `ruedo_calls_total{outcome="GUEST_EXIT",service="diff"} 3`) {
				t.Errorf("the metrics do not count the exits:\n%s", text)
			}
		})
	}
}

// The error of a call that used up its stack names the decorator that sets the
// limit, as those of other limits do; other traps do not.
func TestTheStackIsALimit(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	_, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{
		Decorator: &ruedov1.Decorator{Name: "shallow", Limits: &ruedov1.Limits{StackBytes: 1 << 20}},
	})
	if err != nil {
		t.Fatal(err)
	}
	recursive := w.New()
	recursive.Memory(1, -1)
	recursive.AsFunction(recursive.Func(">i", w.Call(0), w.I32(1), w.Ops(0x6a)))
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "recursive", Decorators: []string{"shallow"}}, recursive.Bytes())
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "trapping", Decorators: []string{"shallow"}}, w.Function(w.Unreachable()).Bytes())

	_, err = c.Client.Call(t.Context(), "recursive", nil)
	e := fault.FromError(err)
	if e.Reason != fault.GuestTrap || e.Meta["decorator"] != "shallow" || e.Meta["limit"] != "1048576" || !strings.Contains(e.Message, "stack overflow, over the limit of 1 MiB") {
		t.Errorf("got %v, %v", err, e.Meta)
	}
	if _, err = c.Client.Call(t.Context(), "trapping", nil); fault.FromError(err).Reason != fault.GuestTrap || fault.FromError(err).Meta["decorator"] != "" {
		t.Errorf("got %v, %v", err, fault.FromError(err).Meta)
	}
	_, err = c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{
		Decorator: &ruedov1.Decorator{Name: "nothing", Limits: &ruedov1.Limits{StackBytes: 1}},
	})
	if !errors.Is(err, fault.RequestInvalid) && !errors.Is(err, fault.DecoratorInvalid) {
		t.Errorf("a stack of one byte: %v", err)
	}
}
