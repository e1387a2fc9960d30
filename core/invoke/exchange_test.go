package invoke_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/invoke"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// kinds returns an invoker for a service of each kind.
func kinds(ex executor.Func, observe func(*catalog.Entry, fault.Reason, time.Duration, *ruedov1.CallInfo)) *invoke.Invoker {
	m := coretest.NewMirror()
	var services []*ruedov1.Service
	for name, kind := range map[string]ruedov1.Kind{
		"function": ruedov1.Kind_KIND_FUNCTION, "command": ruedov1.Kind_KIND_COMMAND, "http": ruedov1.Kind_KIND_HTTP,
	} {
		s := coretest.Service(name, 1)
		s.Revision.Kind = kind
		services = append(services, s)
	}
	m.Set(nil, services...)
	return invoke.New(invoke.Config{Catalog: catalog.New(catalog.Config{Mirror: m, Executor: ex}), Observe: observe})
}

func TestAnExchangePassesWhatStreams(t *testing.T) {
	var outcomes []fault.Reason
	fail := false
	inv := kinds(func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		x := executor.ExchangeOf(ctx)
		if x == nil || string(req.GetHead()) != "head" || string(req.GetInput()) != "first" || req.GetCallId() != "c-1" {
			t.Errorf("%v %v", x, req)
		}
		x.Respond([]byte("answer"), strings.NewReader("body"))
		if fail {
			return nil, fault.New(fault.GuestTrap, "it trapped")
		}
		return &runnerv1.ExecuteResponse{Streamed: true, Trailers: []byte("trailers"), Info: &ruedov1.CallInfo{Runner: "r"}}, nil
	}, func(_ *catalog.Entry, outcome fault.Reason, _ time.Duration, _ *ruedov1.CallInfo) {
		outcomes = append(outcomes, outcome)
	})
	call, err := inv.Begin(coretest.Context(t), "http")
	if err != nil {
		t.Fatal(err)
	}
	streamed := ""
	request := invoke.Request{ID: "c-1", Head: []byte("head"), Body: []byte("first"), Exchange: &executor.Exchange{Respond: func(head []byte, body io.Reader) {
		b, _ := io.ReadAll(body)
		streamed = string(head) + string(b)
	}}}
	res, err := call.Exchange(t.Context(), request)
	if err != nil || !res.Streamed || string(res.Trailers) != "trailers" || streamed != "answerbody" || res.Info.GetCallId() != "c-1" || res.Info.GetRevision() != 1 {
		t.Errorf("%+v %v, streamed %q", res, err, streamed)
	}
	fail = true
	_, err = call.Exchange(t.Context(), request)
	if info, ok := fault.Detail[*ruedov1.CallInfo](err); !errors.Is(err, fault.GuestTrap) || !ok || info.GetCallId() != "c-1" {
		t.Errorf("%v", err)
	}
	if len(outcomes) != 2 || outcomes[0] != "" || outcomes[1] != fault.GuestTrap {
		t.Errorf("counted as %q", outcomes)
	}
}

func TestEachKindIsAskedInItsOwnWay(t *testing.T) {
	inv := kinds(func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		t.Error("the service was executed")
		return nil, io.EOF
	}, nil)
	for name, fix := range map[string]string{"function": "/call/function", "command": "/call/command", "http": "/svc/http/"} {
		call, err := inv.Begin(coretest.Context(t), name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "http" {
			_, err = call.Do(t.Context(), invoke.Input{})
		} else {
			_, err = call.Exchange(t.Context(), invoke.Request{Exchange: &executor.Exchange{}})
		}
		e := fault.FromError(err)
		if e.Reason != fault.WrongKind || !e.NotStarted || !strings.Contains(e.Message, name) || !strings.Contains(e.Fix, fix) {
			t.Errorf("%s: %s %v, fix %q", name, e.Reason, e, e.Fix)
		}
	}
}
