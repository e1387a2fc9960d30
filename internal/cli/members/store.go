package members

import (
	"cmp"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// Store is `ruedo store`.
type Store struct {
	Compact compact  `cmd:"" help:"Make the store small again: drop old versions and return their space."`
	Recover recovery `cmd:"" help:"Make one member the only one, if most of the others are lost for good."`
}

func (*Store) Examples() []string {
	return []string{"ruedo store compact", "ruedo store recover --force-new-cluster --data-dir /var/lib/ruedo"}
}

// compact is `ruedo store compact`.
type compact struct{}

func (*compact) Help() string {
	return `Drops old versions of all keys and defragments the members, one after the other;
each is busy for a moment. It ends the alarm of a full store. Current values stay:
if the store is still full, delete services or modules, and compact it again.`
}

func (*compact) Examples() []string {
	return []string{"ruedo get members        sizes and quota", "ruedo store compact"}
}

func (*compact) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	s.Progressf("compacting the store and defragmenting its members, one after the other ...")
	res, err := core.Members.CompactStore(s.Ctx, &ruedov1.CompactStoreRequest{})
	if err != nil {
		return err
	}
	if done, err := s.PrintMessage(res, ""); done {
		return err
	}
	return output.List(&s.Print, res, res.GetMembers(), (*ruedov1.CompactedMember).GetId, "no members",
		output.Column[*ruedov1.CompactedMember]{Head: "MEMBER", Cell: func(m *ruedov1.CompactedMember) string { return cmp.Or(m.GetName(), m.GetId()) }},
		output.Column[*ruedov1.CompactedMember]{Head: "BEFORE", Cell: func(m *ruedov1.CompactedMember) string { return output.Size(m.GetBeforeBytes()) }},
		output.Column[*ruedov1.CompactedMember]{Head: "AFTER", Cell: func(m *ruedov1.CompactedMember) string { return output.Size(m.GetAfterBytes()) }},
		output.Column[*ruedov1.CompactedMember]{Head: "PROBLEM", Cell: (*ruedov1.CompactedMember).GetError},
	)
}
