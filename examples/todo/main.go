// Command todo puts tasks in order. It speaks Connect, gRPC and gRPC-Web, and tells
// clients its methods by reflection.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"

	todov1 "github.com/ruedo-dev/ruedo/examples/todo/todo/v1"
	"github.com/ruedo-dev/ruedo/examples/todo/todo/v1/todov1connect"
	"github.com/ruedo-dev/ruedo/sdk/web"
)

func init() {
	mux := http.NewServeMux()
	mux.Handle(todov1connect.NewTodoServiceHandler(server{}))
	reflector := grpcreflect.NewStaticReflector(todov1connect.TodoServiceName)
	mux.Handle(grpcreflect.NewHandlerV1(reflector))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector))
	web.Serve(mux)
}

// server implements the service that todo/v1/todo.proto describes. It has no fields:
// each call begins with clean memory.
type server struct{}

// Arrange checks a list and puts it in order.
func (server) Arrange(_ context.Context, req *todov1.ArrangeRequest) (*todov1.ArrangeResponse, error) {
	var l list
	for i, t := range req.GetTasks() {
		if err := l.add(t); err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("tasks[%d]: %w", i, err))
		}
	}
	return &todov1.ArrangeResponse{Tasks: l}, nil
}

// Work keeps a list for as long as the stream is open.
func (server) Work(_ context.Context, stream *connect.BidiStream[todov1.WorkRequest, todov1.WorkResponse]) error {
	var l list
	for {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch change := req.GetChange().(type) {
		case *todov1.WorkRequest_Add:
			err = l.add(change.Add)
		case *todov1.WorkRequest_Done:
			err = l.done(change.Done)
		default:
			err = errors.New("a change is add or done")
		}
		if err != nil {
			return connect.NewError(connect.CodeInvalidArgument, err)
		}
		res := &todov1.WorkResponse{Left: int32(len(l))}
		if len(l) > 0 {
			res.Next = l[0]
		}
		if err := stream.Send(res); err != nil {
			return err
		}
	}
}

// Natively this serves the handler at http://127.0.0.1:8080: go run .
func main() { web.Main() }
