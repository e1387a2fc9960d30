package core_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
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
