package login

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/ruedo-dev/ruedo/core/coretest/userstest"
	_ "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// Nothing that somebody could log in with is stored, or in what is returned for
// people to read.
func TestSecretsStayWithTheirOwners(t *testing.T) {
	d := open(t)
	const canary = "canary in a coal mine"
	link := d.Create(t, &ruedov1.User{Name: "ada"}, "role:admin").GetLink()
	secrets := []string{canary, userstest.InviteIn(t, link)}
	keep := func(made *ruedov1.Token, s token.Token, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if shown := fmt.Sprintf("%v %+v %s", made, s, s); strings.Contains(shown, s.Reveal()) {
			t.Errorf("a token is printed with its secret: %s", shown)
		}
		secrets = append(secrets, s.Reveal(), s.Reveal()[len("ruedo_t_0123456789_"):])
	}
	keep(d.AcceptInvite(stranger(t, "10.0.0.1"), userstest.InviteIn(t, link), canary))
	keep(d.Login.Login(stranger(t, "10.0.0.1"), "ada", canary))
	keep(d.CreateToken(userstest.Socket(t), &ruedov1.CreateTokenRequest{User: "ada"}))
	keep(d.RotateToken(userstest.Socket(t), &ruedov1.RotateTokenRequest{Id: secrets[len(secrets)-2][len("ruedo_t_"):][:10]}))
	_, _, failed := d.Login.Login(stranger(t, "10.0.0.1"), canary, "ada")
	me, err := d.WhoAmI(d.As(t, secrets[2]))
	if err != nil {
		t.Fatal(err)
	}
	users, roles := d.Users.Users(userstest.Socket(t)), d.Roles(userstest.Socket(t))
	tokens, err := d.Tokens(userstest.Socket(t), "")
	if err != nil {
		t.Fatal(err)
	}
	seen := []string{fmt.Sprint(me, users, roles, tokens, failed), fmt.Sprint(d.Denied())}
	stored, err := d.client.Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil || stored.Count < 10 {
		t.Fatal(stored, err)
	}
	for _, kv := range stored.Kvs {
		seen = append(seen, string(kv.Key)+string(kv.Value))
	}
	for _, s := range seen {
		for i, secret := range secrets {
			if strings.Contains(s, secret) {
				t.Errorf("secret %d is in %.200q", i, s)
			}
		}
		if strings.Contains(s, "argon2id$") && !strings.Contains(s, "/users/") {
			t.Errorf("the hash of a password is in %.200q", s)
		}
	}
}

// Fields of messages that hold secrets, or what can be checked against them, say so.
func TestSecretFieldsAreRedacted(t *testing.T) {
	public := map[protoreflect.FullName]string{
		"ruedo.v1.CreateUserResponse.invite":   "a message, whose link is redacted",
		"ruedo.v1.CreateInviteResponse.invite": "the same",
		"ruedo.store.v1.User.invite":           "an id",
	}
	words := []string{"password", "secret", "hash", "invite", "link", "private", "key"}
	found := 0
	var walk func(m protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		for i := range m.Messages().Len() {
			walk(m.Messages().Get(i))
		}
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			last := string(f.Name())
			last = last[strings.LastIndexByte(last, '_')+1:]
			kind := f.Kind()
			if !slices.Contains(words, last) || m.IsMapEntry() || f.IsMap() || kind != protoreflect.StringKind && kind != protoreflect.BytesKind && kind != protoreflect.MessageKind {
				continue
			}
			if _, ok := public[f.FullName()]; ok {
				continue
			}
			found++
			if o, _ := f.Options().(*descriptorpb.FieldOptions); !o.GetDebugRedact() {
				t.Errorf("%s has no debug_redact", f.FullName())
			}
		}
	}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(f.Package()), "ruedo.") {
			for i := range f.Messages().Len() {
				walk(f.Messages().Get(i))
			}
		}
		return true
	})
	if found < 10 {
		t.Errorf("only %d fields were found", found)
	}
}
