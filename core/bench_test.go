package core_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// BenchmarkCall measures the whole path of a call in one process: HTTP,
// resolving, a lane, the sandbox and back. Use it with -cpuprofile; `make
// bench` compares.
func BenchmarkCall(b *testing.B) {
	c := ruedotest.New(b, ruedotest.Options{Runners: 1, Concurrency: 64})
	c.Publish(b, &ruedov1.PublishServiceRequest{Name: "echo"}, ruedotest.Echo())
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := c.HTTP.Post(c.URL+"/call/echo", "application/json", strings.NewReader(`{"name":"Ada"}`))
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
				b.Error(res.Status, err)
			}
			_ = res.Body.Close()
		}
	})
}

// BenchmarkRefusal measures what a call costs that the core refuses because it would
// begin too late: over plain HTTP, with the connection kept, caller included.
func BenchmarkRefusal(b *testing.B) {
	c := ruedotest.New(b, ruedotest.Options{Runners: 1, Concurrency: 1, QueueTimeout: time.Minute})
	c.Publish(b, &ruedov1.PublishServiceRequest{Name: "waits"}, wasmtest.Sleep(time.Second))
	if _, err := c.Client.Call(b.Context(), "waits", nil); err != nil { // which says how long calls take
		b.Fatal(err)
	}
	var busy sync.WaitGroup
	ctx, end := context.WithCancel(b.Context())
	defer busy.Wait()
	defer end()
	for range 4 { // one that executes, and a line that never is empty
		busy.Go(func() {
			for ctx.Err() == nil {
				_, _ = c.Client.Call(ctx, "waits", nil)
			}
		})
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.URL, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	request := []byte("POST /call/waits HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nRuedo-Timeout: 20ms\r\nContent-Length: 2\r\n\r\n{}")
	answer := make([]byte, 4<<10)
	refused := func() bool {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		n, err := conn.Read(answer) // it comes in one piece
		if err != nil {
			b.Fatal(err)
		}
		return bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 503 "))
	}
	testkit.Eventually(b, "calls are refused", refused)
	b.ReportAllocs()
	for b.Loop() {
		if !refused() {
			b.Fatalf("%s", answer)
		}
	}
}
