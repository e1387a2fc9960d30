package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// logService sends three messages, and then fails if it is asked for "bad".
type logService struct{}

func (logService) ReadLogs(_ context.Context, req *ruedov1.ReadLogsRequest, stream *connect.ServerStream[ruedov1.ReadLogsResponse]) error {
	for _, text := range []string{"a", "b", "c"} {
		if err := stream.Send(&ruedov1.ReadLogsResponse{Entries: []*ruedov1.LogEntry{{Runner: "r", Text: text}}}); err != nil {
			return err
		}
	}
	if req.GetService() == "bad" {
		return faultrpc.ToConnect(fault.New(fault.ServerBusy, "busy"))
	}
	return nil
}

func TestReadLogs(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewLogServiceHandler(logService{}))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	c := newClient(t, s.URL)
	for _, tt := range []struct {
		req   *ruedov1.ReadLogsRequest
		stop  string // leaves the loop at this text
		texts string
		err   error
	}{
		{&ruedov1.ReadLogsRequest{Service: "good"}, "", "abc", nil},
		{&ruedov1.ReadLogsRequest{Service: "good"}, "b", "ab", nil},
		{&ruedov1.ReadLogsRequest{Service: "bad"}, "", "abc", fault.ServerBusy},
		// A core that ends a stream early is not asked again and again.
		{&ruedov1.ReadLogsRequest{Service: "good", Follow: true}, "", "abc", nil},
	} {
		texts := ""
		var got error
		for res, err := range c.ReadLogs(t.Context(), tt.req) {
			if got = err; err != nil {
				continue
			}
			texts += res.GetEntries()[0].GetText()
			if texts[len(texts)-1:] == tt.stop {
				break
			}
		}
		if texts != tt.texts || !errors.Is(got, tt.err) || tt.req.GetAfter() != nil {
			t.Errorf("%v: %q, %v", tt.req, texts, got)
		}
	}
}
