package lane_test

import (
	"context"
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
)

// BenchmarkRoundTrip is one small call with a deadline over a lane on loopback.
func BenchmarkRoundTrip(b *testing.B) {
	c := newCore(b, nil)
	l, _ := c.attach(c.config("edge-1", &fakeRunner{execute: echo}))
	req := &runnerv1.ExecuteRequest{Plan: "p", CallId: "c", Service: "greet", Input: []byte(`{"name":"Ada"}`), ContentType: "application/json"}
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	b.Run("c=1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := l.Execute(ctx, req); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("c=64", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := l.Execute(ctx, req); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
