// Package userstest has a cluster with logins for tests: its users on a store, and who
// a core takes the owners of their tokens for.
//
//	h := userstest.Open(t, st)
//	secret := h.Program(t, "ci", "call service *", "role:viewer")
//	h.Good(t, true, secret)
package userstest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ruedo-dev/ruedo/core/auth"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/users"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// House is the users of a cluster, with the parts around them.
type House struct {
	*users.Users
	Store  *store.Store
	People *principals.Principals
	Mirror *mirror.Mirror
	Auth   *auth.Auth

	// Meanwhile is what somebody else does between what is decided next and its write.
	Meanwhile func()

	mu     sync.Mutex
	denied []string
}

// late is a store whose writes come late; see House.Meanwhile.
type late struct {
	*principals.Principals
	house *House
}

func (s late) Write(ctx context.Context, b principals.Batch) (int64, error) {
	if f := s.house.Meanwhile; f != nil {
		s.house.Meanwhile = nil
		f()
	}
	return s.Principals.Write(ctx, b)
}

// Open has callers of the cluster of a store, which is empty, log in.
func Open(t *testing.T, st *store.Store) *House {
	t.Helper()
	h := &House{Store: st}
	var err error
	h.People = principals.New(principals.Config{Cluster: st.Cluster(), Guard: st.Guard(), Missing: st.Missing})
	if _, err := h.People.EnsureAccess(Socket(t), true, nil); err != nil {
		t.Fatal(err)
	}
	if h.Mirror, err = mirror.Open(t.Context(), mirror.Config{Store: st}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Mirror.Close() })
	h.Auth = auth.New(auth.Config{Mirror: h.Mirror, Cluster: "main", Missing: st.Missing})
	t.Cleanup(h.Auth.Close)
	h.Users = users.New(users.Config{
		Store: late{h.People, h}, Mirror: h.Mirror, Missing: st.Missing, Check: h.Auth.Check, PreviousUsed: h.Auth.PreviousUsed,
		Cluster: "main", URL: func() string { return "https://core-1:7833" }, Denied: h.Deny,
	})
	return h
}

// Socket returns the context of an administrator on the machine.
func Socket(t *testing.T) context.Context {
	return access.With(t.Context(), &access.Request{Principal: &access.Principal{Name: "local/root", Grants: access.Set{access.Everything}}, Via: access.ViaSocket})
}

// Identify returns whom a core takes the owner of a secret for.
func (h *House) Identify(t *testing.T, secret string) (*access.Principal, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	p, err := h.Auth.Identify(r, access.ViaTLS, "10.0.0.1")
	if err != nil {
		return nil, err
	}
	return p, nil
}

// As returns the context of a request that shows a secret.
func (h *House) As(t *testing.T, secret string) context.Context {
	t.Helper()
	p, err := h.Identify(t, secret)
	if err != nil {
		t.Fatalf("a secret is not good: %v", err)
	}
	return access.With(t.Context(), &access.Request{Principal: p, From: "10.0.0.1", Via: access.ViaTLS})
}

// Good checks whether secrets are good.
func (h *House) Good(t *testing.T, want bool, secrets ...string) {
	t.Helper()
	for i, s := range secrets {
		if _, err := h.Identify(t, s); (err == nil) != want {
			t.Errorf("secret %d: good %t, want %t (%v)", i, err == nil, want, err)
		}
	}
}

// Program creates a program with grants and roles ("role:NAME"), and returns the
// secret of a token of it.
func (h *House) Program(t *testing.T, name string, grants ...string) string {
	t.Helper()
	h.Create(t, &ruedov1.User{Name: name, Machine: true}, grants...)
	return h.Secret(t, &ruedov1.CreateTokenRequest{User: name})
}

// Create creates a user with grants and roles, and returns the invite of a person.
func (h *House) Create(t *testing.T, u *ruedov1.User, grants ...string) *ruedov1.Invite {
	t.Helper()
	for _, g := range grants {
		if role, ok := strings.CutPrefix(g, "role:"); ok {
			u.Roles = append(u.Roles, role)
		} else {
			u.Grants = append(u.Grants, g)
		}
	}
	_, invite, err := h.CreateUser(Socket(t), u, 0)
	if err != nil {
		t.Fatal(err)
	}
	return invite
}

// Secret creates a token, and returns its secret.
func (h *House) Secret(t *testing.T, req *ruedov1.CreateTokenRequest) string {
	t.Helper()
	_, secret, err := h.CreateToken(Socket(t), req)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal()
}

// InviteIn returns the invite in a link.
func InviteIn(t *testing.T, link string) string {
	t.Helper()
	l, err := token.ParseLink(token.Invite, link)
	if err != nil {
		t.Fatal(err)
	}
	return l.Token.Reveal()
}

// Read returns a user as they are.
func (h *House) Read(t *testing.T, name string) *ruedov1.User {
	t.Helper()
	u, _, err := h.User(Socket(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Deny remembers what was denied.
func (h *House) Deny(_ context.Context, action, noun, name string, reason fault.Reason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.denied = append(h.denied, strings.Join([]string{action, noun, name, string(reason)}, " "))
}

// Denied returns what was denied since it was last asked.
func (h *House) Denied() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	denied := h.denied
	h.denied = nil
	return denied
}

// WasDenied checks what was denied since then.
func (h *House) WasDenied(t *testing.T, want ...string) {
	t.Helper()
	if denied := h.Denied(); !slices.Equal(denied, want) {
		t.Errorf("denied were %q, want %q", denied, want)
	}
}
