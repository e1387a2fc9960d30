package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/resource"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// A new noun is one file: a value such as this one, and a line in resource.All.
// The map of names and sites stands in for the API, which does not know bulls.
func bull(sites map[string]string) *verb.Noun {
	type B = *structpb.Struct
	type args struct {
		Site string `placeholder:"SITE" complete:"north,south" help:"List only those of this site."`
	}
	of := func(name string) B {
		return &structpb.Struct{Fields: map[string]*structpb.Value{
			"name": structpb.NewStringValue(name), "site": structpb.NewStringValue(sites[name]),
		}}
	}
	name := func(b B) string { return b.GetFields()["name"].GetStringValue() }
	site := func(b B) string { return b.GetFields()["site"].GetStringValue() }
	one := func(_ context.Context, _ *client.Client, name string) (B, error) {
		if _, ok := sites[name]; !ok {
			return nil, fault.New(fault.ServiceNotFound, "there is no such bull")
		}
		return of(name), nil
	}
	return &verb.Noun{
		Name: "bull", Plural: "bulls", Aliases: []string{"toro"},
		Get: verb.Get[B, args]{
			Doc: verb.Doc{Help: "List bulls.", Examples: []string{"ruedo get bulls --site north"}},
			Fetch: func(_ context.Context, _ *client.Client, a args) (items []B, _ error) {
				for name, site := range sites {
					if a.Site == "" || a.Site == site {
						items = append(items, of(name))
					}
				}
				return items, nil
			},
			Message: func(items []B) proto.Message {
				list := &structpb.ListValue{}
				for _, b := range items {
					list.Values = append(list.Values, structpb.NewStructValue(b))
				}
				return list
			},
			Name:    name,
			Warn:    func(context.Context, *client.Client) string { return "the bulls are asleep" },
			Empty:   "no bulls",
			Columns: []output.Column[B]{{Head: "NAME", Cell: name}, {Head: "SITE", Cell: site, Wide: true}},
		},
		Describe: verb.Describe[B]{
			Doc:   verb.Doc{Help: "Show a bull."},
			Fetch: one,
			Name:  name,
			Rows:  func(b B) [][]string { return [][]string{{"Name:", name(b)}, {"Site:", site(b)}} },
		},
		Create: verb.Create[args]{
			Doc: verb.Doc{Help: "Create a bull."},
			Do: func(_ *session.Session, name string, a args) (proto.Message, error) {
				sites[name] = a.Site
				return of(name), nil
			},
		},
		Delete: verb.Delete{
			Doc:  verb.Doc{Help: "Delete a bull."},
			Also: " and its shadow",
			Do: func(ctx context.Context, core *client.Client, name string) (proto.Message, error) {
				b, err := one(ctx, core, name)
				delete(sites, name)
				return b, err
			},
		},
		Apply: &verb.Apply{
			Kind: "Bull",
			Plan: func(_ *session.Session, _ *client.Client, doc yamlfile.Document, _ string) (*verb.Plan, error) {
				return &verb.Plan{Noun: "bull", Name: doc.Field("name"), New: true, Do: func(bool) (bool, error) {
					sites[doc.Field("name")] = doc.Field("site")
					return false, nil
				}}, nil
			},
		},
	}
}

// ruedo runs the program once, with one more noun than it has.
func ruedo(t *testing.T, noun *verb.Noun, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	s := &session.Session{
		Ctx: t.Context(), Env: []string{"RUEDO_CLIENT_HOST=127.0.0.1:1"}, In: strings.NewReader(stdin), Out: &out, Err: &errs,
	}
	err := run(s, args, append(resource.All(), noun))
	return s.Exit(err), out.String(), errs.String()
}

