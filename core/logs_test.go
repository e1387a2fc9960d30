package core_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// talker logs its input. If that begins with "!", it traps in boom, with "@" it
// loops in spin, with "-" it is silent.
func talker() []byte {
	m := w.New()
	read, log := m.Import("ruedo", "input_read", "ii>i"), m.Import("ruedo", "log", "iii>")
	m.Memory(1, -1)
	boom := m.Func(">", w.Unreachable())
	spin := m.Func(">", w.Loop())
	begins := func(c byte, code []byte) []byte {
		return w.Cat(w.I32(0), w.Ops(0x2d, 0, 0), w.I32(int32(c)), w.Ops(0x46, 0x04, 0x40), code, w.Ops(0x0b))
	}
	m.AsFunction(m.Func(">i",
		w.CallWith(read, 8, 60_000), w.Drop(),
		w.I32(0), w.I32(8), w.Ops(0x2d, 0, 0), w.Ops(0x3a, 0, 0), // its first byte to address 0
		begins('-', w.Cat(w.I32(0), w.Ops(0x0f))),
		w.CallWith(log, 0, 8, 40), w.CallWith(log, 8, 8, 6),
		begins('!', w.Call(boom)), begins('@', w.Call(spin)),
		w.I32(0)))
	names := w.Vec(w.Cat(w.U32(boom), w.Str("boom")), w.Cat(w.U32(spin), w.Str("spin")))
	return w.Cat(m.Bytes(), w.Custom("name", w.Section(1, names)))
}

// input is an input of the talker, which logs its first 40 bytes.
func input(text string) []byte { return fmt.Appendf(nil, "%-40s", text) }

func publishTalker(t *testing.T, c *ruedotest.Cluster) {
	t.Helper()
	if _, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: &ruedov1.Decorator{Name: "quick", Limits: quick}}); err != nil {
		t.Fatal(err)
	}
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "talker", Decorators: []string{"quick"}}, talker())
}

// readLogs returns the entries that match a request.
func readLogs(t *testing.T, c *ruedotest.Cluster, req *ruedov1.ReadLogsRequest) (entries []*ruedov1.LogEntry) {
	t.Helper()
	for res, err := range c.Client.ReadLogs(t.Context(), req) {
		if err != nil {
			t.Fatal(err)
		}
		if len(res.GetGaps()) > 0 {
			t.Errorf("gaps: %v", res.GetGaps())
		}
		entries = append(entries, res.GetEntries()...)
	}
	return entries
}

func TestLogsOfAllRunnersAreReadInOrderOfTime(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 2})
	publishTalker(t, c)
	var ids []string
	for i := range 20 {
		res, err := c.Client.Call(t.Context(), "talker", input(fmt.Sprint("call ", i)))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, res.Info.GetCallId())
		if i%4 > 0 {
			continue
		}
		if _, err := c.Client.Call(t.Context(), "talker", input("-")); err != nil {
			t.Fatal(err)
		}
	}
	entries := readLogs(t, c, &ruedov1.ReadLogsRequest{Service: "talker"})
	if len(entries) != len(ids) {
		t.Fatalf("%d entries of %d calls that logged", len(entries), len(ids))
	}
	runners := make(map[string]int)
	for i, e := range entries {
		runners[e.GetRunner()]++
		if e.GetCallId() != ids[i] || e.GetService() != "talker" || e.GetRevision() != 1 || e.GetReason() != "" ||
			!strings.HasPrefix(e.GetText(), fmt.Sprintf("INFO call %d ", i)) || !strings.Contains(e.GetText(), "\nERROR call") {
			t.Errorf("entry %d: %v", i, e)
		}
	}
	if len(runners) != 2 {
		t.Errorf("by runner: %v", runners)
	}
	if one := readLogs(t, c, &ruedov1.ReadLogsRequest{CallId: ids[7]}); len(one) != 1 || one[0].GetCallId() != ids[7] {
		t.Errorf("one call: %v", one)
	}
	if none := readLogs(t, c, &ruedov1.ReadLogsRequest{Service: "talker", Since: durationpb.New(time.Nanosecond)}); len(none) != 0 {
		t.Errorf("since now: %v", none)
	}
}

