package client_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// archive answers each request with the next of its answers, and breaks off all but
// the last.
type archive struct {
	mu      sync.Mutex
	asked   []*ruedov1.ListAuditRecordsRequest
	answers [][]int64 // versions
}

func (a *archive) ListAuditRecords(_ context.Context, req *ruedov1.ListAuditRecordsRequest, stream *connect.ServerStream[ruedov1.ListAuditRecordsResponse]) error {
	a.mu.Lock()
	a.asked = append(a.asked, proto.CloneOf(req))
	versions := a.answers[0]
	a.answers = a.answers[1:]
	last := len(a.answers) == 0
	a.mu.Unlock()
	for _, v := range versions {
		if err := stream.Send(&ruedov1.ListAuditRecordsResponse{Items: []*ruedov1.AuditRecord{{Version: v}}}); err != nil {
			return err
		}
	}
	if !last {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// A stream that breaks off goes on at the next core, after what was received.
func TestTheAuditIsReadOn(t *testing.T) {
	a := &archive{answers: [][]int64{{3, 5}, {8}}}
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewAuditServiceHandler(a))
	var urls string
	for range 2 {
		srv := httptest.NewServer(mux)
		srv.Config.ErrorLog = discard()
		t.Cleanup(srv.Close)
		urls += srv.URL + " "
	}
	c := client.New(urls, client.WithCluster("one"))
	var got []int64
	for items, err := range c.ReadAudit(t.Context(), &ruedov1.ListAuditRecordsRequest{Newest: 10, By: "ada"}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range items {
			got = append(got, r.GetVersion())
		}
	}
	if !slices.Equal(got, []int64{3, 5, 8}) {
		t.Errorf("read %v", got)
	}
	if len(a.asked) != 2 || a.asked[1].GetAfter() != 5 || a.asked[1].GetNewest() != 0 || a.asked[1].GetBy() != "ada" {
		t.Errorf("asked %v", a.asked)
	}
}
