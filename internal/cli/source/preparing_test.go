package source

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// slowCore is a core whose publish takes until done is closed.
type slowCore struct {
	ruedov1connect.UnimplementedServiceServiceHandler
	ruedov1connect.UnimplementedClusterServiceHandler
	done chan struct{}
}

func (c *slowCore) PublishService(ctx context.Context, req *ruedov1.PublishServiceRequest) (*ruedov1.PublishServiceResponse, error) {
	select {
	case <-c.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return &ruedov1.PublishServiceResponse{Service: &ruedov1.Service{Name: req.GetName()}}, nil
}

func (c *slowCore) ListRunners(context.Context, *ruedov1.ListRunnersRequest) (*ruedov1.ListRunnersResponse, error) {
	return &ruedov1.ListRunnersResponse{Items: []*ruedov1.Runner{
		{Id: "edge-1", Preparing: []string{"greet", "words"}},
		{Id: "edge-2", Preparing: []string{"words"}},
		{Id: "edge-3\x1b", Preparing: []string{"greet"}},
	}}, nil
}

// While a publish takes long, the user reads which runners it waits for.
func TestAPublishSaysWhoIsStillCompiling(t *testing.T) {
	core := &slowCore{done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewServiceServiceHandler(core))
	mux.Handle(ruedov1connect.NewClusterServiceHandler(core))
	srv := httptest.NewServer(mux)
	defer srv.Close()

	var log testkit.Log
	s := &session.Session{Ctx: t.Context(), Err: &log}
	type outcome struct {
		res *ruedov1.PublishServiceResponse
		err error
	}
	ended := make(chan outcome, 1)
	go func() {
		res, err := prepare(s, client.New(srv.URL), &ruedov1.PublishServiceRequest{Name: "greet"}, time.Millisecond)
		ended <- outcome{res, err}
	}()
	testkit.Within(t, 10*time.Second, "the runners are named", func() bool {
		return strings.Contains(log.String(), `, still compiling and starting it: edge-1, edge-3\x1b`+"\n")
	})
	close(core.done)
	if o := <-ended; o.err != nil || o.res.GetService().GetName() != "greet" {
		t.Errorf("%v, %v", o.res, o.err)
	}
	if !strings.Contains(log.String(), "preparing on the runners\n") {
		t.Errorf("said %q", log.String())
	}
}
