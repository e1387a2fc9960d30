package faultrpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// One side reads back what the other side wrote.
func TestAnErrorCrossesTheWireWhole(t *testing.T) {
	sent := fault.New(fault.InputInvalid, "2 fields are wrong").WithFix("look at what it accepts").With("decorator", "d")
	sent.Fields = []fault.Field{{Path: "a", Description: "is required"}, {Path: "b[0]", Description: "is 3; must be at most 2"}}
	sent.NotStarted = true
	sent.Details = []any{durationpb.New(7)}

	got := faultrpc.FromConnect(faultrpc.ToConnect(fmt.Errorf("deep down: %w", sent)))
	if got.Reason != fault.InputInvalid || got.Code != fault.CodeInvalidArgument || got.Error() != sent.Error() || got.Fix != sent.Fix || !got.NotStarted {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff(sent.Fields, got.Fields); diff != "" {
		t.Error(diff)
	}
	if got.Meta["decorator"] != "d" {
		t.Errorf("meta %v", got.Meta)
	}
	if d, ok := fault.Detail[*durationpb.Duration](got); !ok || d.GetNanos() != 7 {
		t.Errorf("detail %v", d)
	}
	if !errors.Is(got, fault.InputInvalid) || errors.Is(got, fault.InputTooLarge) {
		t.Error("errors.Is finds not its reason, or another")
	}
}

func TestAGuestChoosesItsOwnCode(t *testing.T) {
	e := fault.New(fault.GuestError, "no such order")
	e.Code = fault.CodeNotFound
	got := faultrpc.FromConnect(faultrpc.ToConnect(e))
	if got.Reason != fault.GuestError || got.ConnectCode() != fault.CodeNotFound {
		t.Errorf("%s %s", got.Reason, got.ConnectCode())
	}
}

func TestWhetherACallStartedIsKept(t *testing.T) {
	got := faultrpc.FromConnect(faultrpc.ToConnect(fault.New(fault.RunnerLost, "lost").With("started", "unknown")))
	if got.NotStarted || got.Meta["started"] != "unknown" {
		t.Errorf("not started %v, meta %v", got.NotStarted, got.Meta)
	}
}

func TestErrorsWithoutAReasonTellNothing(t *testing.T) {
	ce := faultrpc.ToConnect(errors.New("password is hunter2"))
	if ce.Code() != connect.CodeInternal || strings.Contains(ce.Error(), "hunter2") {
		t.Errorf("%v", ce)
	}
	for err, want := range map[error]fault.Reason{
		context.Canceled: fault.Canceled,
		fmt.Errorf("x: %w", context.DeadlineExceeded): fault.Deadline,
		fault.NoRunner: fault.NoRunner,
		connect.NewError(connect.CodeUnavailable, nil): fault.CoreUnreachable,
		connect.NewError(connect.CodeDataLoss, nil):    fault.Internal,
	} {
		if got := faultrpc.FromError(err).Reason; got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

// The codes of internal/fault are Connect's, in number and in name.
func TestCodesAreConnects(t *testing.T) {
	for c := range fault.Code(20) {
		if got, want := c.String(), connect.Code(c).String(); got != want {
			t.Errorf("code %d is %s, want %s", c, got, want)
		}
	}
	if fault.CodeCanceled != fault.Code(connect.CodeCanceled) || fault.CodeUnauthenticated != fault.Code(connect.CodeUnauthenticated) {
		t.Error("the first or the last code is another")
	}
}
