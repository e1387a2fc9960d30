package core_test

import (
	"net/http"
	"slices"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// What a caller shows is for the cluster, unless everybody may call the service and a
// decorator of it says otherwise.
func TestAuthorizationThatIsForAService(t *testing.T) {
	d := &door{Cluster: ruedotest.New(t, ruedotest.Options{Local: true, Login: true})}
	ctx := t.Context()
	users := &ruedov1.Decorator{Name: "users"}
	if _, err := d.Client.Decorators.CreateDecorator(ctx, &ruedov1.CreateDecoratorRequest{Decorator: users}); err != nil {
		t.Fatal(err)
	}
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "echo", Decorators: []string{"users"}}, ruedotest.Echo())
	d.Publish(t, &ruedov1.PublishServiceRequest{Name: "page", Decorators: []string{"users"}, Routes: []*ruedov1.Route{{Path: "/shop/"}}}, page())
	passes := func(pass bool) {
		users.Policy = &ruedov1.CallPolicy{PassAuthorization: pass}
		if _, err := updateDecorator(t, d.Cluster, users, false); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what, shown string, services, function int) {
		t.Helper()
		for _, path := range []string{"/svc/page/", "/svc/page@1/", "/shop/"} {
			testkit.Eventually(t, what+": "+path, func() bool { return d.ask(t, "GET", path, "", shown, "").status == services })
		}
		if got := d.ask(t, "POST", "/call/echo", "", shown, "1").status; got != function {
			t.Errorf("%s: the function answers %d, want %d", what, got, function)
		}
	}
	const own = "of-the-service"
	want("by default", own, http.StatusUnauthorized, http.StatusUnauthorized)
	passes(true)
	want("of a service that is not public", own, http.StatusUnauthorized, http.StatusUnauthorized)
	if _, err := d.Client.Users.CreateUser(ctx, &ruedov1.CreateUserRequest{User: &ruedov1.User{Name: access.Anonymous, Machine: true, Grants: []string{"call service *"}}}); err != nil {
		t.Fatal(err)
	}
	want("of a public service", own, http.StatusOK, http.StatusUnauthorized)
	want("a token of another cluster", token.New(token.Bearer).Reveal(), http.StatusUnauthorized, http.StatusUnauthorized)
	want("a good token", machine(t, d.Client, "caller", "call service *"), http.StatusOK, http.StatusOK)
	for name, by := range map[string][]string{"page": {"users"}, "echo": nil} {
		if got, err := d.Client.Services.GetService(ctx, &ruedov1.GetServiceRequest{Name: name}); err != nil || !slices.Equal(got.GetAuthorizationBy(), by) {
			t.Errorf("%s: passed on by %q, %v", name, got.GetAuthorizationBy(), err)
		}
	}
	// Who has changed it is in the audit, and what it was is in the revision.
	var changed []string
	for records, err := range d.Client.ReadAudit(ctx, &ruedov1.ListAuditRecordsRequest{On: "decorator/users"}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			changed = append(changed, r.GetAction()+": "+r.GetSummary())
		}
	}
	if !slices.Contains(changed, "update: revision 2") {
		t.Errorf("recorded: %q", changed)
	}
	passes(false)
	want("not any more", own, http.StatusUnauthorized, http.StatusUnauthorized)
}
