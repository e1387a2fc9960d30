package faultrpc_test

import (
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// A core sends an error, and a client reads it.
func Example() {
	sent := faultrpc.ToConnect(fault.New(fault.ServiceNotFound, "there is no service %q", "gret").WithFix("did you mean greet?"))
	fmt.Println(sent)

	got := faultrpc.FromError(sent)
	fmt.Println(got.Reason, errors.Is(got, fault.ServiceNotFound), got.Reason.ExitCode())
	fmt.Println("fix:", got.Fix)
	// Output:
	// not_found: there is no service "gret"
	// SERVICE_NOT_FOUND true 3
	// fix: did you mean greet?
}

func ExampleWriteJSON() {
	e := fault.New(fault.InputInvalid, "the input does not match its schema")
	e.Fields = []fault.Field{{Path: "name", Description: "is required"}}
	w := httptest.NewRecorder()
	faultrpc.WriteJSON(w, faultrpc.HTTPStatus(e), e)
	fmt.Println(w.Code, w.Body)
	// Output:
	// 400 {"code":"invalid_argument","reason":"INPUT_INVALID","message":"the input does not match its schema","fields":[{"field":"name","description":"is required"}]}
}
