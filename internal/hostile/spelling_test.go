//go:build hostile

package hostile

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

// spellings are texts that are no names, or names of something else.
func spellings() map[string]string {
	return map[string]string{
		"..": "..", ".": ".", "a path": "../" + victimName, "a/b": "a/b", "a slash at the end": victimName + "/", "an absolute path": "/" + victimName,
		"NUL": victimName + "\x00", "NUL and more": victimName + "\x00x", "a line": victimName + "\n", "spaces": " " + victimName + " ", "escapes": "\x1b[31m" + victimName,
		"10 KB": strings.Repeat("a", 10<<10), "64 characters": strings.Repeat("a", 64), "capitals": "VICTIM", "a capital": "Victim",
		"a Cyrillic i": "v\u0456ctim", "full width": "\uff56ictim", "a zero width joiner": "vic\u200dtim", "a combining dot": "vi\u0307ctim", "a Turkish i": "v\u0131ctim",
		"a soft hyphen": "vic\u00adtim", "right to left": "\u202emitciv", "hyphens around": "-victim-", "an underscore": "vic_tim", "a dot at the end": victimName + ".",
		"a star": "*", "a prefix": "vic-*", "a question mark": "victi?", "a percent sign": "%76ictim", "nothing": "", "a range": victimName + "\xc3\xbf",
	}
}

// lenient are the procedures that look for a text as it is, by their answers. Others
// refuse what is no name before.
var lenient = map[string]fault.Reason{
	"CordonRunner": fault.RunnerNotFound, "UncordonRunner": fault.RunnerNotFound, "GetDrain": fault.RunnerNotFound,
	"GetRole": fault.RoleNotFound, "DeleteRole": fault.RoleNotFound,
	"GetUser": fault.UserNotFound, "DeleteUser": fault.UserNotFound, "CreateInvite": fault.UserNotFound,
}

// spellingRow is row 32.
func spellingRow() *row {
	var admin *member
	// about returns a request of a procedure that is about a name.
	about := func(b *bout, p procedure, name string) []byte {
		m := dynamicpb.NewMessage(p.input)
		at := protoreflect.Message(m)
		fields := strings.Split(p.rule().GetName(), ".")
		for _, field := range fields[:len(fields)-1] {
			at = at.Mutable(at.Descriptor().Fields().ByName(protoreflect.Name(field))).Message()
		}
		at.Set(at.Descriptor().Fields().ByName(protoreflect.Name(fields[len(fields)-1])), protoreflect.ValueOfString(name))
		raw, err := proto.Marshal(m)
		b.must(raw, err)
		return raw
	}
	return &row{
		number: 32, name: "names: .., a/b, NUL, 10 KB, capitals, confusables, prefixes", once: true,
		setup: func(b *bout) {
			_, made := b.principal("admin", "* * *")
			admin = b.member(made.GetSecret())
		},
		moves: []move{
			{"in every procedure that is about a name", func(b *bout) {
				asked := map[string]bool{}
				for _, p := range b.mustProcedures() {
					if p.rule().GetName() == "" {
						continue
					}
					asked[p.path] = true
					for what, name := range spellings() {
						began := time.Now()
						got := admin.ask(p, about(b, p, name))
						b.bounded(p.path+" with "+what, time.Since(began), time.Second)
						want := fault.RequestInvalid
						if missing := lenient[p.path[strings.LastIndexByte(p.path, '/')+1:]]; missing != "" && !strings.Contains(got.body, string(want)) {
							want = missing
						}
						b.misspelt(p.path+" with "+what, got, want)
					}
				}
				if len(asked) < 20 {
					b.Errorf("only %d procedures are about a name: %v", len(asked), slices.Sorted(maps.Keys(asked)))
				}
			}},
			{"in paths", func(b *bout) {
				for what, name := range spellings() {
					for _, form := range []string{"POST /call/%s", "GET /call/%s", "POST /call/%s@1", "GET /svc/%s/"} {
						method, path, _ := strings.Cut(form, " ")
						for _, escaped := range []string{url.PathEscape(name), strings.ReplaceAll(url.PathEscape(name), ".", "%2e")} {
							got := admin.get(method, fmt.Sprintf(path, escaped))
							if got.status == http.StatusTemporaryRedirect && strings.Trim(name, ".") == "" && strings.Contains(got.header, "Location: /") {
								continue // /call/.. is another path
							}
							b.misspelt(fmt.Sprintf("%s with %s", form, what), got, fault.ServiceNotFound)
						}
					}
				}
			}},
			{"that begin like others", func(b *bout) { b.prefixes() }},
			{"and there is nothing new", func(b *bout) {
				bad := slices.Collect(maps.Values(spellings()))
				for s, err := range b.client.ListServices(b.ctx, &ruedov1.ListServicesRequest{}) {
					if b.must(s, err); slices.Contains(bad, s.GetName()) {
						b.Errorf("there is a service %q", s.GetName())
					}
				}
				admin.peer.close()
			}},
		},
		peakCore: 64 << 20,
	}
}

