package reference

import (
	"fmt"
	"slices"

	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

func exitCodes() (page.Page, error) {
	byCode := make(map[int][]fault.Reason)
	for _, a := range fault.Areas() {
		for _, r := range a.Reasons {
			byCode[r.ExitCode()] = append(byCode[r.ExitCode()], r)
		}
	}
	t := page.Table{Columns: []page.Column{{Head: "exit code"}, {Head: "reasons", Label: "Reasons: %s."}, {Head: "meaning"}}}
	for _, c := range fault.ExitCodes() {
		slices.Sort(byCode[c.Code])
		t.Rows = append(t.Rows, []string{fmt.Sprint(c.Code), codes(byCode[c.Code]), c.Meaning})
	}
	return page.Page{
		Name: "exit-codes", Title: "Exit codes of ruedo",
		Parts: []page.Part{
			page.Text("The reason of the error decides the exit code; the [reasons](reasons.md) say what each means. If a command fails for several things, the first failure decides."),
			t,
			page.Heading("Example"),
			page.Code{Language: "sh", Text: "ruedo call greet -d '{\"name\":\"Ada\"}'\ncase $? in\n0) ;;\n6) sleep 1; exec \"$0\" ;;   # trying again can help\n10|11|12) echo 'greet failed' ;;\n*) exit 1 ;;\nesac\n"},
		},
	}, nil
}

func reasons() (page.Page, error) {
	p := page.Page{
		Name: "reasons", Title: "Reasons of errors",
		Parts: []page.Part{
			page.Text("Every error has a reason, a word that never changes its meaning. `ruedo` shows it with `-v` and `-o json`, HTTP has it in the [object of an error](http.md#the-object-of-an-error), " +
				"and Connect and gRPC have it in a `google.rpc.ErrorInfo`. The code is that of Connect and gRPC. `GUEST_ERROR` has the code that the service chose. [Errors](../errors.md) is the guide."),
		},
	}
	var busy []fault.Reason
	for _, a := range fault.Areas() {
		t := page.Table{Columns: []page.Column{
			{Head: "reason", Code: true}, {Head: "code", Code: true}, {Head: "HTTP", Label: "HTTP %s."}, {Head: "exit code", Label: "Exit code %s."}, {Head: "meaning"},
		}}
		for _, r := range a.Reasons {
			t.Rows = append(t.Rows, []string{
				string(r), r.Code().String(), fmt.Sprint(faultrpc.HTTPStatus(fault.New(r, ""))), fmt.Sprint(r.ExitCode()), sentence(r.Meaning()),
			})
			if r.RetryDelay() > 0 {
				busy = append(busy, r)
			}
		}
		p.Parts = append(p.Parts, page.Heading(a.Title), t)
	}
	slices.Sort(busy)
	p.Parts = slices.Insert(p.Parts, 1, page.Part(page.Text("The same request can succeed later if the reason is "+codes(busy)+". These come with `Retry-After` over HTTP, and with a `google.rpc.RetryInfo` over Connect and gRPC; [errors](../errors.md#when-to-call-again) says what they mean.")))
	return p, nil
}
