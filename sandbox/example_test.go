package sandbox_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// A module is loaded once and called as often as needed; each call starts with
// clean memory.
func Example() {
	ctx := context.Background()
	engine, err := sandbox.New(ctx, sandbox.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close(ctx)
	template, err := engine.Load(ctx, sandbox.Spec{Wasm: wasmtest.Echo()})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := template.Call(ctx, sandbox.Request{Input: []byte(`{"name":"Ada"}`)})
	fmt.Printf("%s %v\n", result.Output, err)
	fmt.Println(template.Report().Kind, template.Report().Isolation)
	// Output:
	// {"name":"Ada"} <nil>
	// function pristine
}

// A guest that exceeds a limit is stopped, and the error names the limit.
func Example_limit() {
	ctx := context.Background()
	engine, err := sandbox.New(ctx, sandbox.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close(ctx)
	template, err := engine.Load(ctx, sandbox.Spec{
		Wasm:   wasmtest.Function(wasmtest.Forever()).Bytes(),
		Limits: sandbox.Limits{Timeout: 50 * time.Millisecond, CPU: time.Minute},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = template.Call(ctx, sandbox.Request{})
	fmt.Println(fault.ReasonOf(err))
	// Output:
	// GUEST_TIMEOUT
}
