package fault_test

import (
	"errors"
	"fmt"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

func Example() {
	find := func(name string) error {
		return fault.New(fault.ServiceNotFound, "there is no service %q", name).
			WithFix("list the services").With("service", name)
	}
	err := fmt.Errorf("publish: %w", find("greet"))

	fmt.Println(errors.Is(err, fault.ServiceNotFound), fault.ReasonOf(err))
	e := fault.FromError(err)
	fmt.Println(e, e.Meta)
	fmt.Println(e.ConnectCode(), e.Reason.ExitCode())
	fmt.Println("fix:", e.Fix)
	// Output:
	// true SERVICE_NOT_FOUND
	// there is no service "greet" map[service:greet]
	// not_found 3
	// fix: list the services
}

// Facts are added to a copy, so that others who hold the error see no change.
func ExampleError_With() {
	shared := fault.New(fault.QueueFull, "the queue is full").With("limit", 64)
	mine := *shared
	mine.With("runner", "edge-1")
	fmt.Println(shared.Meta, mine.Meta)
	// Output:
	// map[limit:64] map[limit:64 runner:edge-1]
}
