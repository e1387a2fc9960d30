package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// fakeCore answers calls with its name, and counts them.
type fakeCore struct {
	ruedov1connect.UnimplementedInvokeServiceHandler
	ruedov1connect.UnimplementedClusterServiceHandler
	ruedov1connect.UnimplementedServiceServiceHandler
	name, cluster string
	srv           *httptest.Server
	known         []*http.Transport
	calls, asked  atomic.Int64
	// refuse is the error of all calls, or of the first one with once; hangUp breaks
	// off all requests.
	refuse     atomic.Pointer[fault.Error]
	once       atomic.Bool
	hangUp     atomic.Bool
	takesInput atomic.Bool // of calls that it refuses, too
	// refuseReads is the error of GetService, and reads counts its requests.
	refuseReads atomic.Pointer[fault.Error]
	reads       atomic.Int64

	mu       sync.Mutex
	required []string // the field of each request
	written  string
}

// refusal returns the error of a call; nil if it is answered.
func (f *fakeCore) refusal() *fault.Error {
	if f.once.Load() {
		return f.refuse.Swap(nil)
	}
	return f.refuse.Load()
}

func (f *fakeCore) Invoke(_ context.Context, req *ruedov1.InvokeRequest) (*ruedov1.InvokeResponse, error) {
	f.calls.Add(1)
	if e := f.refusal(); e != nil {
		return nil, faultrpc.ToConnect(e)
	}
	return &ruedov1.InvokeResponse{Payload: &ruedov1.InvokeResponse_Bytes{Bytes: []byte(f.name)}}, nil
}

func (f *fakeCore) GetStatus(context.Context, *ruedov1.GetStatusRequest) (*ruedov1.GetStatusResponse, error) {
	f.asked.Add(1)
	return &ruedov1.GetStatusResponse{ClusterId: f.cluster, Core: &ruedov1.Core{Id: f.name}}, nil
}

func (f *fakeCore) GetService(context.Context, *ruedov1.GetServiceRequest) (*ruedov1.GetServiceResponse, error) {
	f.reads.Add(1)
	if e := f.refuseReads.Load(); e != nil {
		return nil, faultrpc.ToConnect(e)
	}
	return &ruedov1.GetServiceResponse{}, nil
}

