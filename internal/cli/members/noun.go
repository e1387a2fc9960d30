package members

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Noun is the members of the store.
func Noun() *verb.Noun {
	type M = *ruedov1.Member
	var store string // its id
	name := func(m M) string { return cmp.Or(m.GetName(), m.GetId()) }
	return &verb.Noun{
		Name: "member", Plural: "members",
		Get: verb.Get[M, struct{}]{
			Doc: verb.Doc{
				Help:     "List the members of the store that the cores form themselves.",
				Examples: []string{"ruedo get members", "ruedo get members -o wide"},
			},
			Fetch: func(ctx context.Context, core *client.Client, _ struct{}) ([]M, error) {
				res, err := core.Members.ListMembers(ctx, &ruedov1.ListMembersRequest{})
				store = res.GetStoreId()
				return res.GetItems(), err
			},
			Message: func(items []M) proto.Message { return &ruedov1.ListMembersResponse{Items: items, StoreId: store} },
			Name:    name,
			Empty:   "no members",
			Columns: []output.Column[M]{
				{Head: "NAME", Cell: name},
				{Head: "ROLE", Cell: func(m M) string { return object.Word(m.GetRole()) }},
				{Head: "STATE", Cell: func(m M) string { return object.Word(m.GetState()) }},
				{Head: "LEADER", Cell: func(m M) string { return output.Yes(m.GetLeader()) }},
				{Head: "SIZE", Cell: memberSize},
				{Head: "LAG", Cell: memberLag},
				{Head: "PEER URL", Cell: func(m M) string { return strings.Join(m.GetPeerUrls(), " ") }},
				{Head: "CORE", Cell: func(m M) string { return cmp.Or(m.GetCoreId(), "-") }},
				{Head: "ID", Cell: M.GetId, Wide: true},
				{Head: "ETCD", Cell: func(m M) string { return m.GetStatus().GetVersion() }, Wide: true},
				{Head: "PROBLEMS", Cell: func(m M) string { return strings.Join(m.GetStatus().GetProblems(), "; ") }, Wide: true},
			},
		},
	}
}

// memberSize writes how much of its quota a member has used.
func memberSize(m *ruedov1.Member) string {
	s := m.GetStatus()
	if s == nil {
		return "-"
	}
	text := output.Size(s.GetSizeBytes())
	if quota := s.GetQuotaBytes(); quota > 0 {
		text += fmt.Sprintf(" (%d%%)", s.GetSizeBytes()*100/quota)
	}
	return text
}

// memberLag writes how many changes a member is behind.
func memberLag(m *ruedov1.Member) string {
	if m.GetStatus() == nil {
		return "-"
	}
	return fmt.Sprint(m.GetStatus().GetLag())
}