// misspelt checks the answer to a request that has no name where there should be one.
func (b *bout) misspelt(what string, r response, want fault.Reason) {
	b.refusal(want)
	status := http.StatusNotFound
	if want == fault.RequestInvalid {
		status = http.StatusBadRequest
	}
	if r.status != status || !strings.Contains(r.body, `"`+string(want)+`"`) {
		b.Errorf("%s: %s, want %s", what, r, want)
	}
	if !harmless(r.body) || len(r.everything()) > maxError {
		b.Errorf("%s: %d bytes: %s", what, len(r.everything()), r)
	}
}

// prefixes checks that a name is not taken for others that begin with it.
func (b *bout) prefixes() {
	id := fmt.Sprintf("p%d", b.serial.Add(1))
	short, long := id+"-team", id+"-team-2"
	for _, name := range []string{short, long} {
		digest, err := b.client.Upload(b.ctx, ruedotest.Echo(), nil)
		b.must(digest, err)
		b.must(b.client.Decorators.CreateDecorator(b.ctx, &ruedov1.CreateDecoratorRequest{Decorator: &ruedov1.Decorator{Name: name}}))
		b.must(b.client.Roles.CreateRole(b.ctx, &ruedov1.CreateRoleRequest{Role: &ruedov1.Role{Name: name}}))
		b.must(b.client.Services.PublishService(b.ctx, &ruedov1.PublishServiceRequest{Name: name, Module: digest}))
		b.must(b.program(b.ctx, name, "call service "+name))
	}
	_, made := b.principal("reads", "read service "+short, "read service "+id+"-team-3-*", "call service "+id+"-*", "read user "+short)
	reader := b.member(made.GetSecret())
	defer reader.peer.close()
	lists := func(what string, body string) {
		if strings.Contains(body, long) || !strings.Contains(body, short) {
			b.Errorf("%s has %s: %s", what, long, tail(body, 500))
		}
	}
	for _, p := range b.mustProcedures() {
		switch {
		case strings.HasSuffix(p.path, "/ListServices"), strings.HasSuffix(p.path, "/ListUsers"), strings.HasSuffix(p.path, "/WatchServices"):
			lists(p.path, reader.ask(p, nil).body)
		}
	}
	tokens, err := b.client.Tokens.ListTokens(b.ctx, &ruedov1.ListTokensRequest{User: short})
	b.must(tokens, err)
	lists("ListTokens", tokens.String())
	revisions, err := b.client.Services.ListRevisions(b.ctx, &ruedov1.ListRevisionsRequest{Name: short})
	b.must(revisions, err)
	if len(revisions.GetItems()) != 1 {
		b.Errorf("%s has the revisions %v", short, revisions)
	}
	records := b.audited(0, func(list []*ruedov1.AuditRecord) bool { return len(list) > 0 })
	for items, err := range b.client.ReadAudit(b.ctx, &ruedov1.ListAuditRecordsRequest{On: "service/" + short}) {
		b.must(items, err)
		for _, r := range items {
			if r.GetName() != short {
				b.Errorf("the audit of %s has %v, of %d records", short, r, len(records))
			}
		}
	}
	// Whatever ends with a name, others do not.
	b.must(b.client.Tokens.EndTokens(b.ctx, &ruedov1.EndTokensRequest{User: short}))
	b.must(b.client.Users.DeleteUser(b.ctx, &ruedov1.DeleteUserRequest{Name: short}))
	b.must(b.client.Services.DeleteService(b.ctx, &ruedov1.DeleteServiceRequest{Name: short}))
	b.must(b.client.Decorators.DeleteDecorator(b.ctx, &ruedov1.DeleteDecoratorRequest{Name: short}))
	b.must(b.client.Roles.DeleteRole(b.ctx, &ruedov1.DeleteRoleRequest{Name: short}))
	user, err := b.client.Users.GetUser(b.ctx, &ruedov1.GetUserRequest{Name: long})
	b.must(user, err)
	if user.GetTokenCount() != 1 {
		b.Errorf("%s has %d tokens after those of %s ended", long, user.GetTokenCount(), short)
	}
	b.must(b.client.Call(b.ctx, long, []byte("{}")))
	b.must(b.client.Decorators.GetDecorator(b.ctx, &ruedov1.GetDecoratorRequest{Name: long}))
	b.must(b.client.Roles.GetRole(b.ctx, &ruedov1.GetRoleRequest{Name: long}))
}
