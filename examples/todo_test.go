package examples_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	todov1 "github.com/ruedo-dev/ruedo/examples/todo/todo/v1"
	"github.com/ruedo-dev/ruedo/examples/todo/todo/v1/todov1connect"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

func todo(t *testing.T, c *ruedotest.Cluster) {
	publish(t, c, "todo")
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	h2 := &http.Client{Transport: transport}
	t.Run("typed", func(t *testing.T) {
		// A client of gRPC knows no prefix, so it comes by the route.
		todoTyped(t, todov1connect.NewTodoServiceClient(h2, c.URL+"/svc/todo"))
		todoTyped(t, todov1connect.NewTodoServiceClient(h2, c.URL, connect.WithGRPC()))
	})
	t.Run("reflection", func(t *testing.T) { todoReflected(t, h2, c.URL+"/svc/todo") })
	t.Run("curl", func(t *testing.T) { todoCurled(t, c) })
}

// todoTyped calls both methods with the client that is made of the proto.
func todoTyped(t *testing.T, client todov1connect.TodoServiceClient) {
	t.Helper()
	res, err := client.Arrange(t.Context(), &todov1.ArrangeRequest{Tasks: []*todov1.Task{{Title: "rest"}, {Title: "cook", Due: "2026-12-24"}}})
	if err != nil || len(res.GetTasks()) != 2 || res.GetTasks()[0].GetTitle() != "cook" {
		t.Errorf("got %v, %v", res, err)
	}
	_, err = client.Arrange(t.Context(), &todov1.ArrangeRequest{Tasks: []*todov1.Task{{}}})
	if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "tasks[0]: title is empty") {
		t.Errorf("a task without a title: %v", err)
	}
	// Each stream has a list of its own.
	for range 2 {
		stream, err := client.Work(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for n, title := range []string{"rest", "cook"} {
			if err := stream.Send(&todov1.WorkRequest{Change: &todov1.WorkRequest_Add{Add: &todov1.Task{Title: title}}}); err != nil {
				t.Fatal(err)
			}
			if res, err := stream.Receive(); err != nil || res.GetNext().GetTitle() != "rest" || int(res.GetLeft()) != n+1 {
				t.Errorf("got %v, %v", res, err)
			}
		}
		if err := stream.CloseRequest(); err != nil {
			t.Error(err)
		}
		if err := stream.CloseResponse(); err != nil {
			t.Error(err)
		}
	}
}

// todoReflected does what grpcurl does: it learns of the service from the service.
func todoReflected(t *testing.T, h2 *http.Client, url string) {
	asked := grpcreflect.NewClient(h2, url).NewStream(t.Context())
	services, err := asked.ListServices()
	if err != nil || len(services) != 1 {
		t.Fatalf("services %v, %v", services, err)
	}
	files, err := asked.FileContainingSymbol(services[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := asked.Close(); err != nil {
		t.Error(err)
	}
	known, err := protodesc.NewFiles(&descriptorpb.FileDescriptorSet{File: files})
	if err != nil {
		t.Fatal(err)
	}
	found, err := known.FindDescriptorByName(services[0])
	if err != nil {
		t.Fatal(err)
	}
	method := found.(protoreflect.ServiceDescriptor).Methods().ByName("Arrange")
	in := dynamicpb.NewMessage(method.Input())
	if err := protojson.Unmarshal([]byte(`{"tasks":[{"title":"rest"},{"title":"read","important":true}]}`), in); err != nil {
		t.Fatal(err)
	}
	client := connect.NewClient[dynamicpb.Message, dynamicpb.Message](h2, url+"/"+string(services[0])+"/Arrange", connect.WithGRPC(), connect.WithSchema(method),
		connect.WithResponseInitializer(func(_ connect.Spec, message any) error {
			*message.(*dynamicpb.Message) = *dynamicpb.NewMessage(method.Output())
			return nil
		}))
	res, err := client.CallUnary(t.Context(), connect.NewRequest(in))
	if err != nil {
		t.Fatal(err)
	}
	if text := res.Msg.String(); !strings.Contains(text, "read") || strings.Index(text, "read") > strings.Index(text, "rest") {
		t.Errorf("got %s", text)
	}
}

// todoCurled sends the plain JSON that the README shows.
func todoCurled(t *testing.T, c *ruedotest.Cluster) {
	for body, want := range map[string]string{
		`{"tasks":[{"title":"rest"},{"title":"cook","due":"2026-12-24"}]}`: `{"tasks":[{"title":"cook","due":"2026-12-24"},{"title":"rest"}]}`,
		`{"tasks":[{"title":"rest","due":"soon"}]}`:                        `{"code":"invalid_argument","message":"tasks[0]: due is \"soon\": write a day such as 2026-12-24"}`,
	} {
		res, err := c.HTTP.Post(c.URL+"/svc/todo/todo.v1.TodoService/Arrange", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil || strings.ReplaceAll(string(got), `", "`, `","`) != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
}
