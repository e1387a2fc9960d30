package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/sdk"
)

// Requests that end the process are tested in examples/examples_test.go, where
// something stops them.

func TestHarmlessRequests(t *testing.T) {
	for in, want := range map[string]string{
		`{}`:               "nothing",
		`{"sleep_ms":1}`:   "slept 1 ms",
		`{"memory_mib":2}`: "took 2 MiB",
		`{"output_mib":1}`: "answered 1 MiB",
	} {
		out, err := sdk.Call(t.Context(), []byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		var res Response
		if err := json.Unmarshal(out, &res); err != nil || res.Did != want {
			t.Errorf("%s: did %q, %v; want %q", in, res.Did, err, want)
		}
		if strings.Contains(in, "output") && len(res.Padding) != mib {
			t.Errorf("%s: %d bytes", in, len(res.Padding))
		}
	}
}

func TestFailures(t *testing.T) {
	for in, want := range map[string]sdk.Error{
		`{"fail":"not_found"}`: {Code: sdk.NotFound, Message: "spin was asked to fail with not_found"},
		`{"panic":true}`:       {Code: sdk.Internal, Message: "the service panicked: spin was asked to panic"},
		`{"fail":"badly"}`:     {Code: sdk.InvalidArgument, Message: `the input has the wrong type: "badly" is not a code: use one such as "invalid_argument"`},
	} {
		_, err := sdk.Call(t.Context(), []byte(in))
		var e *sdk.Error
		if !errors.As(err, &e) || e.Code != want.Code || e.Message != want.Message {
			t.Errorf("%s: got %v, want %v", in, err, &want)
		}
	}
}
