package main

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	todov1 "github.com/ruedo-dev/ruedo/examples/todo/todo/v1"
	"github.com/ruedo-dev/ruedo/examples/todo/todo/v1/todov1connect"
	"github.com/ruedo-dev/ruedo/sdk/web"
)

// clients returns a client for each protocol, over HTTP/2.
func clients(t *testing.T) map[string]todov1connect.TodoServiceClient {
	s := web.Test(nil) // the handler that init has registered
	t.Cleanup(s.Close)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	h := &http.Client{Transport: transport}
	return map[string]todov1connect.TodoServiceClient{
		"connect":  todov1connect.NewTodoServiceClient(h, s.URL),
		"json":     todov1connect.NewTodoServiceClient(h, s.URL, connect.WithProtoJSON()),
		"grpc":     todov1connect.NewTodoServiceClient(h, s.URL, connect.WithGRPC()),
		"grpc-web": todov1connect.NewTodoServiceClient(h, s.URL, connect.WithGRPCWeb()),
	}
}

func TestArrange(t *testing.T) {
	for protocol, c := range clients(t) {
		res, err := c.Arrange(t.Context(), &todov1.ArrangeRequest{Tasks: []*todov1.Task{
			{Title: "rest"},
			{Title: "wrap gifts", Due: "2026-12-24"},
			{Title: "buy gifts", Due: "2026-12-20"},
			{Title: "cook", Due: "2026-12-24", Important: true},
			{Title: "read", Important: true},
		}})
		if err != nil {
			t.Errorf("%s: %v", protocol, err)
			continue
		}
		var titles []string
		for _, task := range res.GetTasks() {
			titles = append(titles, task.GetTitle())
		}
		if want := []string{"buy gifts", "cook", "wrap gifts", "read", "rest"}; !slices.Equal(titles, want) {
			t.Errorf("%s: got %q, want %q", protocol, titles, want)
		}
	}
}

func TestArrangeRefuses(t *testing.T) {
	c := clients(t)["grpc"]
	for want, tasks := range map[string][]*todov1.Task{
		"tasks[1]: title is empty":                        {{Title: "rest"}, {Title: " "}},
		`tasks[1]: the list already has "rest"`:           {{Title: "rest"}, {Title: "rest", Due: "2026-12-24"}},
		`tasks[0]: due is "soon"`:                         {{Title: "rest", Due: "soon"}},
		`tasks[0]: due is "2026-02-30": write a day such`: {{Title: "rest", Due: "2026-02-30"}},
	} {
		_, err := c.Arrange(t.Context(), &todov1.ArrangeRequest{Tasks: tasks})
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want invalid_argument with %q", err, want)
		}
	}
}

func add(title string, important bool) *todov1.WorkRequest {
	return &todov1.WorkRequest{Change: &todov1.WorkRequest_Add{Add: &todov1.Task{Title: title, Important: important}}}
}

func done(title string) *todov1.WorkRequest {
	return &todov1.WorkRequest{Change: &todov1.WorkRequest_Done{Done: title}}
}

func TestWork(t *testing.T) {
	for protocol, c := range clients(t) {
		stream, err := c.Work(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			change *todov1.WorkRequest
			next   string
			left   int32
		}{
			{add("rest", false), "rest", 1},
			{add("cook", true), "cook", 2},
			{done("cook"), "rest", 1},
			{done("rest"), "", 0},
		} {
			if err := stream.Send(step.change); err != nil {
				t.Fatal(err)
			}
			res, err := stream.Receive()
			if err != nil || res.GetNext().GetTitle() != step.next || res.GetLeft() != step.left {
				t.Errorf("%s: after %v: got %v, %v; want %q, %d left", protocol, step.change, res, err, step.next, step.left)
			}
		}
		if err := stream.Send(done("sleep")); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Receive(); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: a task that is not there: %v", protocol, err)
		}
		if err := errors.Join(stream.CloseRequest(), stream.CloseResponse()); err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}
