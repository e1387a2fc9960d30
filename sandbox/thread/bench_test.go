package thread_test

import (
	"testing"

	"github.com/ruedo-dev/ruedo/sandbox/thread"
)

// BenchmarkSpan measures spans of nothing, one after the other.
func BenchmarkSpan(b *testing.B) {
	var span thread.Span
	for b.Loop() {
		span.Begin()
		span.End()
	}
}
