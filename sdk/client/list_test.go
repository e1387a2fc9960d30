package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// pagedCluster returns lists of cores from its pages: token to page.
type pagedCluster struct {
	ruedov1connect.UnimplementedClusterServiceHandler
	pages map[string]*ruedov1.ListCoresResponse
	asked int
}

func (p *pagedCluster) ListCores(_ context.Context, req *ruedov1.ListCoresRequest) (*ruedov1.ListCoresResponse, error) {
	p.asked++
	page, ok := p.pages[req.GetPageToken()]
	if !ok {
		return nil, faultrpc.ToConnect(fault.New(fault.RequestInvalid, "no page %s", req.GetPageToken()))
	}
	return page, nil
}

func paged(t *testing.T, pages map[string]*ruedov1.ListCoresResponse) (*client.Client, *pagedCluster) {
	t.Helper()
	p := &pagedCluster{pages: pages}
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewClusterServiceHandler(p))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return client.New(srv.URL, client.WithHTTPClient(srv.Client())), p
}

// page holds one core, and the token of the next page if it is not empty.
func page(id, next string) *ruedov1.ListCoresResponse {
	res := &ruedov1.ListCoresResponse{Items: []*ruedov1.Core{{Id: id}}}
	if next != "" {
		res.NextPageToken = &next
	}
	return res
}

func TestListsFollowPages(t *testing.T) {
	c, p := paged(t, map[string]*ruedov1.ListCoresResponse{"": page("a", "2"), "2": {NextPageToken: new("3")}, "3": page("c", "")})
	req := &ruedov1.ListCoresRequest{}
	list := c.ListCores(t.Context(), req)
	for range 2 { // the list can be read again
		all, err := client.All(list)
		if err != nil || len(all) != 2 || all[0].GetId() != "a" || all[1].GetId() != "c" {
			t.Errorf("%v, %v", all, err)
		}
	}
	if req.GetPageToken() != "" {
		t.Error("the caller's request was changed")
	}
	p.asked = 0
	for core, err := range list {
		if err != nil || core.GetId() != "a" {
			t.Fatal(core, err)
		}
		break
	}
	if p.asked != 1 {
		t.Errorf("%d pages were asked for to read one item", p.asked)
	}
}

func TestListsEndAtAnError(t *testing.T) {
	for what, c := range map[string]struct {
		pages map[string]*ruedov1.ListCoresResponse
		want  fault.Reason
	}{
		"a page fails":             {map[string]*ruedov1.ListCoresResponse{"": page("a", "2")}, fault.RequestInvalid},
		"a core that never ends":   {map[string]*ruedov1.ListCoresResponse{"": page("a", "2"), "2": page("b", "2")}, fault.Internal},
		"the first page is broken": {nil, fault.RequestInvalid},
	} {
		cl, _ := paged(t, c.pages)
		var got []string
		for core, err := range cl.ListCores(t.Context(), &ruedov1.ListCoresRequest{}) {
			got = append(got, fmt.Sprint(core.GetId(), err != nil))
			if len(got) > 5 {
				t.Fatalf("%s: it does not end: %v", what, got)
			}
		}
		if _, err := client.All(cl.ListCores(t.Context(), &ruedov1.ListCoresRequest{})); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
}
