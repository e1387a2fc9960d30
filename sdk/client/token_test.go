package client_test

import (
	"context"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// door is a core that notes what it is shown.
type door struct {
	ruedov1connect.UnimplementedClusterServiceHandler
	ruedov1connect.UnimplementedLoginServiceHandler

	mu    sync.Mutex
	shown []string // path, host and credential of each request
}

func (d *door) Hello(context.Context, *ruedov1.HelloRequest) (*ruedov1.HelloResponse, error) {
	return &ruedov1.HelloResponse{Cluster: "one"}, nil
}

func (d *door) GetStatus(context.Context, *ruedov1.GetStatusRequest) (*ruedov1.GetStatusResponse, error) {
	return &ruedov1.GetStatusResponse{ClusterId: "one"}, nil
}

func (d *door) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewClusterServiceHandler(d))
	mux.Handle(ruedov1connect.NewLoginServiceHandler(d))
	mux.HandleFunc("POST /call/{service}", func(http.ResponseWriter, *http.Request) {})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.shown = append(d.shown, r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]+" "+r.Host+" "+r.Header.Get("Authorization"))
		d.mu.Unlock()
		mux.ServeHTTP(w, r)
	})
}

// saw returns what the core was shown, without hosts.
func (d *door) saw() (list []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.shown {
		f := strings.SplitN(s, " ", 3)
		list = append(list, f[0]+" "+f[2])
	}
	return list
}

func (d *door) serve(t *testing.T) *httptest.Server {
	srv := httptest.NewServer(d.handler())
	t.Cleanup(srv.Close)
	return srv
}

func status(t *testing.T, c *client.Client) error {
	t.Helper()
	_, err := c.Cluster.GetStatus(t.Context(), &ruedov1.GetStatusRequest{})
	return err
}

// unsaid fails if an error has the secret of a token.
func unsaid(t *testing.T, err error, secret string) {
	t.Helper()
	for ; err != nil; err = unwrap(err) {
		if strings.Contains(err.Error(), secret[len("ruedo_t_0123456789_"):][:12]) {
			t.Errorf("the error has the token: %v", err)
		}
	}
}

func unwrap(err error) error {
	u, ok := err.(interface{ Unwrap() error })
	if !ok {
		return nil
	}
	return u.Unwrap()
}

func TestATokenIsShownWithEachRequest(t *testing.T) {
	d, secret := &door{}, token.New(token.Bearer).Reveal()
	srv, other := d.serve(t), (&door{}).serve(t)
	// With two cores it asks for the cluster first, which is not for a token.
	c := client.New(srv.URL+" "+other.URL, client.WithToken(client.StaticToken(secret)))
	if err := status(t, c); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(t.Context(), "greet", make([]byte, 2<<20)); err != nil {
		t.Fatal(err)
	}
	if got, want := d.saw(), []string{"Hello ", "GetStatus Bearer " + secret, "greet Bearer " + secret}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	none := &door{}
	if err := status(t, client.New(none.serve(t).URL, client.WithToken(client.StaticToken("")))); err != nil {
		t.Error(err)
	}
	if got := none.saw(); !slices.Equal(got, []string{"GetStatus "}) {
		t.Errorf("%q", got)
	}
}

// never fails the test if anything is sent.
type never struct{ t *testing.T }

func (n never) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("a request to %s", r.URL)
	return nil, http.ErrServerClosed
}

func TestATokenIsNotSentInTheOpen(t *testing.T) {
	secret := token.New(token.Bearer).Reveal()
	nobody := client.WithHTTPClient(&http.Client{Transport: never{t}})
	for _, url := range []string{"http://192.0.2.1:7833", "core-1:7833", "https://core-1:7833 http://core-2:7833", "http://127.0.0.1:1 core-2:1", "http://localhost.example.com"} {
		err := status(t, client.New(url, nobody, client.WithCluster("one"), client.WithToken(client.StaticToken(secret))))
		testkit.WantReason(t, err, fault.PlaintextRefused, "without TLS")
		unsaid(t, err, secret)
	}
}

func TestATokenThatIsMistypedIsNotSent(t *testing.T) {
	secret := token.New(token.Bearer).Reveal()
	nobody := client.WithHTTPClient(&http.Client{Transport: never{t}})
	for _, text := range []string{secret[:len(secret)-3], secret[:30] + "\n" + secret[31:], "hunter2", token.New(token.Invite).Reveal()} {
		err := status(t, client.New("https://core-1", nobody, client.WithToken(client.StaticToken(text))))
		testkit.WantReason(t, err, fault.TokenInvalid)
		unsaid(t, err, secret)
	}
}