func TestANounIsOneValue(t *testing.T) {
	sites := map[string]string{"islero": "north"}
	for _, step := range []struct {
		args           string
		stdin          string
		code           int
		stdout, stderr string // substrings; an empty one demands nothing
	}{
		{args: "get bulls", stdout: "NAME\nislero\n", stderr: "warning: the bulls are asleep\n"},
		{args: "get cows", code: fault.ExitUsage, stderr: "error: unknown command get cows"},
		{args: "get toro -o wide", stdout: "islero   north\n"},
		{args: "get bull -o json", stdout: `"name": "islero"`},
		{args: "get bulls --site south", stdout: "no bulls\n"},
		{args: "describe bull islero", stdout: "Site:   north\n"},
		{args: "describe bull islero -o name", stdout: "islero\n"},
		{args: "describe bull nobody", code: fault.ExitNotFound, stderr: "error: there is no such bull (bull nobody)\n"},
		{args: "create toro bailaor --site south", stdout: "created bull bailaor\n"},
		{args: "describe toro islero bailaor", stdout: "Site:   north\n\nName:   bailaor\n"},
		{args: "describe bulls bailaor islero -o json", stdout: `"items": [`},
		{args: "describe bull nobody islero noone", code: fault.ExitNotFound, stdout: "islero", stderr: "(bull nobody)\nfix: ruedo get services\nerror: there is no such bull (bull noone)"},
		{args: "apply -f -", stdin: "kind: Bull\nname: avispado\nsite: south\n", stdout: "bull avispado created\n"},
		{args: "apply -f - -o name", stdin: "kind: Bull\nname: avispado\n", stdout: "bull/avispado\n"},
		{args: "apply -f -", stdin: "kind: Cow\n", code: fault.ExitUsage, stderr: "Bull, Decorator or Service is expected"},
		{args: "delete bull avispado", code: fault.ExitUsage, stderr: "fix: add --yes\n"},
		{args: "delete toro avispado nobody --yes", code: fault.ExitNotFound, stdout: "deleted bull avispado\n", stderr: "(bull nobody)"},
		{args: "delete bull avispado -y", code: fault.ExitNotFound, stderr: "(bull avispado)"},
		{args: "get bulls -o name", stdout: "bailaor\n"},

		// Help and completion know it without a change.
		{args: "help get", stdout: "bulls [FLAGS]"},
		{args: "help describe bull", stdout: "Name of the bull."},
		{args: "help create", stdout: "Create a decorator, a user, an invite, a role, a token, a profile or a bull."},
		{args: "help delete", stdout: "Delete a service, a decorator, a user, a role, a token, a profile or a bull."},
		{args: "help get bulls", stdout: "ruedo get bulls --site north"},
		{args: "get bulls --sit north", code: fault.ExitUsage, stderr: "fix: ruedo get bulls --help\n"},
		{args: "__complete -- get b", stdout: "bulls\n"},
		{args: "__complete -- describe bull isl", stdout: "islero\n"},
		{args: "__complete -- delete bull ba", stdout: "bailaor\n"},
		{args: "__complete -- describe bulls bailaor isl", stdout: "islero\n"},
		{args: "help describe bull", stdout: "Usage: ruedo describe bull NAME...\n"},
		{args: "__complete -- get bulls --site s", stdout: "south\n"},
	} {
		code, stdout, stderr := ruedo(t, bull(sites), step.stdin, strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(stdout, step.stdout) || !strings.Contains(stderr, step.stderr) {
			t.Errorf("ruedo %s: exit code %d, want %d\n%s\n%s\nwant %q and %q", step.args, code, step.code, stdout, stderr, step.stdout, step.stderr)
		}
	}
	if len(sites) != 2 {
		t.Errorf("bulls %v", sites)
	}
}

// The commands over nouns print the API's message for programs.
func TestANounIsPrintedAsTheAPIsMessage(t *testing.T) {
	_, stdout, _ := ruedo(t, bull(map[string]string{"islero": "north"}), "", "describe", "bull", "islero", "--raw")
	var got map[string]string
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || got["site"] != "north" {
		t.Errorf("%v\n%s", err, stdout)
	}
}