func TestWhyACallFailedIsFoundAfterwards(t *testing.T) {
	for _, local := range []bool{false, true} {
		c := ruedotest.New(t, ruedotest.Options{Runners: 2, Local: local})
		publishTalker(t, c)
		for text, want := range map[string]struct {
			reason fault.Reason
			says   string
			trace  string
		}{
			"!a": {fault.GuestTrap, "unreachable", "boom()\n"},
			"@b": {fault.GuestTimeout, "it was in spin", "spin()\n"},
		} {
			_, err := c.Client.Call(t.Context(), "talker", input(text))
			e := wantReason(t, err, want.reason, want.says)
			id := client.InfoOf(err).GetCallId()
			if id == "" || len(client.InfoOf(err).GetLogs()) > 0 || client.InfoOf(err).GetTrace() != "" {
				t.Fatalf("logs that nobody asked for: %v", client.InfoOf(err))
			}
			entries := readLogs(t, c, &ruedov1.ReadLogsRequest{CallId: id})
			if len(entries) != 1 || entries[0].GetReason() != string(want.reason) || !strings.HasPrefix(e.Error(), entries[0].GetMessage()) ||
				!strings.HasPrefix(entries[0].GetTrace(), want.trace) || !strings.HasPrefix(entries[0].GetText(), "INFO "+text) {
				t.Errorf("%s: %v", text, entries)
			}
			_, err = c.Client.Call(t.Context(), "talker", input(text), client.WithLogs())
			if info := client.InfoOf(err); !strings.HasPrefix(info.GetTrace(), want.trace) || !bytes.HasPrefix(info.GetLogs(), []byte("INFO "+text)) {
				t.Errorf("%s, logs asked for: %v", text, info)
			}
		}
	}
}

