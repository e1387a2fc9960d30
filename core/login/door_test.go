package login

import (
	"context"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/coretest/userstest"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pass = "correct horse battery"

// door is the login of a cluster, with its users.
type door struct {
	*userstest.House
	*Login
	client *clientv3.Client
}

func open(t *testing.T) *door {
	t.Helper()
	client := etcdtest.Start(t, etcdembed.Config{}).Client()
	st, err := store.Open(t.Context(), store.Config{Client: client, Cluster: "main", OpTimeout: testkit.Patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	h := userstest.Open(t, st)
	return &door{h, New(Config{Users: h.Users, Store: h.People, Cluster: "main", Version: "v1", Denied: h.Deny}), client}
}

// stranger returns the context of a request from an address that shows nothing.
func stranger(t *testing.T, from string) context.Context {
	return access.With(t.Context(), &access.Request{Principal: &access.Principal{Name: access.Anonymous}, From: from, Via: access.ViaTLS})
}

// person creates a person who has set a password, and returns the secret of the
// session.
func (d *door) person(t *testing.T, name string, grants ...string) string {
	t.Helper()
	return d.accept(t, d.Create(t, &ruedov1.User{Name: name}, grants...).GetLink())
}

// accept uses the invite of a link, and returns the secret of the session.
func (d *door) accept(t *testing.T, link string) string {
	t.Helper()
	_, secret, err := d.AcceptInvite(stranger(t, "10.0.0.1"), userstest.InviteIn(t, link), pass)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal()
}
