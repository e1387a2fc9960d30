package core_test

import (
	"slices"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// What is done through the API is in the audit, of whoever did it.
func TestTheAuditHasWhatWasDone(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	version := publishEcho(t, c, &ruedov1.PublishServiceRequest{}).GetService().GetVersion()
	if _, err := c.Client.Services.DeleteService(t.Context(), &ruedov1.DeleteServiceRequest{Name: "echo"}); err != nil {
		t.Fatal(err)
	}
	read := func(req *ruedov1.ListAuditRecordsRequest) (list []*ruedov1.AuditRecord) {
		t.Helper()
		for items, err := range c.Client.ReadAudit(t.Context(), req) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, items...)
		}
		return list
	}
	list := read(&ruedov1.ListAuditRecordsRequest{On: "service/echo"})
	var did []string
	for _, r := range list {
		did = append(did, r.GetAction())
		if r.GetPrincipal() == "" || r.GetVia() == "" {
			t.Errorf("%v", r)
		}
	}
	if !slices.Equal(did, []string{"publish", "delete"}) || list[0].GetAfter() != version {
		t.Errorf("%v, of version %d", list, version)
	}
	testkit.Eventually(t, "so has it who read it", func() bool {
		return len(read(&ruedov1.ListAuditRecordsRequest{On: "audit"})) > 0
	})
}
