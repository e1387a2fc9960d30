package faultrpc_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// Every reason that is worth a retry says when: in whole seconds in the header of
// HTTP, exactly in the body, and in a RetryInfo of Connect and gRPC.
func TestEveryRefusalSaysWhenToTryAgain(t *testing.T) {
	for _, a := range fault.Areas() {
		for _, r := range a.Reasons {
			e := fault.New(r, "refused").WithRetry(1200 * time.Millisecond)
			worth := r.RetryDelay() > 0

			w := httptest.NewRecorder()
			faultrpc.WriteJSON(w, faultrpc.HTTPStatus(e), e)
			field := w.Header().Get("Retry-After")
			if worth && field != "2" || !worth && field != "" {
				t.Errorf("%s: Retry-After %q", r, field)
			}
			if got, ok := faultrpc.FromHTTP(w.Body.Bytes()); !ok || got.RetryDelay() != e.RetryDelay() {
				t.Errorf("%s: read back from %s", r, w.Body)
			}

			ce := faultrpc.ToConnect(e)
			if info := retryInfo(t, ce); worth != (info != nil) || worth && info.GetRetryDelay().AsDuration() != 1200*time.Millisecond {
				t.Errorf("%s: RetryInfo %v", r, info)
			}
			if got := faultrpc.FromConnect(ce); got.RetryDelay() != e.RetryDelay() || len(got.Details) != 0 {
				t.Errorf("%s: read back as %s, details %v", r, got.RetryDelay(), got.Details)
			}
		}
	}
}

// Delays of a foreign server are bounded.
func TestADelayFromElsewhereIsBounded(t *testing.T) {
	for _, text := range []string{
		`{"reason":"QUEUE_FULL","retry_after_ms":99999999999999999}`, `{"reason":"QUEUE_FULL","retry_after_ms":-5}`,
	} {
		e, ok := faultrpc.FromHTTP([]byte(text))
		if d := e.RetryDelay(); !ok || d <= 0 || d > fault.MaxRetryDelay {
			t.Errorf("%s is read as %s", text, d)
		}
	}
}

func retryInfo(t *testing.T, ce *connect.Error) *errdetails.RetryInfo {
	t.Helper()
	for _, d := range ce.Details() {
		v, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		if info, ok := v.(*errdetails.RetryInfo); ok {
			return info
		}
	}
	return nil
}
