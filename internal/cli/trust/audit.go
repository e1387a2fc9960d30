package trust

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// auditArgs are the arguments of `ruedo get audit`.
type auditArgs struct {
	Since  span   `placeholder:"DURATION" help:"Show only what is at most this old, for example 1h or 7d."`
	By     string `placeholder:"WHO" help:"Show only what this user or principal did, for example ada or runner/edge-1."`
	On     string `placeholder:"NOUN[/NAME]" help:"Show only what was done to this, for example service/greet or user."`
	Denied bool   `help:"Show only what was refused."`
	Last   int32  `default:"1000" placeholder:"N" help:"Show only the newest ones, at first. 0 shows all. Default: ${default}."`
	Follow bool   `short:"f" help:"Continue with what happens from now on, until Ctrl-C."`
}

func (a auditArgs) request() *ruedov1.ListAuditRecordsRequest {
	return &ruedov1.ListAuditRecordsRequest{Since: a.Since.proto(), By: a.By, On: a.On, Denied: a.Denied, Newest: a.Last, Follow: a.Follow}
}

// AuditNoun is the record of who changed what.
func AuditNoun() *verb.Noun {
	type R = *ruedov1.AuditRecord
	return &verb.Noun{
		Name: "audit", Plural: "audit",
		Get: verb.Get[R, auditArgs]{
			Doc: verb.Doc{
				Help: "Show who changed what, who logged in and what was refused.",
				Examples: []string{
					"ruedo get audit --since 1h", "ruedo get audit --by ada --on service/greet", "ruedo get audit --denied --follow",
					"ruedo get audit --last 0 -o jsonl > audit.jsonl",
				},
			},
			Fetch: func(ctx context.Context, core *client.Client, a auditArgs) (list []R, _ error) {
				for items, err := range core.ReadAudit(ctx, a.request()) {
					if err != nil {
						return list, err
					}
					list = append(list, items...)
				}
				return list, nil
			},
			Follow:  streamAudit,
			Message: func(items []R) proto.Message { return &ruedov1.ListAuditRecordsResponse{Items: items} },
			Name:    recordName,
			Empty:   "nothing was recorded that fits",
			Columns: auditColumns,
		},
	}
}

func recordName(r *ruedov1.AuditRecord) string { return fmt.Sprintf("%s/%d", r.GetChain(), r.GetSeq()) }

var auditColumns = []output.Column[*ruedov1.AuditRecord]{
	{Head: "TIME", Cell: func(r *ruedov1.AuditRecord) string { return r.GetTime().AsTime().Local().Format(time.DateTime) }},
	{Head: "WHO", Cell: (*ruedov1.AuditRecord).GetPrincipal},
	{Head: "ACTION", Cell: (*ruedov1.AuditRecord).GetAction},
	{Head: "ON", Cell: func(r *ruedov1.AuditRecord) string {
		if r.GetName() == "" {
			return r.GetNoun()
		}
		return r.GetNoun() + "/" + r.GetName()
	}},
	{Head: "RESULT", Cell: func(r *ruedov1.AuditRecord) string {
		text := cmp.Or(r.GetReason(), "ok")
		if r.GetCount() > 1 {
			text += fmt.Sprintf(" (%d times)", r.GetCount())
		}
		return text
	}},
	{Head: "FROM", Cell: func(r *ruedov1.AuditRecord) string { return cmp.Or(r.GetFrom(), r.GetVia()) }},
	{Head: "SUMMARY", Cell: (*ruedov1.AuditRecord).GetSummary},
	{Head: "VIA", Cell: (*ruedov1.AuditRecord).GetVia, Wide: true},
	{Head: "TOKEN", Cell: (*ruedov1.AuditRecord).GetToken, Wide: true},
	{Head: "BEFORE", Cell: func(r *ruedov1.AuditRecord) string { return revision(r.GetBefore()) }, Wide: true},
	{Head: "AFTER", Cell: func(r *ruedov1.AuditRecord) string { return revision(r.GetAfter()) }, Wide: true},
	{Head: "RECORD", Cell: recordName, Wide: true},
}

func revision(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// streamAudit prints records as they arrive, if that is asked for: all of them are
// too many to be kept in memory.
func streamAudit(s *session.Session, a auditArgs) (bool, error) {
	if !a.Follow && s.Print.Format != output.JSONL {
		return false, nil
	}
	core, err := s.Connect()
	if err != nil {
		return true, err
	}
	p := s.Print
	for items, err := range core.ReadAudit(s.Ctx, a.request()) {
		if err != nil {
			return true, err
		}
		if p.ForPeople() || p.Format == output.Name {
			if len(items) == 0 {
				continue
			}
			err = output.List(&p, &ruedov1.ListAuditRecordsResponse{Items: items}, items, recordName, "", auditColumns...)
			p.NoHeaders = true
		}
		for _, r := range items {
			if err == nil && !p.ForPeople() && p.Format != output.Name {
				err = p.Item(r)
			}
		}
		if err != nil {
			return true, err
		}
	}
	return true, nil
}
