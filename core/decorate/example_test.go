package decorate_test

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/decorate"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// A decorator with a schema and a limit wraps what executes the calls of a
// service.
func Example() {
	ctx := context.Background()
	schema, _ := structpb.NewStruct(map[string]any{"required": []any{"name"}})
	named, err := decorate.NewCompiler().Admit(ctx, &ruedov1.Decorator{
		Name: "named", InputSchema: schema, Limits: &ruedov1.Limits{MemoryBytes: 16 << 20},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	rules := decorate.Combine(ruedov1.Kind_KIND_FUNCTION, []*decorate.Decorator{named})
	service := rules.Middleware(executor.Func(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return &runnerv1.ExecuteResponse{Output: []byte("executed")}, nil
	}))

	res, err := service.Execute(ctx, &runnerv1.ExecuteRequest{Service: "greet", Input: []byte(`{"name":"Ada"}`)})
	fmt.Printf("%s %v\n", res.GetOutput(), err)
	_, err = service.Execute(ctx, &runnerv1.ExecuteRequest{Service: "greet", Input: []byte(`{"nme":"Ada"}`)})
	e := fault.FromError(err)
	fmt.Println(e.Reason, e.Fields)
	memory := rules.Limit("memory")
	fmt.Println(memory.GetValue(), "from", memory.GetDecorator())
	// Output:
	// executed <nil>
	// INPUT_INVALID [{name is required}]
	// 16 MiB from named
}
