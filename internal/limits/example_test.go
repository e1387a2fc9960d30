package limits_test

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

func ExampleCombine() {
	decorators := []*ruedov1.Decorator{
		{Name: "small", Limits: &ruedov1.Limits{MemoryBytes: 64 << 20}},
		{Name: "patient", Limits: &ruedov1.Limits{MemoryBytes: 256 << 20, Timeout: durationpb.New(time.Minute)}},
	}
	fmt.Println(limits.Text(limits.Combine(ruedov1.Kind_KIND_FUNCTION, decorators)))
	for _, e := range limits.Effective(ruedov1.Kind_KIND_FUNCTION, decorators)[:3] {
		fmt.Printf("%s: decorator %q, follows %q\n", e.GetLimit(), e.GetDecorator(), e.GetFollows())
	}
	// Output:
	// memory 64 MiB, timeout 1m0s, cpu 1m0s, input 4 MiB, output 4 MiB, logs 64 KiB, stack 32 MiB
	// memory: decorator "small", follows ""
	// timeout: decorator "patient", follows ""
	// cpu: decorator "", follows "timeout"
}
