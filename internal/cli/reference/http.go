package reference

import (
	"fmt"
	"maps"
	nethttp "net/http"
	"slices"

	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

func http() (page.Page, error) {
	object, err := members(faultrpc.Failure{})
	if err != nil {
		return page.Page{}, err
	}
	field, err := members(faultrpc.Field{})
	if err != nil {
		return page.Page{}, err
	}
	description, err := members(invoke.Description{})
	if err != nil {
		return page.Page{}, err
	}
	limit, err := members(invoke.Limit{})
	if err != nil {
		return page.Page{}, err
	}
	return page.Page{
		Name: "http", Title: "Calling over HTTP: /call/SERVICE",
		Parts: []page.Part{
			page.Text("`POST /call/SERVICE` calls a service: the body is the input, and the body of the answer is the output, byte for byte. `SERVICE@3` is revision 3 of it, live or not. " +
				"`GET /call/SERVICE` describes it. [Calling services](../call.md) is the guide."),
			page.Code{Language: "sh", Text: `curl -H 'Ruedo-Timeout: 1.5s' -d '{"name":"Ada"}' http://127.0.0.1:7833/call/greet` + "\n"},
			page.Heading("Header fields of a request"),
			requestFields(),
			page.Heading("Header fields of an answer"),
			answerFields(),
			page.Heading("Status codes"),
			page.Text("A call that succeeds is answered with 200. If it fails, the reason decides the status; the code that a service chooses for its own error (`GUEST_ERROR`) decides it in the same way. " +
				"These are the reasons of calls; if the runner has to prepare the service first, those of [modules](reasons.md#modules) are possible, too. A method that the path does not have is answered with 405."),
			statusCodes(),
			page.Heading("The object of an error"),
			page.Text("The body of a failure is a JSON object; what has nothing to say is left out. `ruedo` prints the same one on stderr with `-o json`."),
			object,
			page.Text("Each of `fields` has:"),
			field,
			page.Heading("The description of a service"),
			page.Text("`GET /call/SERVICE` answers with a JSON object; what has nothing to say is left out:"),
			description,
			page.Text("Each of `limits` has:"),
			limit,
		},
	}, nil
}

func requestFields() page.Table {
	t := page.Table{Columns: []page.Column{{Head: "field", Code: true}, {Head: "type"}, {Head: "default"}, {Head: "example", Code: true}, {Head: "meaning"}}}
	for _, f := range headers.Requests() {
		t.Rows = append(t.Rows, []string{f.Name, f.Type, f.Default, f.Example, f.Meaning})
	}
	return t
}

func answerFields() page.Table {
	t := page.Table{Columns: []page.Column{{Head: "field", Code: true}, {Head: "type"}, {Head: "example", Code: true}, {Head: "meaning"}}}
	for _, f := range headers.Answers() {
		t.Rows = append(t.Rows, []string{f.Name, f.Type, f.Example, f.Meaning})
	}
	return t
}

func statusCodes() page.Table {
	status := make(map[int][]fault.Reason)
	for _, a := range fault.Areas() {
		if !a.Calls {
			continue
		}
		for _, r := range a.Reasons {
			n := faultrpc.HTTPStatus(fault.New(r, ""))
			status[n] = append(status[n], r)
		}
	}
	names := map[int][]fault.Code{}
	for c := fault.CodeCanceled; c.Valid(); c++ {
		n := faultrpc.HTTPStatus(&fault.Error{Reason: fault.GuestError, Code: c})
		names[n] = append(names[n], c)
		if _, ok := status[n]; !ok {
			status[n] = nil
		}
	}
	t := page.Table{Columns: []page.Column{{Head: "status"}, {Head: "name", Label: "(%s)"}, {Head: "codes"}, {Head: "reasons"}}}
	for _, n := range slices.Sorted(maps.Keys(status)) {
		slices.Sort(status[n])
		var list []string
		for _, c := range names[n] {
			list = append(list, c.String())
		}
		name := nethttp.StatusText(n)
		if n == 499 {
			name = "the caller is gone"
		}
		t.Rows = append(t.Rows, []string{fmt.Sprint(n), name, codes(list), codes(status[n])})
	}
	return t
}
