package peers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// core answers as the core with its id.
type core struct {
	ruedov1connect.UnimplementedClusterServiceHandler
	id    string
	asked atomic.Int64
	slow  bool
}

func (c *core) GetStatus(ctx context.Context, _ *ruedov1.GetStatusRequest) (*ruedov1.GetStatusResponse, error) {
	c.asked.Add(1)
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
	self := &core{id: "self"}
	cores := map[string]*ruedov1.Core{"self": serve(t, self)}
	var others []*core
	for i := range 40 {
		c := &core{id: fmt.Sprint("core-", i)}
		others, cores[c.id] = append(others, c), serve(t, c)
	}
	p := New(Config{Cluster: "main", Self: "self"})
	defer p.Close()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := p.Ask(t.Context(), cores); len(got) != len(others) || got["core-7"].GetCallsPerSecond() != 7 {
				t.Errorf("%d have answered", len(got))
			}
		})
	}
	wg.Wait()
	for _, c := range others {
		if n := c.asked.Load(); n != 1 {
			t.Errorf("%s was asked %d times", c.id, n)
		}
	}
	if self.asked.Load() != 0 {
		t.Error("it has asked itself")
	}
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
	began := time.Now()
	if got := p.Ask(t.Context(), cores); len(got) != 1 || got["good"] == nil {
		t.Errorf("%v", got)
	}
	if took := time.Since(began); took > 10*patience {
		t.Errorf("it took %s", took)
	}
	p.status.mu.Lock()
	p.status.last = nil
	p.status.mu.Unlock()
	p.status.begin(cores)
	p.Close()
	if got := p.Ask(t.Context(), cores); len(got) > 1 {
		t.Errorf("after Close: %v", got)
	}
}
