package access_test

import (
	"slices"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/names"
)

func TestBuiltInRoles(t *testing.T) {
	var all []string
	for _, r := range access.BuiltIn() {
		all = append(all, r.Name)
		if !names.Valid(r.Name) || r.Description == "" {
			t.Errorf("%+v", r)
		}
		for _, g := range r.Grants {
			if again, err := access.Parse(g.String()); err != nil || again != g {
				t.Errorf("role %s: the grant %s is read as %v, %v", r.Name, g, again, err)
			}
		}
	}
	if want := []string{"admin", "caller", "publisher", "runner", "viewer"}; !slices.Equal(all, want) {
		t.Errorf("the roles are %v, not %v", all, want)
	}
	publisher, _ := access.FindBuiltIn("publisher")
	viewer, _ := access.FindBuiltIn("viewer")
	admin, _ := access.FindBuiltIn(access.AdminRole)
	if _, exceeds := publisher.Grants.Exceeding(viewer.Grants); exceeds {
		t.Error("a publisher sees less than a viewer")
	}
	if !publisher.Grants.Allows(access.Write, access.Service, "greet") || publisher.Grants.Some(access.Read, access.User) || viewer.Grants.Some(access.Call, access.Service) {
		t.Error("a role has other grants than its description says")
	}
	if !admin.Grants.Covers(access.Everything) {
		t.Error("an administrator may not do everything")
	}
	if _, ok := access.FindBuiltIn("operator"); ok {
		t.Error("there is a role operator")
	}
}