// A core, or what stands before it, cannot send a token elsewhere.
func TestATokenDoesNotFollowRedirects(t *testing.T) {
	secret := token.New(token.Bearer).Reveal()
	for _, code := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		thief := &door{}
		elsewhere := thief.serve(t)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, code)
		}))
		t.Cleanup(srv.Close)
		for name, opts := range map[string][]client.Option{"its own": nil, "the app's": {client.WithHTTPClient(&http.Client{})}} {
			c := client.New(srv.URL, append(opts, client.WithToken(client.StaticToken(secret)))...)
			err := status(t, c)
			testkit.WantReason(t, err, fault.PlaintextRefused, srv.URL+" sends requests on to "+elsewhere.URL)
			unsaid(t, err, secret)
			_, err = c.Call(t.Context(), "greet", make([]byte, 2<<20))
			testkit.WantReason(t, err, fault.PlaintextRefused)
			if got := thief.saw(); len(got) > 0 {
				t.Errorf("%d, %s client: the other host was asked: %q", code, name, got)
			}
		}
	}
}

// A core that does not accept a token is not passed over for another one.
func TestUnauthenticatedIsFinal(t *testing.T) {
	a, b := newCore(t, "a"), newCore(t, "b")
	a.refuse.Store(fault.New(fault.Unauthenticated, "this needs a login that is good"))
	_, err := several(t, a, b).Call(t.Context(), "greet", nil)
	testkit.WantReason(t, err, fault.Unauthenticated)
	if a.calls.Load() != 1 || b.calls.Load() != 0 {
		t.Errorf("%d calls to the first core, %d to the second", a.calls.Load(), b.calls.Load())
	}
}

// A core that cannot tell who may do what has not begun anything.
func TestStaleAccessGoesToTheNextCore(t *testing.T) {
	a, b := newCore(t, "a"), newCore(t, "b")
	a.refuse.Store(fault.New(fault.StaleAccess, "the store was not heard for a day"))
	res, err := several(t, a, b).Call(t.Context(), "greet", nil)
	if err != nil || string(res.Output) != "b" {
		t.Errorf("%v, %v", res, err)
	}
}

func TestTokenFile(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "token"), t.Context()
	first, second := token.New(token.Bearer).Reveal(), token.New(token.Bearer).Reveal()
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	f := client.TokenFile(path)
	_, err := f(ctx)
	testkit.WantReason(t, err, fault.ConfigInvalid, "no such file")
	write(first+"\n", 0o600)
	if got, err := f(ctx); err != nil || got != first {
		t.Errorf("%q, %v", got, err)
	}
	// Whoever rotates it replaces the file.
	next := path + ".new"
	if err := os.WriteFile(next, []byte(second), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	if got, err := f(ctx); err != nil || got != second {
		t.Errorf("%q, %v", got, err)
	}
	write(strings.Repeat("x", 5000), 0o600)
	_, err = f(ctx)
	testkit.WantReason(t, err, fault.ConfigInvalid, "not a file with a token")
	write(" \n", 0o600)
	_, err = f(ctx)
	testkit.WantReason(t, err, fault.ConfigInvalid, "has no token: it is empty", "write one into it")
	if runtime.GOOS == "windows" {
		return
	}
	write(first, 0o640) // a group that the owner has chosen, as Kubernetes does
	if got, err := f(ctx); err != nil || got != first {
		t.Errorf("%q, %v", got, err)
	}
	for _, mode := range []os.FileMode{0o644, 0o604, 0o602, 0o666} {
		write(first, mode)
		_, err = f(ctx)
		testkit.WantReason(t, err, fault.ConfigInvalid, "everybody on this machine can read or change the token")
		unsaid(t, err, first)
	}
}

func TestSockets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("cores have no sockets there")
	}
	// $TMPDIR can be longer than a socket's path may be.
	dir, err := os.MkdirTemp("/tmp", "ruedo, ")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d, path := &door{}, filepath.Join(dir, "core.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: d.handler(), ReadHeaderTimeout: time.Minute}}
	srv.Start()
	t.Cleanup(srv.Close)
	at := client.SocketURL(path)
	secret := token.New(token.Bearer).Reveal()
	c := client.New(at+" unix:/nowhere", client.WithCluster("one"), client.WithToken(client.StaticToken(secret)))
	if err := status(t, c); err != nil {
		t.Fatal(err)
	}
	if got, want := d.shown, []string{"GetStatus localhost Bearer " + secret}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if c.URL() != at {
		t.Errorf("it is at %s, not %s", c.URL(), at)
	}
	c = client.New("unix:///nowhere "+at, client.WithCluster("one"))
	if err := status(t, c); err != nil || c.URL() != at {
		t.Errorf("%s, %v", c.URL(), err)
	}
	testkit.WantReason(t, status(t, client.New("unix:/nowhere")), fault.CoreUnreachable, "no core answers at unix:/nowhere")
	testkit.WantReason(t, status(t, client.New("unix:nowhere")), fault.RequestInvalid, "unix:/path is expected")
}

