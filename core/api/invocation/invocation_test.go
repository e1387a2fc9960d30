package invocation

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/coretest"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// The codec needs the service's limit while it decodes; the handler needs its
// rules.
func TestAnInvocationResolvesItsServiceOnce(t *testing.T) {
	m := coretest.NewMirror()
	m.Set([]*ruedov1.Decorator{{Name: "small", Version: 1, Limits: &ruedov1.Limits{InputBytes: 64}}}, coretest.Service("echo", 7, "small"))
	echo := executor.Func(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return &runnerv1.ExecuteResponse{Output: req.GetInput()}, nil
	})
	inv := coretest.NewInvoker(m, echo)
	s := &Service{inv, port.New(port.Config{}).Turns()}
	typed := func(service, text string) []byte {
		b, err := proto.Marshal(&ruedov1.InvokeRequest{Service: service, Payload: &ruedov1.InvokeRequest_Input{Input: structpb.NewStringValue(text)}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	raw, err := proto.Marshal(&ruedov1.InvokeRequest{Service: "echo", Payload: &ruedov1.InvokeRequest_Bytes{Bytes: []byte(`"hi"`)}})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 100)
	for _, c := range []struct {
		what, codec string
		message     []byte
		begun       int
		want        fault.Reason // "" means the answer is "hi"
	}{
		{"binary, typed", "proto", typed("echo", "hi"), 1, ""},
		{"binary, bytes", "proto", raw, 1, ""},
		{"JSON, typed", "json", []byte(`{"service":"echo","input":"hi"}`), 1, ""},
		{"JSON, bytes", "json", []byte(`{"service":"echo","bytes":"ImhpIg=="}`), 1, ""},
		{"binary, too long", "proto", typed("echo", long), 1, fault.InputTooLarge},
		{"JSON, too long", "json", []byte(`{"service":"echo","input":"` + long + `"}`), 1, fault.InputTooLarge},
		{"no such service", "json", []byte(`{"service":"ecko","input":"hi"}`), 1, fault.ServiceNotFound},
		{"not a name", "proto", typed("Echo!", "hi"), 0, fault.RequestInvalid},
		{"nothing", "proto", nil, 0, fault.RequestInvalid},
	} {
		inv.Begun = 0
		var req request
		if err := (codec{c.codec, s.Turns, inv.InputLimit}).Unmarshal(c.message, &req); err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		res, err := s.call(coretest.Context(t), &req)
		switch {
		case c.want != "" && !errors.Is(err, c.want):
			t.Errorf("%s: %v, want %s", c.what, err, c.want)
		case c.want == "" && (err != nil || !bytes.Equal(res.output, []byte(`"hi"`))):
			t.Errorf("%s: %v, %v", c.what, res, err)
		}
		if inv.Begun != c.begun {
			t.Errorf("%s: resolved %d times, want %d", c.what, inv.Begun, c.begun)
		}
	}
}
