package executor_test

import (
	"context"
	"errors"
	"fmt"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
)

// Whatever executes calls has one shape, and so has every rule around it.
func Example() {
	echo := executor.Func(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return &runnerv1.ExecuteResponse{Output: req.GetInput()}, nil
	})
	logged := func(next executor.Executor) executor.Executor {
		return executor.Func(func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
			res, err := next.Execute(ctx, req)
			fmt.Printf("%s: %q, %v\n", req.GetInput(), res.GetOutput(), err)
			return res, err
		})
	}
	short := func(next executor.Executor) executor.Executor {
		return executor.Func(func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
			if len(req.GetInput()) > 5 {
				return nil, errors.New("too long")
			}
			return next.Execute(ctx, req)
		})
	}

	service := executor.Chain(echo, logged, short) // call -> logged -> short -> echo
	for _, input := range []string{"hello", "goodbye"} {
		_, _ = service.Execute(context.Background(), &runnerv1.ExecuteRequest{Input: []byte(input)})
	}
	// Output:
	// hello: "hello", <nil>
	// goodbye: "", too long
}
