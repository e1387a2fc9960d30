package cli

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

// draining is a core on which a runner has three calls, two, one, none.
type draining struct {
	ruedov1connect.UnimplementedCordonServiceHandler
	left atomic.Int32
	// stuck calls do not end.
	stuck bool
}

func (d *draining) CordonRunner(_ context.Context, req *ruedov1.CordonRunnerRequest) (*ruedov1.CordonRunnerResponse, error) {
	return &ruedov1.CordonRunnerResponse{Cordon: &ruedov1.Cordon{Runner: req.GetRunner(), From: req.GetFrom(), Reason: req.GetReason(), CreateTime: timestamppb.Now()}}, nil
}

func (d *draining) GetDrain(_ context.Context, req *ruedov1.GetDrainRequest) (*ruedov1.GetDrainResponse, error) {
	n := max(0, d.left.Add(-1))
	if d.stuck {
		n = 1
	}
	return &ruedov1.GetDrainResponse{
		Runner: req.GetRunner(), ActiveCalls: uint32(n), Cordon: &ruedov1.Cordon{Runner: req.GetRunner()},
		Cores: []*ruedov1.DrainingCore{{Core: "core-1", ActiveCalls: uint32(n), Attached: true}, {Core: "core-2", Unreachable: d.stuck}},
	}, nil
}

// drain runs `ruedo drain` with its stderr on a terminal.
func drain(t *testing.T, d *draining, args ...string) (code int, stdout string, near func(string) string) {
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewCordonServiceHandler(d))
	core := httptest.NewServer(mux)
	defer core.Close()
	s, _, until := onTerminal(t)
	var out bytes.Buffer
	code = Main(t.Context(), Process{
		Args: append([]string{"drain", "edge-1"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: s.Err,
		Env: []string{"HOME=" + t.TempDir(), "RUEDO_CLIENT_HOST=" + core.URL, "RUEDO_APPLICATION_MODE=client"},
	})
	return code, out.String(), until
}

func TestADrainShowsItsProgress(t *testing.T) {
	d := &draining{}
	d.left.Store(4)
	code, out, until := drain(t, d, "--reason", "new disk")
	if code != 0 || !strings.HasPrefix(out, "drained runner edge-1 in ") {
		t.Errorf("exit code %d, %q", code, out)
	}
	text := until("0 calls in flight")
	for _, want := range []string{"\r\x1b[Kdraining edge-1: 3 calls in flight, 0s", "2 calls in flight", "1 call in flight"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
}

func TestADrainEndsWhenItsTimeIsOver(t *testing.T) {
	code, out, until := drain(t, &draining{stuck: true}, "--timeout", "700ms")
	if code != 6 || out != "" {
		t.Errorf("exit code %d, %q", code, out)
	}
	text := until("ruedo uncordon edge-1")
	for _, want := range []string{
		"the runner is not drained after 700ms: 1 call in flight, without those of core-2, which does not answer; it stays cordoned",
		"(runner edge-1)", "ruedo drain edge-1 --timeout 1.4s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
}
