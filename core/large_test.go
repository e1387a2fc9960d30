package core_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// largeEcho answers with its input, up to 64 MiB.
func largeEcho() []byte {
	m := w.New()
	read, write := m.Import("ruedo", "input_read", "ii>i"), m.Import("ruedo", "output_write", "ii>i")
	m.Memory(1024, -1)
	m.AsFunction(m.Func(">i", w.I32(0), w.I32(0), w.I32(64<<20), w.Call(read), w.Call(write), w.Drop(), w.I32(0)))
	return m.Bytes()
}

// noise returns n bytes that no part of which repeats.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
}

// TestLargeInputsAndOutputsPassThroughTheClient calls with 40 MiB in and out, in
// one process and over a lane.
func TestLargeInputsAndOutputsPassThroughTheClient(t *testing.T) {
	input := noise(40 << 20)
	file := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(file, input, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]ruedotest.Options{"in one process": {Local: true}, "over a lane": {Runners: 1}} {
		t.Run(name, func(t *testing.T) {
			c := ruedotest.New(t, opts)
			large := &ruedov1.Decorator{Name: "large", Limits: &ruedov1.Limits{InputBytes: 60 << 20, OutputBytes: 64 << 20, MemoryBytes: 128 << 20}}
			if _, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: large}); err != nil {
				t.Fatal(err)
			}
			c.Publish(t, &ruedov1.PublishServiceRequest{Name: "large", Decorators: []string{"large"}}, largeEcho())
			var sent, received atomic.Int64
			progress := client.WithProgress(func(done, total int64) {
				if total != int64(len(input)) {
					t.Errorf("%d of %d were sent", done, total)
				}
				sent.Store(done)
			}, func(done, _ int64) { received.Store(done) })

			res, err := c.Client.Call(t.Context(), "large", input, client.WithContentType("application/octet-stream"), progress)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(res.Output, input) || res.ContentType != "application/octet-stream" {
				t.Errorf("the output has %d bytes of %s", len(res.Output), res.ContentType)
			}
			if i := res.Info; i.GetCallId() == "" || i.GetRunner() == "" || i.GetRevision() != 1 || i.GetDuration().AsDuration() <= 0 || i.GetMemoryBytes() < 64<<20 {
				t.Errorf("info %v", i)
			}
			if n := int64(len(input)); sent.Load() != n || received.Load() != n {
				t.Errorf("progress ended at %d sent and %d received", sent.Load(), received.Load())
			}

			// A small input is a message; its response reports progress as well.
			received.Store(0)
			if res, err := c.Client.Call(t.Context(), "large", []byte("small"), progress); err != nil || string(res.Output) != "small" || received.Load() < 5 {
				t.Errorf("a small call: %v, %v, %d bytes received", res, err, received.Load())
			}

			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			stream, err := c.Client.Stream(t.Context(), "large", f)
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Body.Close()
			output, err := io.ReadAll(stream.Body)
			if err != nil || !bytes.Equal(output, input) || stream.Size != int64(len(input)) || stream.Info.GetRunner() == "" {
				t.Errorf("a stream of %d, %d bytes: %v", stream.Size, len(output), err)
			}

			// Of unknown length.
			stream, err = c.Client.Stream(t.Context(), "large", io.LimitReader(bytes.NewReader(input), 2<<20))
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Body.Close()
			if output, err := io.ReadAll(stream.Body); err != nil || !bytes.Equal(output, input[:2<<20]) {
				t.Errorf("a stream of unknown length: %d bytes, %v", len(output), err)
			}

			// A core refuses before it has read the body, and the client asks first, as
			// long as its transport waits for the answer.
			transport := &http.Transport{ExpectContinueTimeout: time.Minute}
			defer transport.CloseIdleConnections()
			asking := client.New(c.URL, client.WithHTTPClient(&http.Client{Transport: transport}))
			_, err = asking.Call(t.Context(), "large", make([]byte, 61<<20))
			wantReason(t, err, fault.InputTooLarge, "60 MiB")
			_, err = asking.Call(t.Context(), "lagre", make([]byte, 2<<20))
			wantReason(t, err, fault.ServiceNotFound, "did you mean large?")
			other := client.New(c.URL, client.WithHTTPClient(&http.Client{Transport: transport}), client.WithCluster("other"))
			_, err = other.Call(t.Context(), "large", make([]byte, 2<<20))
			wantReason(t, err, fault.ClusterMismatch, "other")
		})
	}
}

// TestALargeCallFailsLikeASmallOne makes both fail, and compares the errors.
func TestALargeCallFailsLikeASmallOne(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Local: true})
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "traps"}, w.Function(w.Unreachable()).Bytes())
	_, small := c.Client.Call(t.Context(), "traps", make([]byte, 10))
	_, large := c.Client.Call(t.Context(), "traps", make([]byte, 2<<20))
	a, b := client.Explain(small), client.Explain(large)
	if a.Reason != string(fault.GuestTrap) || a.Reason != b.Reason || a.Code != b.Code || a.Message != b.Message || a.Fix != b.Fix || a.NotStarted != b.NotStarted {
		t.Errorf("a small call: %+v\na large call: %+v", a, b)
	}
	x, y := client.InfoOf(small), client.InfoOf(large)
	if x.GetRunner() == "" || x.GetRunner() != y.GetRunner() || x.GetRevision() != y.GetRevision() || y.GetCallId() == "" {
		t.Errorf("info of a small call: %v\nof a large call: %v", x, y)
	}
}