func TestLogsAreFollowed(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 2})
	publishTalker(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string, 100)
	ended := make(chan error, 1)
	go func() {
		defer close(ended)
		for res, err := range c.Client.ReadLogs(ctx, &ruedov1.ReadLogsRequest{Service: "talker", Follow: true}) {
			if err != nil {
				ended <- err
				return
			}
			for _, e := range res.GetEntries() {
				got <- e.GetCallId()
			}
		}
	}()
	for range 10 {
		res, err := c.Client.Call(t.Context(), "talker", input("x"))
		if err != nil {
			t.Fatal(err)
		}
		select {
		case id := <-got:
			if id != res.Info.GetCallId() {
				t.Fatalf("call %s, want %s", id, res.Info.GetCallId())
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the call is not in the stream")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, fault.Canceled) {
		t.Errorf("the end: %v", err)
	}
}

// Neither a runner nor a core waits for those who follow logs before it stops.
func TestAFollowerHoldsUpNobody(t *testing.T) {
	for _, local := range []bool{false, true} {
		ended := make(chan error, 1)
		t.Run(fmt.Sprint("local ", local), func(t *testing.T) {
			c := ruedotest.New(t, ruedotest.Options{Runners: 2, Local: local})
			publishTalker(t, c)
			got := make(chan struct{}, 1)
			go func() {
				var last error
				for res, err := range c.Client.ReadLogs(context.Background(), &ruedov1.ReadLogsRequest{Service: "talker", Follow: true}) {
					if last = err; len(res.GetEntries()) > 0 {
						got <- struct{}{}
					}
				}
				ended <- last
			}()
			say := func() {
				if _, err := c.Client.Call(t.Context(), "talker", input("x")); err != nil {
					t.Fatal(err)
				}
				<-got
			}
			say()
			began := time.Now()
			if !local {
				c.Runners[0].Stop(t)
				say()
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("stopping a runner took %s", took)
			}
		}) // stops the core
		if err := <-ended; !errors.Is(err, fault.CoreUnreachable) {
			t.Errorf("the end of the core: %v", err)
		}
	}
}

func TestLogsOfWhatDoesNotExist(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishTalker(t, c)
	if none := readLogs(t, c, &ruedov1.ReadLogsRequest{Service: "talker"}); len(none) != 0 {
		t.Errorf("a service that said nothing: %v", none)
	}
	for _, tt := range []struct {
		req    *ruedov1.ReadLogsRequest
		reason fault.Reason
		says   string
	}{
		{&ruedov1.ReadLogsRequest{Service: "taker"}, fault.ServiceNotFound, "did you mean talker?"},
		{&ruedov1.ReadLogsRequest{Service: "taker", Follow: true}, fault.ServiceNotFound, "did you mean talker?"},
		{&ruedov1.ReadLogsRequest{CallId: "01KAN4W2Z8Q5T0M3V7X1Y6B9CD"}, fault.NotFound, "no runner has logs of call 01KAN4W2Z8Q5T0M3V7X1Y6B9CD"},
		{&ruedov1.ReadLogsRequest{}, fault.RequestInvalid, "neither is named"},
		{&ruedov1.ReadLogsRequest{Service: "Talker!", CallId: strings.Repeat("x", 65), Since: durationpb.New(-1)}, fault.RequestInvalid, ""},
	} {
		var got error
		for _, err := range c.Client.ReadLogs(t.Context(), tt.req) {
			got = err
		}
		wantReason(t, got, tt.reason, tt.says)
	}
}

// starter traps in a function that its start calls, after it has logged.
func starter() []byte {
	m := w.New()
	log := m.Import("ruedo", "log", "iii>")
	m.Memory(1, -1)
	m.Data(0, []byte("no configuration"))
	boom := m.Func(">", w.CallWith(log, 8, 0, 16), w.Unreachable())
	m.Export("_initialize", m.Func(">", w.Call(boom)))
	m.AsFunction(m.Func(">i", w.I32(0)))
	return w.Cat(m.Bytes(), w.Custom("name", w.Section(1, w.Vec(w.Cat(w.U32(boom), w.Str("configure"))))))
}

func TestAPanicOfTheStartSaysWhatTheGuestSaid(t *testing.T) {
	for _, local := range []bool{false, true} {
		c := ruedotest.New(t, ruedotest.Options{Runners: 2, Local: local})
		_, err := c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{Name: "starter"}, starter())
		wantReason(t, err, fault.GuestTrap, "the service cannot start", "_initialize")
		info := client.InfoOf(err)
		if string(info.GetLogs()) != "ERROR no configuration\n" || !strings.HasPrefix(info.GetTrace(), "configure()\n") {
			t.Errorf("the error says %v", info)
		}
		entries := readLogs(t, c, &ruedov1.ReadLogsRequest{Service: "starter"})
		if len(entries) == 0 || entries[0].GetCallId() != "" || entries[0].GetText() != "ERROR no configuration\n" || entries[0].GetTrace() != info.GetTrace() {
			t.Errorf("the runners keep %v", entries)
		}
	}
}

func TestPlainHTTPGetsLogsOnRequest(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishTalker(t, c)
	call := func(text string, logs bool) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+"/call/talker", bytes.NewReader(input(text)))
		if err != nil {
			t.Fatal(err)
		}
		if logs {
			req.Header.Set("Ruedo-Logs", "1")
		}
		res, err := c.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(body)
	}
	res, _ := call("hé\n", true)
	text, err := base64.StdEncoding.DecodeString(res.Header.Get("Ruedo-Logs"))
	if err != nil || !strings.HasPrefix(string(text), `INFO hé\n `) || res.Header.Get("Ruedo-Logs-Dropped") != "" {
		t.Errorf("%q, %v", text, err)
	}
	for _, silent := range []struct {
		text string
		logs bool
	}{{"hello", false}, {"-", true}} {
		if res, _ := call(silent.text, silent.logs); res.Header.Values("Ruedo-Logs") != nil {
			t.Errorf("%v: %q", silent, res.Header)
		}
	}
	var failure struct{ Reason, Logs, Trace string }
	_, body := call("!x", true)
	if err := json.Unmarshal([]byte(body), &failure); err != nil || failure.Reason != "GUEST_TRAP" || !strings.HasPrefix(failure.Logs, "INFO !x") || !strings.HasPrefix(failure.Trace, "boom()\n") {
		t.Errorf("%v: %s", err, body)
	}
	if _, body = call("!x", false); strings.Contains(body, "INFO") {
		t.Errorf("logs that nobody asked for: %s", body)
	}
}