// secure serves a core by TLS, with the authority of a cluster.
func secure(t *testing.T, a *pki.Authority, names ...string) string {
	return locked(t, a, nil, names...)
}

// locked is secure with a lock that asks for a client certificate; nil is none.
func locked(t *testing.T, a *pki.Authority, lock *pki.Lock, names ...string) string {
	t.Helper()
	leaves, err := pki.NewLeaves(pki.LeavesConfig{Authorities: func() []*pki.Authority { return []*pki.Authority{a} }, Core: "core-1", Names: names})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer((&door{}).handler())
	srv.TLS = pki.Server(pki.ServerConfig{Leaves: leaves, Lock: lock})
	srv.Config.ErrorLog = discard()
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL
}

func authority(t *testing.T, cluster string) *pki.Authority {
	t.Helper()
	a, err := pki.New(cluster, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWhichCoresAreTrusted(t *testing.T) {
	own, others := authority(t, "one"), authority(t, "one")
	trusts := func(a *pki.Authority) client.Option { return client.WithAuthority(pki.PEM(a.Certificate())) }
	secret := client.WithToken(client.StaticToken(token.New(token.Bearer).Reveal()))

	// The certificate does not have the address, and does not have to.
	if err := status(t, client.New(secure(t, own), trusts(own), secret)); err != nil {
		t.Error(err)
	}
	err := status(t, client.New(secure(t, others), trusts(own), secret))
	testkit.WantReason(t, err, fault.PinMismatch, "(https://127.0.0.1:")
	if e := fault.FromError(err); !e.NotStarted {
		t.Error("it does not say that nothing was sent")
	}
	testkit.WantReason(t, status(t, client.New(secure(t, own, "127.0.0.1"), secret)), fault.AuthorityUnknown, "(https://127.0.0.1:")
	err = status(t, client.New("http"+strings.TrimPrefix(secure(t, own), "https")))
	testkit.WantReason(t, err, fault.CoreUnreachable, "is not a core: ", "if it has TLS, its URL begins with https")
	testkit.WantReason(t, status(t, client.New("https://127.0.0.1:1", client.WithAuthority("no PEM"))), fault.ConfigInvalid, "no PEM certificate")

	config, err := pki.CAFile(file(t, pki.PEM(own.Certificate())))
	if err != nil {
		t.Fatal(err)
	}
	if err := status(t, client.New(secure(t, own, "127.0.0.1"), client.WithTLS(config), secret)); err != nil {
		t.Error(err)
	}
}

// A client certificate opens the lock in front of the login, and takes no token's place.
func TestAClientCertificateIsShown(t *testing.T) {
	own, users := authority(t, "one"), pkitest.NewForeign(t)
	lock, err := pki.NewLock(pki.FilesConfig{CertificateFile: pkitest.CAFile(t, users)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	url := locked(t, own, lock)
	files, stranger := pkitest.NewPair(t, users, pkitest.ForHost("laptop")), pkitest.NewPair(t, pkitest.NewForeign(t), pkitest.ForHost("laptop"))
	trusts, secret := client.WithAuthority(pki.PEM(own.Certificate())), client.WithToken(client.StaticToken(token.New(token.Bearer).Reveal()))
	shows := func(p pkitest.Pair) client.Option { return client.WithCertificate(p.Cert, p.Key) }
	for _, opts := range [][]client.Option{{trusts, shows(files), secret}, {shows(files), trusts, secret}} {
		if err := status(t, client.New(url, opts...)); err != nil {
			t.Error(err)
		}
	}
	for what, c := range map[string]struct {
		opts   []client.Option
		reason fault.Reason
		says   []string
	}{
		"none":             {nil, fault.Unauthenticated, []string{"none was shown (https://127.0.0.1:", "client.certificate_file"}},
		"of a stranger":    {[]client.Option{shows(stranger)}, fault.Unauthenticated, []string{"not of an authority that it trusts (https://127.0.0.1:"}},
		"one that is gone": {[]client.Option{client.WithCertificate("nowhere.pem", files.Key)}, fault.ConfigInvalid, []string{"the client certificate cannot be used: open nowhere.pem"}},
	} {
		for range 3 { // the core may hang up before the client has read why
			err := status(t, client.New(url, append(c.opts, trusts, secret)...))
			testkit.WantReason(t, err, c.reason, c.says...)
			if e := fault.FromError(err); c.reason == fault.Unauthenticated && !e.NotStarted {
				t.Errorf("%s: it does not say that nothing was done", what)
			}
		}
	}
	// Where nobody asks for it, it does not matter.
	if err := status(t, client.New(secure(t, own), trusts, secret, client.WithCertificate("nowhere.pem", "nowhere.key"))); err != nil {
		t.Error(err)
	}
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// discard is for servers whose clients hang up.
func discard() *log.Logger { return slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) }