func (f *fakeCore) RollbackService(ctx context.Context, _ *ruedov1.RollbackServiceRequest) (*ruedov1.RollbackServiceResponse, error) {
	info, _ := connect.CallInfoForHandlerContext(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	info.ResponseHeader().Set("Ruedo-Store-Revision", f.written)
	return &ruedov1.RollbackServiceResponse{}, nil
}

// newCore starts a core of cluster "one".
func newCore(t *testing.T, name string) *fakeCore {
	f := &fakeCore{name: name, cluster: "one"}
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewInvokeServiceHandler(f))
	mux.Handle(ruedov1connect.NewClusterServiceHandler(f))
	mux.Handle(ruedov1connect.NewServiceServiceHandler(f))
	mux.HandleFunc("POST /call/{service}", func(w http.ResponseWriter, r *http.Request) {
		f.calls.Add(1)
		if e := f.refusal(); e != nil {
			if f.takesInput.Load() {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			faultrpc.WriteError(w, r, e, false)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %d", f.name, n)
	})
	f.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.required = append(f.required, strings.Join(r.Header["Ruedo-Min-Revision"], "|"))
		f.mu.Unlock()
		if f.hangUp.Load() {
			panic(http.ErrAbortHandler)
		}
		if c := r.Header.Get("Ruedo-Cluster"); c != "" && c != f.cluster {
			e := fault.New(fault.ClusterMismatch, "the request is for cluster %q, this core belongs to %q", c, f.cluster)
			faultrpc.WriteError(w, r, e, false)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.srv.Close)
	return f
}

func several(t *testing.T, list ...*fakeCore) *client.Client {
	var urls []string
	transport := &http.Transport{ExpectContinueTimeout: time.Minute} // so that a call that is refused is not sent
	t.Cleanup(transport.CloseIdleConnections)
	for _, f := range list {
		urls = append(urls, f.srv.URL)
		f.known = append(f.known, transport)
	}
	return client.New(strings.Join(urls, ", "), client.WithHTTPClient(&http.Client{Transport: transport}), client.WithRetries(0))
}

// stop ends a core. Its clients know that their connections are closed.
func (f *fakeCore) stop() {
	f.srv.Close()
	for _, transport := range f.known {
		transport.CloseIdleConnections()
	}
}

// who calls a service and returns the name of the core that answered.
func who(t *testing.T, c *client.Client) string {
	t.Helper()
	res, err := c.Call(t.Context(), "echo", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	return string(res.Output)
}

func TestTheNextCoreAnswersWhenOneIsGone(t *testing.T) {
	a, b, c := newCore(t, "a"), newCore(t, "b"), newCore(t, "c")
	cl := several(t, a, b, c)
	if got := who(t, cl); got != "a" || cl.URL() != a.srv.URL {
		t.Errorf("%s answered, the URL is %s", got, cl.URL())
	}
	a.stop()
	for range 3 {
		if got := who(t, cl); got != "b" || cl.URL() != b.srv.URL {
			t.Errorf("%s answered, the URL is %s", got, cl.URL())
		}
	}
	b.stop()
	large := bytes.Repeat([]byte("x"), 2<<20)
	if res, err := cl.Call(t.Context(), "echo", large); err != nil || string(res.Output) != fmt.Sprintf("c %d", len(large)) {
		t.Errorf("a large call: %v, %v", res, err)
	}
	// A body that can be read once is sent to the core that is there.
	cl = several(t, a, b, c)
	s, err := cl.Stream(t.Context(), "echo", io.MultiReader(bytes.NewReader(large)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Body.Close()
	if out, err := io.ReadAll(s.Body); err != nil || string(out) != fmt.Sprintf("c %d", len(large)) {
		t.Errorf("a stream: %q, %v", out, err)
	}
	if n := c.asked.Load(); n != 1 {
		t.Errorf("the cluster was asked for %d times at the last core, want once", n)
	}
}

// A stream of messages finds the core that is there too.
func TestAnUploadFindsTheCoreThatIsThere(t *testing.T) {
	gone := newCore(t, "a")
	gone.srv.Close()
	mods := &modules{stored: map[string][]byte{}}
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewModuleServiceHandler(mods))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	cl := newClient(t, gone.srv.URL+" "+srv.URL)
	stream, err := cl.Modules.UploadModule(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wasm := []byte("module")
	for _, part := range []*ruedov1.UploadModuleRequest{
		{Part: &ruedov1.UploadModuleRequest_Head{Head: &ruedov1.UploadHead{Digest: client.Digest(wasm)}}},
		{Part: &ruedov1.UploadModuleRequest_Data{Data: wasm}},
	} {
		if err := stream.Send(part); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.CloseAndReceive(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(mods.stored[client.Digest(wasm)], wasm) {
		t.Error("the module is not there")
	}
}

// A call whose connection breaks after it was sent may have been executed. A
// request that only reads goes to the next core.
func TestACallThatMayHaveBegunIsNotSentAgain(t *testing.T) {
	a, b := newCore(t, "a"), newCore(t, "b")
	cl := several(t, a, b)
	who(t, cl)
	a.hangUp.Store(true)
	_, err := cl.Call(t.Context(), "echo", nil)
	if !errors.Is(err, fault.CoreUnreachable) || client.Explain(err).NotStarted || !strings.Contains(err.Error(), a.srv.URL) || b.calls.Load() != 0 {
		t.Fatalf("%v, %d calls at the other core", err, b.calls.Load())
	}
	if got := who(t, cl); got != "b" {
		t.Errorf("then %s answered", got)
	}
	cl = several(t, a, b)
	status, err := cl.Cluster.GetStatus(t.Context(), &ruedov1.GetStatusRequest{})
	if err != nil || status.GetCore().GetId() != "b" {
		t.Errorf("%v, %v", status, err)
	}
}

// A core that refuses a call because of itself is passed over; one that refuses
// because of the call is not.
func TestRefusals(t *testing.T) {
	refusal := func(r fault.Reason, started bool) *fault.Error {
		e := fault.New(r, "refused")
		e.NotStarted = !started
		return e
	}
	for _, tt := range []struct {
		err   *fault.Error
		again bool
	}{
		{refusal(fault.CoreBehind, false), true},
		{refusal(fault.CoreUnreachable, false), true}, // it is shutting down
		{refusal(fault.CoreUnreachable, true), false},
		{refusal(fault.NoRunner, false), false},
		{refusal(fault.QueueFull, false), false},
		{refusal(fault.InputInvalid, false), false},
	} {
		for _, size := range []int{1, 2 << 20} {
			a, b := newCore(t, "a"), newCore(t, "b")
			cl := several(t, a, b)
			a.refuse.Store(tt.err)
			_, err := cl.Call(t.Context(), "echo", make([]byte, size))
			if tt.again != (err == nil) || tt.again != (b.calls.Load() == 1) || a.calls.Load() != 1 {
				t.Errorf("%s, not started %v, %d bytes: %v; %d and %d calls", tt.err.Reason, tt.err.NotStarted, size, err, a.calls.Load(), b.calls.Load())
			}
		}
	}
	// All cores are asked once.
	a, b := newCore(t, "a"), newCore(t, "b")
	a.refuse.Store(refusal(fault.CoreBehind, false))
	b.refuse.Store(refusal(fault.CoreBehind, false))
	if _, err := several(t, a, b).Call(t.Context(), "echo", nil); !errors.Is(err, fault.CoreBehind) || a.calls.Load() != 1 || b.calls.Load() != 1 {
		t.Errorf("%v; %d and %d calls", err, a.calls.Load(), b.calls.Load())
	}
}

func TestCoresOfDifferentClusters(t *testing.T) {
	a, b := newCore(t, "a"), newCore(t, "b")
	b.cluster = "two"
	cl := several(t, a, b)
	who(t, cl)
	a.stop()
	for range 2 {
		_, err := cl.Call(t.Context(), "echo", nil)
		if errors.Is(err, fault.CoreUnreachable) {
			continue // it began with a again, which is gone
		}
		for _, says := range []string{`"one"`, `"two"`, b.srv.URL} {
			if !errors.Is(err, fault.ClusterMismatch) || !strings.Contains(err.Error(), says) {
				t.Errorf("%v; want CLUSTER_MISMATCH and %s", err, says)
			}
		}
	}
	if n := b.calls.Load(); n != 0 {
		t.Errorf("%d calls went to the other cluster", n)
	}
}

func TestNoCoreAnswers(t *testing.T) {
	var urls []string
	for range 10 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, "http://"+l.Addr().String())
		l.Close()
	}
	cl := newClient(t, strings.Join(urls, " "))
	for _, call := range []func() error{
		func() error { _, err := cl.Call(t.Context(), "echo", nil); return err },
		func() error { _, err := cl.Call(t.Context(), "echo", make([]byte, 2<<20)); return err },
		func() error { _, err := cl.Upload(t.Context(), []byte("x"), nil); return err },
		func() error {
			_, err := client.All(cl.ListServices(t.Context(), &ruedov1.ListServicesRequest{}))
			return err
		},
	} {
		err := call()
		check(t, "ten cores", err, "connection refused; and at 2 more")
		if p := client.Explain(err); !p.NotStarted || strings.Count(p.Message, "refused") != 8 {
			t.Errorf("%+v", p)
		}
	}
}

// A core that does not even refuse costs a part of the time to connect.
func TestASilentCoreCostsAPartOfTheTime(t *testing.T) {
	b := newCore(t, "b")
	// Packets to this network are dropped, or there is no route.
	cl := client.New("http://192.0.2.1:9 " + b.srv.URL)
	began := time.Now()
	if got := who(t, cl); got != "b" {
		t.Errorf("%s answered", got)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	b.srv.CloseClientConnections()
}

func TestRevisionsTravelWithTheClient(t *testing.T) {
	a := newCore(t, "a")
	var changes []string
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	cl := client.New(a.srv.URL, client.WithHTTPClient(&http.Client{Transport: tr}),
		client.WithMinRevision("nonsense, 7@other 5@"), client.WithRevisionFunc(func(r string) { changes = append(changes, r) }))
	write := func(answer string) {
		a.mu.Lock()
		a.written = answer
		a.mu.Unlock()
		if _, err := cl.Services.RollbackService(t.Context(), &ruedov1.RollbackServiceRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	last := func() string {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.required[len(a.required)-1]
	}
	who(t, cl)
	if last() != "7@other" {
		t.Errorf("the first request requires %q", last())
	}
	for _, answer := range []string{"12@one", "11@one", "", "13@one"} {
		write(answer)
	}
	for _, size := range []int{1, 2 << 20} {
		if _, err := cl.Call(t.Context(), "echo", make([]byte, size)); err != nil || last() != "13@one,7@other" || cl.Revision() != last() {
			t.Errorf("a call of %d bytes requires %q, %v", size, last(), err)
		}
	}
	if got := strings.Join(changes, " "); got != "12@one,7@other 13@one,7@other" {
		t.Errorf("changes: %s", got)
	}
	// What a restored store has lost is not required for ever.
	a.refuse.Store(fault.New(fault.StoreBehind, "lost"))
	if _, err := cl.Call(t.Context(), "echo", nil); !errors.Is(err, fault.StoreBehind) || cl.Revision() != "" || last() != "" || changes[len(changes)-1] != "" {
		t.Errorf("%v, then %q is required", err, last())
	}
	for i := range 40 {
		write(fmt.Sprintf("%d@store%d", 1<<60, i))
	}
	if n := strings.Count(cl.Revision(), "@"); n != 16 || len(cl.Revision()) > 512 {
		t.Errorf("%d stores are remembered, in %d bytes", n, len(cl.Revision()))
	}
}

func TestMalformedAddresses(t *testing.T) {
	for _, tt := range []struct{ url, says string }{
		{"", "no core is named"},
		{" , ", "no core is named"},
		{"ftp://a", `"ftp://a" is not a core`},
		{"http://a http://", `"http://" is not a core`},
		{"http://u:secret@%zz", "is not a URL"},
		{strings.TrimSpace(strings.Repeat("a ", 3)) + " b:99999999:1", "is not a URL"},
	} {
		c := client.New(tt.url)
		for _, size := range []int{1, 2 << 20} {
			_, err := c.Call(t.Context(), "echo", make([]byte, size))
			if !errors.Is(err, fault.RequestInvalid) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", tt.url, err)
			}
		}
	}
	var many []string
	for i := range 33 {
		many = append(many, fmt.Sprintf("core-%d", i))
	}
	if _, err := client.New(strings.Join(many, ",")).Call(t.Context(), "echo", nil); err == nil || !strings.Contains(err.Error(), "more than 32 cores") {
		t.Errorf("%v", err)
	}
}
