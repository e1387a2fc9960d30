package login

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/auth"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pass = "correct horse battery"

// door is the login of a cluster, with the parts around it.
type door struct {
	*Login
	client *clientv3.Client
	store  *store.Store
	people *principals.Principals
	mirror *mirror.Mirror
	auth   *auth.Auth

	// meanwhile is what somebody else does between what is decided next and its write.
	meanwhile func()

	mu     sync.Mutex
	denied []string
}

// late is a store whose writes come late; see door.meanwhile.
type late struct {
	*principals.Principals
	*door
}

func (s late) Write(ctx context.Context, b principals.Batch) (int64, error) {
	if f := s.meanwhile; f != nil {
		s.meanwhile = nil
		f()
	}
	return s.Principals.Write(ctx, b)
}

func open(t *testing.T) *door {
	t.Helper()
	d := &door{client: etcdtest.Start(t, etcdembed.Config{}).Client()}
	var err error
	if d.store, err = store.Open(t.Context(), store.Config{Client: d.client, Cluster: "main", OpTimeout: testkit.Patience}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.store.Close() })
	d.people = principals.New(principals.Config{Cluster: d.store.Cluster(), Guard: d.store.Guard(), Missing: d.store.Missing})
	if _, err := d.people.EnsureAccess(socket(t), true, nil); err != nil {
		t.Fatal(err)
	}
	if d.mirror, err = mirror.Open(t.Context(), mirror.Config{Store: d.store}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.mirror.Close() })
	d.auth = auth.New(auth.Config{Mirror: d.mirror, Cluster: "main", Missing: d.store.Missing})
	t.Cleanup(d.auth.Close)
	d.Login = New(Config{
		Store: late{d.people, d}, Mirror: d.mirror, Missing: d.store.Missing, Check: d.auth.Check, PreviousUsed: d.auth.PreviousUsed,
		Cluster: "main", Version: "v1", URL: func() string { return "https://core-1:7833" },
		Denied: func(_ context.Context, action, noun, name string, reason fault.Reason) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.denied = append(d.denied, strings.Join([]string{action, noun, name, string(reason)}, " "))
		},
	})
	return d
}

// socket returns the context of an administrator on the machine.
func socket(t *testing.T) context.Context {
	return access.With(t.Context(), &access.Request{Principal: &access.Principal{Name: "local/root", Grants: access.Set{access.Everything}}, Via: access.ViaSocket})
}

// stranger returns the context of a request from an address that shows nothing.
func stranger(t *testing.T, from string) context.Context {
	return access.With(t.Context(), &access.Request{Principal: &access.Principal{Name: access.Anonymous}, From: from, Via: access.ViaTLS})
}

// identify returns whom a core takes the owner of a secret for.
func (d *door) identify(t *testing.T, secret string) (*access.Principal, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	p, err := d.auth.Identify(r, access.ViaTLS, "10.0.0.1")
	if err != nil {
		return nil, err
	}
	return p, nil
}

// as returns the context of a request that shows a secret.
func (d *door) as(t *testing.T, secret string) context.Context {
	t.Helper()
	p, err := d.identify(t, secret)
	if err != nil {
		t.Fatalf("a secret is not good: %v", err)
	}
	return access.With(t.Context(), &access.Request{Principal: p, From: "10.0.0.1", Via: access.ViaTLS})
}

// good checks whether secrets are good.
func (d *door) good(t *testing.T, want bool, secrets ...string) {
	t.Helper()
	for i, s := range secrets {
		if _, err := d.identify(t, s); (err == nil) != want {
			t.Errorf("secret %d: good %t, want %t (%v)", i, err == nil, want, err)
		}
	}
}

// program creates a program with grants and roles ("role:NAME"), and returns the
// secret of a token of it.
func (d *door) program(t *testing.T, name string, grants ...string) string {
	t.Helper()
	d.user(t, &ruedov1.User{Name: name, Machine: true}, grants...)
	return d.secret(t, &ruedov1.CreateTokenRequest{User: name})
}

// person creates a person who has set a password, and returns the secret of the
// session.
func (d *door) person(t *testing.T, name string, grants ...string) string {
	t.Helper()
	invite := d.user(t, &ruedov1.User{Name: name}, grants...)
	return d.accept(t, invite.GetLink())
}

func (d *door) user(t *testing.T, u *ruedov1.User, grants ...string) *ruedov1.Invite {
	t.Helper()
	for _, g := range grants {
		if role, ok := strings.CutPrefix(g, "role:"); ok {
			u.Roles = append(u.Roles, role)
		} else {
			u.Grants = append(u.Grants, g)
		}
	}
	_, invite, err := d.CreateUser(socket(t), u, 0)
	if err != nil {
		t.Fatal(err)
	}
	return invite
}

func (d *door) secret(t *testing.T, req *ruedov1.CreateTokenRequest) string {
	t.Helper()
	_, secret, err := d.CreateToken(socket(t), req)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal()
}

// inviteIn returns the invite in a link.
func inviteIn(t *testing.T, link string) string {
	t.Helper()
	l, err := token.ParseLink(token.Invite, link)
	if err != nil {
		t.Fatal(err)
	}
	return l.Token.Reveal()
}

func (d *door) accept(t *testing.T, link string) string {
	t.Helper()
	_, secret, err := d.AcceptInvite(stranger(t, "10.0.0.1"), inviteIn(t, link), pass)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal()
}

// read returns a user as they are.
func (d *door) read(t *testing.T, name string) *ruedov1.User {
	t.Helper()
	u, _, err := d.User(socket(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// wasDenied checks what was denied since it was last checked.
func (d *door) wasDenied(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.denied, want) {
		t.Errorf("denied were %q, want %q", d.denied, want)
	}
	d.denied = nil
}
