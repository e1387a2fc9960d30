package invoke_test

import (
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// A caller must not consider an executed call safe to repeat.
func TestAnAnswerThatIsNotSentSaysThatTheCallWasExecuted(t *testing.T) {
	refused := fault.New(fault.ServerBusy, "no room").With("limit", "5")
	refused.NotStarted = true
	res := &invoke.Result{Info: &ruedov1.CallInfo{CallId: "c", Logs: []byte(strings.Repeat("a line\n", 10_000))}}
	got := faultrpc.FromConnect(faultrpc.ToConnect(res.Undelivered(refused)))
	if got.Reason != fault.ServerBusy || got.NotStarted || got.Meta["started"] != "yes" || got.Meta["limit"] != "5" {
		t.Errorf("%s, not started %v, %v", got.Reason, got.NotStarted, got.Meta)
	}
	info, ok := fault.Detail[*ruedov1.CallInfo](got)
	if !ok || info.GetCallId() != "c" || len(info.GetLogs()) > 8<<10 {
		t.Errorf("%d bytes of logs, %v", len(info.GetLogs()), ok)
	}
	if len(res.Info.Logs) != 70_000 || refused.Meta["started"] != "" {
		t.Error("what it was made of has changed")
	}
}
