package peers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// core answers as the core with its id.
type core struct {
	ruedov1connect.UnimplementedClusterServiceHandler
	id   string
	slow bool
}

func (c *core) GetStatus(ctx context.Context, _ *ruedov1.GetStatusRequest) (*ruedov1.GetStatusResponse, error) {
	if c.slow {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &ruedov1.GetStatusResponse{Core: &ruedov1.Core{Id: c.id, CallsPerSecond: 7}}, nil
}

func serve(t *testing.T, c *core) *ruedov1.Core {
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewClusterServiceHandler(c))
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return &ruedov1.Core{Id: c.id, Url: srv.URL}
}

// However many want to know at the same time, each core is asked once; this one
// never.
func TestEachCoreIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cores := map[string]*ruedov1.Core{"self": {Id: "self", Url: "http://self"}}
		for i := range 40 {
			id := fmt.Sprint("core-", i)
			cores[id] = &ruedov1.Core{Id: id, Url: "http://" + id}
		}
		p := New(Config{Cluster: "main", Self: "self"})
		defer p.Close()
		var mu sync.Mutex
		asked := map[string]int{}
		q := NewQuestion(p, func(_ context.Context, id, url string) *ruedov1.Core {
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			asked[id]++
			return &ruedov1.Core{Id: id, Url: url}
		})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if got := q.Ask(t.Context(), cores); len(got) != 40 || got["core-7"].GetUrl() != "http://core-7" {
					t.Errorf("%d have answered", len(got))
				}
			})
		}
		wg.Wait()
		for id := range cores {
			if n, want := asked[id], map[bool]int{true: 0, false: 1}[id == "self"]; n != want {
				t.Errorf("%s was asked %d times, want %d", id, n, want)
			}
		}
	})
}

// A core that does not answer keeps nobody waiting for long, nor a caller that
// goes away, nor Close.
func TestASilentCore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	slow := &core{id: "slow", slow: true}
	cores := map[string]*ruedov1.Core{
		"slow": serve(t, slow), "good": serve(t, &core{id: "good"}), "another": serve(t, &core{id: "other"}),
		"silent": {Id: "silent", Url: "http://" + l.Addr().String()}, "none": {Id: "none"},
	}
	p := New(Config{Cluster: "main", Self: "self"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if got := p.Ask(ctx, cores); len(got) != 0 {
		t.Errorf("%v", got)
	}
	testkit.Eventually(t, "the good one answers", func() bool { // a busy machine can need more than a second for that
		began := time.Now()
		got := p.Ask(t.Context(), cores)
		if took := time.Since(began); took > 10*patience {
			t.Errorf("it took %s", took)
		}
		if len(got) > 1 || len(got) == 1 && got["good"].GetCallsPerSecond() != 7 {
			t.Errorf("%v", got)
		}
		return len(got) == 1
	})
	p.status.mu.Lock()
	p.status.last = nil
	p.status.mu.Unlock()
	p.status.begin(cores)
	p.Close()
	if got := p.Ask(t.Context(), cores); len(got) > 1 {
		t.Errorf("after Close: %v", got)
	}
}
