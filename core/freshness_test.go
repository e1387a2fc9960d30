package core_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/freshness"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// link forwards connections to a server. While it is held, nothing passes, and
// nobody is told.
type link struct {
	addr string
	mu   sync.RWMutex // held by those who forward, and by hold
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{addr: l.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			mu.Lock()
			open = append(open, near, far)
			mu.Unlock()
			wg.Go(func() { k.forward(far, near) })
			wg.Go(func() { k.forward(near, far) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return k
}

func (k *link) forward(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		k.mu.RLock()
		_, wrong := to.Write(b[:n])
		k.mu.RUnlock()
		if err != nil || wrong != nil {
			return
		}
	}
}

// hold holds the link until release is called.
func (k *link) hold() (release func()) {
	k.mu.Lock()
	return sync.OnceFunc(k.mu.Unlock)
}

// revisionAt returns the revision that a call through a client executes.
func revisionAt(t *testing.T, c *client.Client) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	res, err := c.Call(ctx, "echo", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	return res.Info.GetRevision()
}

// curl calls a service over plain HTTP and returns the revision that was executed,
// or the error.
func curl(t *testing.T, c *ruedotest.Cluster, minimum string) (revision string, e *fault.Error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", c.URL+"/call/echo", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(headers.MinRevision, minimum)
	res, err := c.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		e, ok := faultrpc.FromHTTP(body)
		if !ok {
			t.Fatalf("%s", body)
		}
		return "", e
	}
	return res.Header.Get("Ruedo-Revision"), nil
}

// twoCores starts two cores on one store, which the second one reaches over a
// link.
func twoCores(t *testing.T) (one, two *ruedotest.Cluster, l *link) {
	t.Helper()
	etcd := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	l = newLink(t, etcd.Endpoint())
	one = ruedotest.New(t, ruedotest.Options{Etcd: etcd, Local: true})
	two = ruedotest.New(t, ruedotest.Options{Etcd: etcd, Local: true, Hosts: []string{l.addr}})
	testkit.Eventually(t, "both have joined", func() bool {
		list, err := client.All(one.Client.ListCores(t.Context(), &ruedov1.ListCoresRequest{}))
		return err == nil && len(list) == 2
	})
	return one, two, l
}

func clientOf(t *testing.T, urls string, opts ...client.Option) *client.Client {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return client.New(urls, append(opts, client.WithHTTPClient(&http.Client{Transport: tr}))...)
}

// A publish that was acknowledged at one core is seen by every call that follows,
// at another core whose mirror is held back too.
func TestReadYourPublishAtAnotherCore(t *testing.T) {
	one, two, link := twoCores(t)
	publishEcho(t, one, &ruedov1.PublishServiceRequest{})
	if got := revisionAt(t, clientOf(t, two.URL, client.WithMinRevision(one.Client.Revision()))); got != 1 {
		t.Fatalf("the other core executed revision %d", got)
	}

	release := link.hold()
	defer release()
	publishEcho(t, one, &ruedov1.PublishServiceRequest{Args: []string{"second"}})
	seen := one.Client.Revision()
	if got := revisionAt(t, clientOf(t, two.URL)); got != 1 {
		t.Errorf("the held core executed revision %d for a caller who requires nothing", got)
	}
	began := time.Now()
	_, err := clientOf(t, two.URL, client.WithMinRevision(seen)).Call(t.Context(), "echo", []byte("{}"))
	wantReason(t, err, fault.CoreBehind, "this core has seen revision", "another core")
	if took := time.Since(began); took < freshness.MaxWait || took > testkit.Patience {
		t.Errorf("it was refused after %s", took)
	}
	if !client.Explain(err).NotStarted {
		t.Error("a call that waited in vain has not started")
	}
	if _, e := curl(t, two, seen); e == nil || e.Reason != fault.CoreBehind {
		t.Errorf("plain HTTP: %v", e)
	}
	_, err = clientOf(t, two.URL, client.WithMinRevision(seen)).Services.GetService(t.Context(), &ruedov1.GetServiceRequest{Name: "echo"})
	wantReason(t, err, fault.CoreBehind)

	// A client of both goes to the one that is not behind.
	both := clientOf(t, two.URL+" "+one.URL, client.WithMinRevision(seen))
	if got := revisionAt(t, both); got != 2 || both.URL() != one.URL {
		t.Errorf("revision %d from %s", got, both.URL())
	}

	// Those who wait when the mirror moves again get what they wait for.
	executed := make(chan uint64, 1)
	go func() {
		res, err := clientOf(t, two.URL, client.WithMinRevision(seen)).Call(context.WithoutCancel(t.Context()), "echo", []byte("{}"))
		for errors.Is(err, fault.CoreBehind) { // the machine is slow
			res, err = clientOf(t, two.URL, client.WithMinRevision(seen)).Call(context.WithoutCancel(t.Context()), "echo", []byte("{}"))
		}
		if err != nil {
			t.Error(err)
		}
		executed <- res.Info.GetRevision()
	}()
	release()
	if got := <-executed; got != 2 {
		t.Errorf("revision %d", got)
	}
	if got, e := curl(t, two, seen); e != nil || got != "2" {
		t.Errorf("plain HTTP: revision %s, %v", got, e)
	}
}

// Every write carries the revision, whichever it is, also one that changed
// nothing.
func TestEveryWriteCarriesItsRevision(t *testing.T) {
	one, two, _ := twoCores(t)
	digest, err := one.Client.Upload(t.Context(), ruedotest.Echo(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := clientOf(t, one.URL)
	at := func() int64 {
		number, _, _ := strings.Cut(c.Revision(), "@")
		n, _ := strconv.ParseInt(number, 10, 64) // 0 before the first write
		return n
	}
	ctx := t.Context()
	d := &ruedov1.Decorator{Name: "d", Limits: quick}
	publish := func(args ...string) error {
		_, err := c.Services.PublishService(ctx, &ruedov1.PublishServiceRequest{Name: "echo", Module: digest, Args: args})
		return err
	}
	for _, step := range []struct {
		what  string
		write func() error
		moves bool
	}{
		{"create decorator", func() error {
			_, err := c.Decorators.CreateDecorator(ctx, &ruedov1.CreateDecoratorRequest{Decorator: d})
			return err
		}, true},
		{"update decorator", func() error {
			_, err := c.Decorators.UpdateDecorator(ctx, &ruedov1.UpdateDecoratorRequest{Decorator: &ruedov1.Decorator{Name: "d"}})
			return err
		}, true},
		{"roll back decorator", func() error {
			_, err := c.Decorators.RollbackDecorator(ctx, &ruedov1.RollbackDecoratorRequest{Name: "d"})
			return err
		}, true},
		{"publish", func() error { return publish() }, true},
		{"publish again", func() error { return publish() }, false},
		{"publish another", func() error { return publish("x") }, true},
		{"roll back", func() error {
			_, err := c.Services.RollbackService(ctx, &ruedov1.RollbackServiceRequest{Name: "echo"})
			return err
		}, true},
		{"delete service", func() error {
			_, err := c.Services.DeleteService(ctx, &ruedov1.DeleteServiceRequest{Name: "echo"})
			return err
		}, true},
		{"delete decorator", func() error {
			_, err := c.Decorators.DeleteDecorator(ctx, &ruedov1.DeleteDecoratorRequest{Name: "d"})
			return err
		}, true},
	} {
		before := at()
		if err := step.write(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if after := at(); after < before || step.moves && after == before {
			t.Errorf("%s: revision %d, %d before", step.what, after, before)
		}
	}
	list, err := client.All(clientOf(t, two.URL, client.WithMinRevision(c.Revision())).ListDecorators(ctx, &ruedov1.ListDecoratorsRequest{}))
	if err != nil || len(list) != 0 {
		t.Errorf("the other core has %v, %v", list, err)
	}
}

// A revision that the store has lost is not required for ever, and one of another
// store is not required at all.
func TestARevisionThatTheStoreDoesNotHave(t *testing.T) {
	one, _, _ := twoCores(t)
	publishEcho(t, one, &ruedov1.PublishServiceRequest{})
	_, id, _ := strings.Cut(one.Client.Revision(), "@")
	if _, e := curl(t, one, "99999999@"+id); e == nil || e.Reason != fault.StoreBehind || !e.NotStarted {
		t.Errorf("%v, want STORE_BEHIND", e)
	}
	if got, e := curl(t, one, "99999999@other,1@"+id); e != nil || got != "1" {
		t.Errorf("revision %s, %v", got, e)
	}
	if _, e := curl(t, one, "soon"); e == nil || e.Reason != fault.RequestInvalid {
		t.Errorf("%v, want REQUEST_INVALID", e)
	}
	c := clientOf(t, one.URL, client.WithMinRevision("99999999@"+id))
	if got := revisionAt(t, c); got != 1 || c.Revision() != "" {
		t.Errorf("revision %d, %q is still required", got, c.Revision())
	}
}
